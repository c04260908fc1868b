//go:build torture

package torture_test

import (
	"context"
	"fmt"
	"os"
	"testing"
	"time"
)

// TestSoak checks that memory and file descriptors stay stable under a long mixed load.
func TestSoak(t *testing.T) {
	const growth = 2.0
	api := newAPIServer(t)
	i := start(t, options{flags: api.flags(t)})
	client := i.hostile(t, true)
	mixed := func(ctx context.Context) int {
		edit := time.NewTicker(50 * time.Millisecond)
		defer edit.Stop()
		go func() {
			for n := 0; ; n++ {
				select {
				case <-edit.C:
					_ = os.WriteFile(i.config+"/soak.yaml", []byte(definition("soak:v1", image(n))), 0o600)
					api.apply("soak", definition("other:v1", image(n)))
				case <-ctx.Done():
					return
				}
			}
		}()
		bodies := []string{grown(), "no review", podReview("missing:v1", "", honestPod), podReview(refLogger, "", honestPod)}
		n := 0
		return repeat(ctx, 1, func(ctx context.Context) {
			n++
			_, _, _ = i.post(ctx, client, "/mutate?timeout=10s", bodies[n%len(bodies)])
			if n%100 == 0 {
				client.CloseIdleConnections()
				c := i.frames(ctx)
				_ = c.rapidReset()
				c.close()
			}
		})
	}
	i.underFor(t, sized(10*time.Second, 4*time.Second), mixed)
	files, size := i.descriptors(), i.memory("VmRSS")
	i.underFor(t, sized(35*time.Second, 8*time.Second), mixed)
	i.await(t, "connections to be closed", patience, func() bool { return i.descriptors() <= files+5 })
	after := i.memory("VmRSS")
	i.note = fmt.Sprintf("RSS %d -> %d MiB, descriptors %d -> %d", size>>20, after>>20, files, i.descriptors())
	if float64(after) > growth*float64(size) {
		t.Errorf("the resident size grew from %d to %d MiB", size>>20, after>>20)
	}
}

// descriptors returns the number of open file descriptors of the process.
func (i *injector) descriptors() int {
	entries, _ := os.ReadDir(fmt.Sprintf("/proc/%d/fd", i.cmd.Process.Pid))
	return len(entries)
}
