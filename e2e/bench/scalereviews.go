package bench

import (
	"context"
	"fmt"
	"strconv"
	"time"

	"golang.org/x/sync/errgroup"

	"k8s-sidecar-injector/e2e/cluster"
)

const (
	// editsPerSecond is the rate of edits while reviews are measured.
	editsPerSecond = 10
	// reviewsPerSecond is the rate of reviews while their latency is measured, below what the machine can do.
	reviewsPerSecond = 200
)

// ends returns an injector with the smallest, and one with the largest number of sidecars, and a target of each.
func (l *lab) ends(ctx context.Context, sizes []int) (dirs []directory, targets []*target, err error) {
	for _, size := range []int{sizes[0], sizes[len(sizes)-1]} {
		d, err := l.directory(size, long)
		if err != nil {
			return nil, nil, err
		}
		i, err := l.start(ctx, "--config-directory="+d.path)
		if err != nil {
			return nil, nil, err
		}
		t, err := l.request(ctx, fmt.Sprintf("%d sidecars", size), i, 2, reviewSize)
		if err != nil {
			return nil, nil, err
		}
		dirs, targets = append(dirs, d), append(targets, t)
	}
	return dirs, targets, nil
}

// request aims at an injector a review of a pod that requests a generated sidecar.
func (l *lab) request(ctx context.Context, name string, i *cluster.Injector, sidecar, size int) (*target, error) {
	review, err := newReview(l.recorded, sidecarRef(sidecar), size)
	if err != nil {
		return nil, err
	}
	return l.aim(ctx, name, i, review)
}

// reviewsAtScale compares reviews with many sidecars and with few.
func reviewsAtScale(ctx context.Context, o ScaleOptions) ([]record, error) {
	l, err := newLab(o.Options)
	if err != nil {
		return nil, err
	}
	defer l.close()
	_, targets, err := l.ends(ctx, o.Sizes)
	if err != nil {
		return nil, err
	}
	loads, err := l.compare(ctx, targets...)
	if err != nil {
		return nil, err
	}
	fmt.Fprintf(o.Out, "%d clients, %d rounds of %s each\n", o.Clients, o.Rounds, o.BenchTime)
	var rows [][]string
	few := series(loads[0], load.perReview)
	for n, t := range targets {
		perReview := series(loads[n], load.perReview)
		rows = append(rows, []string{t.name, micros(median(perReview)), times(ratios(perReview, few))})
	}
	printTable(o.Out, []string{"a review with", "CPU time", "ratio (range)"}, rows)
	return nil, nil
}

// churnAtScale compares the latency of reviews during edits with that at rest.
func churnAtScale(ctx context.Context, o ScaleOptions) ([]record, error) {
	l, err := newLab(o.Options)
	if err != nil {
		return nil, err
	}
	defer l.close()
	dirs, targets, err := l.ends(ctx, o.Sizes)
	if err != nil {
		return nil, err
	}
	interval := time.Second * time.Duration(o.Clients) / reviewsPerSecond
	var rows [][]string
	for n, t := range targets {
		rest, busy, err := l.restAndChurn(ctx, t, dirs[n], interval)
		if err != nil {
			return nil, err
		}
		for _, q := range []float64{0.5, 0.99} {
			atRest, during := quantiles(rest, q), quantiles(busy, q)
			rows = append(rows, []string{
				fmt.Sprintf("%s, p%.0f", t.name, 100*q), millis(latency(rest, q)), millis(latency(busy, q)),
				times(ratios(during, atRest)),
			})
		}
	}
	fmt.Fprintf(o.Out, "%d reviews per second, %d edits per second, %d rounds of %s each\n",
		reviewsPerSecond, editsPerSecond, o.Rounds, o.BenchTime)
	printTable(o.Out, []string{"latency with", "at rest", "during edits", "ratio (range)"}, rows)
	return nil, nil
}

// restAndChurn measures a target without edits and with edits, alternately.
func (l *lab) restAndChurn(
	ctx context.Context, t *target, d directory, interval time.Duration,
) (rest, busy []load, err error) {
	edits := 0
	for range l.Rounds {
		atRest, err := t.drive(ctx, l.BenchTime, interval)
		if err != nil {
			return nil, nil, err
		}
		during, err := l.driveDuring(ctx, t, interval, func(int) error {
			edits++
			_, err := d.edit(edits)
			return err
		})
		if err != nil {
			return nil, nil, err
		}
		rest, busy = append(rest, atRest), append(busy, during)
		// The last edit is loaded before the next measurement at rest.
		if err := sleepUntil(ctx, time.Now().Add(time.Second)); err != nil {
			return nil, nil, err
		}
	}
	return rest, busy, nil
}

