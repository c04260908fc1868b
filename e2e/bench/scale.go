package bench

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"time"

	"k8s-sidecar-injector/e2e/cluster"
)

// ScaleOptions configure Scale.
type ScaleOptions struct {
	Options

	// Sizes are the numbers of sidecars, in ascending order.
	Sizes []int
	// Edits is the number of edits after each start.
	Edits int
	// Settle is the time without requests before memory is read.
	Settle time.Duration
	// Records is the file for the points of the plots. If it is empty, they are not written.
	Records string
}

// Scale measures how starts, edits, memory and reviews depend on the number and the size of the sidecars.
func Scale(ctx context.Context, o ScaleOptions) error {
	printMachine(o.Out)
	var records []record
	for _, measure := range []func(context.Context, ScaleOptions) ([]record, error){
		lifecycles, reviewsAtScale, churnAtScale, containerGrowth, byteGrowth,
	} {
		more, err := measure(ctx, o)
		if err != nil {
			return err
		}
		records = append(records, more...)
	}
	if o.Records == "" {
		return nil
	}
	return writeRecords(o.Records, records)
}

// lifecycle is the result of one start and some edits.
type lifecycle struct {
	ready    time.Duration
	startCPU time.Duration
	edits    []time.Duration
	started  memory
	edited   memory
}

// lifecycles starts an injector with each number of sidecars, edits, and reads its memory.
func lifecycles(ctx context.Context, o ScaleOptions) (records []record, err error) {
	type contender struct {
		size    int
		bytes   string // of each definition
		sidecar define
	}
	var contenders []contender
	for _, size := range o.Sizes {
		contenders = append(contenders, contender{size, "2.6 KB", long})
	}
	contenders = append(contenders, contender{o.Sizes[len(o.Sizes)-1], "0.3 KB", short})
	results := make([][]lifecycle, len(contenders))
	for range o.Rounds {
		for n, c := range contenders {
			result, err := runLifecycle(ctx, o, c.size, c.sidecar)
			if err != nil {
				return nil, fmt.Errorf("%d sidecars of %s: %w", c.size, c.bytes, err)
			}
			results[n] = append(results[n], result)
		}
	}
	program, err := os.Stat(filepath.Join(o.Bin, "k8s-sidecar-injector"))
	if err != nil {
		return nil, err
	}
	var rows [][]string
	for n, c := range contenders {
		s := summarize(results[n])
		rows = append(rows, []string{
			strconv.Itoa(c.size), c.bytes, seconds(s.ready), seconds(s.startCPU), seconds(s.edits[0]),
			megabytes(s.started.now), megabytes(s.edited.now), megabytes(s.edited.peak),
		})
		if n == len(o.Sizes) {
			break // the plots have one line for each unit
		}
		x := float64(c.size)
		records = append(records,
			record{"time", "start to ready", x, s.ready.Seconds()},
			record{"time", "edit to served", x, s.edits[0].Seconds()},
			record{"memory", "after start", x, float64(s.started.now) / 1e6},
			record{"memory", fmt.Sprintf("after %d edits", o.Edits), x, float64(s.edited.now) / 1e6},
			record{"memory", "peak", x, float64(s.edited.peak) / 1e6},
		)
	}
	fmt.Fprintf(o.Out, "\nFiles of %d sidecars, %d starts with %d edits each. The binary has %s.\n",
		perFile, o.Rounds, o.Edits, megabytes(program.Size()))
	printTable(o.Out, []string{
		"sidecars", "of", "start to ready", "CPU time", "edit to served", "RSS after start",
		fmt.Sprintf("after %d edits", o.Edits), "peak",
	}, rows)
	return records, nil
}

// summarize returns the medians of all rounds.
func summarize(rounds []lifecycle) lifecycle {
	var ready, startCPU, edits []time.Duration
	var started, edited, peak []int64
	for _, r := range rounds {
		ready = append(ready, r.ready)
		startCPU = append(startCPU, r.startCPU)
		edits = append(edits, r.edits...)
		started = append(started, r.started.now)
		edited = append(edited, r.edited.now)
		peak = append(peak, r.edited.peak)
	}
	return lifecycle{
		ready:    median(ready),
		startCPU: median(startCPU),
		edits:    []time.Duration{median(edits)},
		started:  memory{now: median(started)},
		edited:   memory{now: median(edited), peak: median(peak)},
	}
}

// runLifecycle starts an injector with a number of sidecars, and edits one file after the other.
func runLifecycle(
	ctx context.Context, o ScaleOptions, size int, sidecar define,
) (result lifecycle, err error) {
	l, err := newLab(o.Options)
	if err != nil {
		return result, err
	}
	defer l.close()
	d, err := l.directory(size, sidecar)
	if err != nil {
		return result, err
	}
	i, err := l.cluster.NewInjector("--config-directory=" + d.path)
	if err != nil {
		return result, err
	}
	begin := time.Now()
	if err := i.Launch(); err != nil {
		return result, err
	}
	l.processes = append(l.processes, i.Process)
	if err := awaitReady(ctx, i); err != nil {
		return result, err
	}
	result.ready = time.Since(begin)
	if result.startCPU, err = cpuTime(i.PID()); err != nil {
		return result, err
	}
	if result.started, err = settledMemory(ctx, i, o.Settle); err != nil {
		return result, err
	}
	t, err := l.request(ctx, "edits", i, size-1, reviewSize)
	if err != nil {
		return result, err
	}
	for edit := range o.Edits {
		took, err := l.editOnce(ctx, t, d, edit)
		if err != nil {
			return result, err
		}
		result.edits = append(result.edits, took)
	}
	result.edited, err = settledMemory(ctx, i, o.Settle)
	return result, err
}

// awaitReady polls /readyz every millisecond.
func awaitReady(ctx context.Context, i *cluster.Injector) error {
	ctx, cancel := context.WithTimeout(ctx, 2*time.Minute)
	defer cancel()
	for {
		if ready, _, err := i.Ready(ctx); err == nil && ready {
			return nil
		}
		if err := sleepUntil(ctx, time.Now().Add(time.Millisecond)); err != nil {
			return fmt.Errorf("waiting for the injector to be ready: %w", err)
		}
	}
}

func settledMemory(ctx context.Context, i *cluster.Injector, settle time.Duration) (memory, error) {
	if err := sleepUntil(ctx, time.Now().Add(settle)); err != nil {
		return memory{}, err
	}
	return readMemory(i.PID())
}

// directory is a config directory with generated sidecars.
type directory struct {
	path        string
	size, files int
	sidecar     define
}

func (l *lab) directory(size int, sidecar define) (directory, error) {
	d := directory{path: filepath.Join(l.dir, fmt.Sprintf("conf-%d", size)), size: size, sidecar: sidecar}
	var err error
	d.files, err = writeSidecars(d.path, size, sidecar)
	return d, err
}

// edit changes the first sidecar of a file, and returns its ref. Consecutive edits change distant files.
func (d directory) edit(n int) (ref string, err error) {
	const stride = 397 // prime, so that all files are edited
	file := n * stride % d.files
	content := fileContent(file, d.size, d.sidecar, editedImage(n))
	return sidecarRef(file * perFile), writeFile(d.path, fileName(file), content)
}

// editOnce edits a file and returns the time until a review has the change.
func (l *lab) editOnce(ctx context.Context, t *target, d directory, n int) (time.Duration, error) {
	begin := time.Now()
	ref, err := d.edit(n)
	if err != nil {
		return 0, err
	}
	return l.awaitServed(ctx, t, ref, editedImage(n), begin)
}
