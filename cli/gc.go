package cli

import "runtime/debug"

const (
	// gcPercent makes the garbage collector run before the heap has grown by half. Under attack, most of the
	// heap is garbage. Unlike with a limit of memory, the collector does not run more often with more definitions.
	gcPercent = 50
	// ballastSize lets a small heap grow by 8 MiB, half of the ballast, before the collector runs. Without a ballast,
	// it would run every 100 reviews, and take a quarter of the CPU time.
	ballastSize = 16 << 20
)

// tuneGC configures the garbage collector. It returns the ballast, which must be kept alive. The collector counts the
// ballast, but nothing touches its pages, so it takes no memory.
func tuneGC() (ballast []byte) {
	debug.SetGCPercent(gcPercent)
	return make([]byte, ballastSize)
}
