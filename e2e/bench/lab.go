package bench

import (
	"context"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"time"

	"k8s-sidecar-injector/e2e/cluster"
)

// Options configure a measurement.
type Options struct {
	// Bin is the directory of the programs.
	Bin string
	// BenchTime is the duration of a contender's round.
	BenchTime time.Duration
	// Rounds is the number of rounds. Tables have the median round.
	Rounds int
	// Clients is the number of concurrent clients.
	Clients int
	// Out gets the tables.
	Out io.Writer
}

// recordedFile is the review of a Deployment's pod that an API server sent. The path is relative to e2e.
const recordedFile = "../server/testdata/reviews/v1-deployment-pod.json"

// lab has the processes and files of a measurement.
type lab struct {
	Options

	cluster   *cluster.Cluster
	dir       string
	recorded  []byte // the recorded review
	processes []*cluster.Process
	targets   []*target
}

// newLab returns a lab without processes. The caller must close it.
func newLab(o Options) (*lab, error) {
	recorded, err := os.ReadFile(recordedFile)
	if err != nil {
		return nil, err
	}
	dir, err := os.MkdirTemp("", "bench-")
	if err != nil {
		return nil, err
	}
	l := &lab{Options: o, dir: dir, recorded: recorded}
	if l.cluster, err = cluster.New(o.Bin, dir); err != nil {
		l.close()
		return nil, err
	}
	return l, nil
}

// close stops all processes and removes all files.
func (l *lab) close() {
	for _, t := range l.targets {
		t.close()
	}
	for _, p := range l.processes {
		_ = p.Stop()
	}
	_ = os.RemoveAll(l.dir)
}

// start starts an injector, and waits until it is ready.
func (l *lab) start(ctx context.Context, flags ...string) (*cluster.Injector, error) {
	i, err := l.cluster.StartInjector(ctx, flags...)
	if err != nil {
		return nil, err
	}
	l.processes = append(l.processes, i.Process)
	return i, i.AwaitReady(ctx)
}

// aim connects clients to an injector, for a review.
func (l *lab) aim(ctx context.Context, name string, i *cluster.Injector, review []byte) (*target, error) {
	t := &target{name: name, pid: i.PID(), url: i.URL("/mutate?timeout=5s"), review: review}
	l.targets = append(l.targets, t)
	return t, t.connect(ctx, i.CA, l.Clients)
}

// constant starts a server that answers each review as this target does.
func (l *lab) constant(ctx context.Context, like *target) (*target, error) {
	server, err := l.startConstant(ctx, like.want)
	if err != nil {
		return nil, err
	}
	t := &target{
		name: "constant", pid: server.PID(), url: fmt.Sprintf("https://127.0.0.1:%d/", server.Port), review: like.review,
	}
	l.targets = append(l.targets, t)
	return t, t.connect(ctx, server.CA, l.Clients)
}

// startConstant starts a server with a constant response.
func (l *lab) startConstant(ctx context.Context, response []byte) (*cluster.Server, error) {
	program, err := os.Executable()
	if err != nil {
		return nil, err
	}
	name := fmt.Sprintf("constant-%d", len(l.processes))
	file := filepath.Join(l.dir, name+".json")
	if err := os.WriteFile(file, response, 0o600); err != nil {
		return nil, err
	}
	server, err := l.cluster.StartServer(ctx, name, program, "constant", "-response="+file)
	if err == nil {
		l.processes = append(l.processes, server.Process)
	}
	return server, err
}

// compare measures the targets alternately, and returns the loads of each. The first round is not counted.
func (l *lab) compare(ctx context.Context, targets ...*target) ([][]load, error) {
	loads := make([][]load, len(targets))
	for round := range l.Rounds + 1 {
		for n, t := range targets {
			duration := l.BenchTime
			if round == 0 {
				duration = min(duration, time.Second)
			}
			result, err := t.drive(ctx, duration, 0)
			if err != nil {
				return nil, err
			}
			if round > 0 {
				loads[n] = append(loads[n], result)
			}
		}
	}
	return loads, nil
}

// series returns a figure of each round.
func series(loads []load, figure func(load) float64) []float64 {
	values := make([]float64, len(loads))
	for i, l := range loads {
		values[i] = figure(l)
	}
	return values
}

// latency returns a quantile of the latencies in all rounds.
func latency(loads []load, q float64) time.Duration {
	var all []time.Duration
	for _, l := range loads {
		all = append(all, l.latencies...)
	}
	return quantile(all, q)
}
