package bench

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
)

// reviewSize is the size of a review in bytes, if a measurement does not vary it.
const reviewSize = 9000

// HTTP compares the CPU time of a review with that of a server that writes a constant.
func HTTP(ctx context.Context, o Options) error {
	l, err := newLab(o)
	if err != nil {
		return err
	}
	defer l.close()
	targets, err := l.httpTargets(ctx)
	if err != nil {
		return err
	}
	loads, err := l.compare(ctx, targets...)
	if err != nil {
		return err
	}
	printMachine(o.Out)
	fmt.Fprintf(o.Out, "%d clients, review of %d bytes, response of %d bytes, %d rounds of %s each\n",
		o.Clients, len(targets[1].review), len(targets[1].want), o.Rounds, o.BenchTime)
	header := []string{"server", "CPU time per review", "ratio (range)", "reviews per second", "p50", "p99"}
	var rows [][]string
	for n, t := range targets {
		perReview := series(loads[n], load.perReview)
		rows = append(rows, []string{
			t.name,
			micros(median(perReview)),
			times(ratios(perReview, series(loads[0], load.perReview))),
			fmt.Sprintf("%.0f", median(series(loads[n], load.perSecond))),
			millis(latency(loads[n], 0.5)),
			millis(latency(loads[n], 0.99)),
		})
	}
	printTable(o.Out, header, rows)
	return nil
}

// httpTargets starts the servers: the constant first, then an injector with a pod that requests a sidecar of two
// containers, and with one that requests none.
func (l *lab) httpTargets(ctx context.Context) ([]*target, error) {
	dir := filepath.Join(l.dir, "conf")
	if err := os.Mkdir(dir, 0o700); err != nil {
		return nil, err
	}
	if err := writeFile(dir, fileName(0), base+"---\n"+definition(1, 2, imageAtStart)); err != nil {
		return nil, err
	}
	i, err := l.start(ctx, "--config-directory="+dir)
	if err != nil {
		return nil, err
	}
	requested, err := newReview(l.recorded, sidecarRef(1), reviewSize)
	if err != nil {
		return nil, err
	}
	unrequested, err := newReview(l.recorded, "", reviewSize)
	if err != nil {
		return nil, err
	}
	injected, err := l.aim(ctx, "injector, 2 containers added", i, requested)
	if err != nil {
		return nil, err
	}
	skipped, err := l.aim(ctx, "injector, pod without a request", i, unrequested)
	if err != nil {
		return nil, err
	}
	constant, err := l.constant(ctx, injected)
	if err != nil {
		return nil, err
	}
	return []*target{constant, injected, skipped}, nil
}