// driveDuring is drive during edits.
func (l *lab) driveDuring(
	ctx context.Context, t *target, interval time.Duration, edit func(int) error,
) (result load, err error) {
	editing, stop := context.WithCancel(ctx)
	defer stop()
	var group errgroup.Group
	group.Go(func() error { return churn(editing, editsPerSecond, edit) })
	result, err = t.drive(ctx, l.BenchTime, interval)
	stop()
	if editErr := group.Wait(); err == nil {
		err = editErr
	}
	return result, err
}

// quantiles returns a quantile of the latencies of each round.
func quantiles(loads []load, q float64) []float64 {
	return series(loads, func(l load) float64 { return float64(quantile(l.latencies, q)) })
}

// containerGrowth measures reviews by the number of containers that the sidecar adds.
func containerGrowth(ctx context.Context, o ScaleOptions) ([]record, error) {
	counts := []int{1, 2, 4, 8, 16}
	l, err := newLab(o.Options)
	if err != nil {
		return nil, err
	}
	defer l.close()
	d := directory{path: l.dir + "/conf"}
	if d.files, err = writeSidecars(d.path, 0, long); err != nil {
		return nil, err
	}
	for _, count := range counts {
		if err := writeFile(d.path, fileName(count), definition(count, count, imageAtStart)); err != nil {
			return nil, err
		}
	}
	if err := writeFile(d.path, fileName(0), base); err != nil {
		return nil, err
	}
	i, err := l.start(ctx, "--config-directory="+d.path)
	if err != nil {
		return nil, err
	}
	var targets []*target
	for _, count := range counts {
		t, err := l.request(ctx, strconv.Itoa(count), i, count, reviewSize)
		if err != nil {
			return nil, err
		}
		targets = append(targets, t)
	}
	return l.growth(ctx, "containers added", "containers", counts, targets, nil)
}

// byteGrowth measures reviews by their size.
func byteGrowth(ctx context.Context, o ScaleOptions) ([]record, error) {
	l, err := newLab(o.Options)
	if err != nil {
		return nil, err
	}
	defer l.close()
	d, err := l.directory(perFile, long)
	if err != nil {
		return nil, err
	}
	i, err := l.start(ctx, "--config-directory="+d.path)
	if err != nil {
		return nil, err
	}
	var sizes []int
	var targets, constants []*target
	for size := reviewSize; size <= 16*reviewSize; size *= 2 {
		t, err := l.request(ctx, strconv.Itoa(size), i, 2, size)
		if err != nil {
			return nil, err
		}
		constant, err := l.constant(ctx, t)
		if err != nil {
			return nil, err
		}
		sizes, targets, constants = append(sizes, size), append(targets, t), append(constants, constant)
	}
	return l.growth(ctx, "bytes of the review", "bytes", sizes, targets, constants)
}

// growth compares targets with the first one, and with a constant server for each if there are any.
func (l *lab) growth(
	ctx context.Context, what, plot string, xs []int, targets, constants []*target,
) (records []record, err error) {
	loads, err := l.compare(ctx, append(targets, constants...)...)
	if err != nil {
		return nil, err
	}
	header := []string{what, "CPU time per review", "ratio to the first (range)"}
	if constants != nil {
		header = append(header, "constant server", "ratio (range)")
	}
	var rows [][]string
	first := series(loads[0], load.perReview)
	for n, t := range targets {
		perReview := series(loads[n], load.perReview)
		row := []string{t.name, micros(median(perReview)), times(ratios(perReview, first))}
		records = append(records, record{plot, "injector", float64(xs[n]), median(perReview) / 1e3})
		if constants != nil {
			constant := series(loads[len(targets)+n], load.perReview)
			row = append(row, micros(median(constant)), times(ratios(perReview, constant)))
			records = append(records, record{plot, "constant server", float64(xs[n]), median(constant) / 1e3})
		}
		rows = append(rows, row)
	}
	fmt.Fprintf(l.Out, "%d clients, %d rounds of %s each\n", l.Clients, l.Rounds, l.BenchTime)
	printTable(l.Out, header, rows)
	return records, nil
}
