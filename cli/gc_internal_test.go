package cli

import (
	"runtime"
	"runtime/debug"
	"testing"
)

// A small heap may grow by about half of the ballast before a collection, and the ballast itself takes no memory.
//
//nolint:paralleltest // it counts the collections of the whole process
func TestBallast(t *testing.T) {
	defer debug.SetGCPercent(debug.SetGCPercent(100))
	ballast := tuneGC()
	runtime.GC()
	var before, after runtime.MemStats
	runtime.ReadMemStats(&before)
	for range ballastSize / 4 / 1024 {
		garbage = make([]byte, 1024)
	}
	runtime.ReadMemStats(&after)
	if got := after.NumGC - before.NumGC; got > 0 {
		t.Errorf("%d collections of a quarter of the ballast", got)
	}
	runtime.KeepAlive(ballast)
}

var garbage []byte
