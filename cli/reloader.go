package cli

import (
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"sync"
	"sync/atomic"

	"github.com/hashicorp/go-multierror"
	"github.com/rs/zerolog"

	"k8s-sidecar-injector/cli/hangup"
	"k8s-sidecar-injector/server"
)

// reloadPath is the path of the lifecycle port that returns a reloadReport to clients on this machine.
const reloadPath = "/reload"

// maxReportBytes limits the errors in a report.
const maxReportBytes = 64 << 10

// reloadReport is the state of the reloads on SIGHUP. There is one at a time.
type reloadReport struct {
	Started    uint64   `json:"started"`    // the number of reloads that have begun
	Finished   uint64   `json:"finished"`   // the number of those that have ended
	Generation uint64   `json:"generation"` // after the last one that has ended
	Sidecars   int      `json:"sidecars"`
	Errors     []string `json:"errors"` // one line each
}

// reloader reloads the definitions and the certificate at each SIGHUP. It serves a report of that over HTTP.
type reloader struct {
	parts     []func(context.Context) error // each returns the errors of its reload
	snapshots server.Snapshots
	log       zerolog.Logger
	report    atomic.Pointer[reloadReport]
}

func newReloader(snapshots server.Snapshots, log zerolog.Logger) *reloader {
	r := &reloader{snapshots: snapshots, log: log}
	r.report.Store(new(reloadReport))
	return r
}

// Run reloads at each SIGHUP until ctx ends. Signals during a reload cause one more reload.
func (r *reloader) Run(ctx context.Context) error {
	for {
		select {
		case <-ctx.Done():
			return nil
		case <-hangup.Signals():
			r.log.Info().Msg("SIGHUP: reading sidecars and certificate again")
			r.reload(ctx)
		}
	}
}

// reload reloads all parts and stores the report.
func (r *reloader) reload(ctx context.Context) {
	report := *r.report.Load()
	report.Started++
	r.report.Store(new(report))
	errs := make([]error, len(r.parts))
	var group sync.WaitGroup
	for i, part := range r.parts {
		group.Go(func() { errs[i] = part(ctx) })
	}
	group.Wait()
	snapshot := r.snapshots.Current()
	report.Finished = report.Started
	report.Generation, report.Sidecars = snapshot.Generation(), snapshot.Len()
	report.Errors = reportLines(multierror.Append(nil, errs...).Errors)
	r.report.Store(&report)
}

// reportLines returns a line for each error, within maxReportBytes, and the number of the others.
func reportLines(errs []error) []string {
	lines := []string{}
	size := 0
	for i, err := range errs {
		line := err.Error()
		if size += len(line); size > maxReportBytes {
			return append(lines, fmt.Sprintf("and %d more errors", len(errs)-i))
		}
		lines = append(lines, line)
	}
	return lines
}

// ServeHTTP responds with the report.
func (r *reloader) ServeHTTP(w http.ResponseWriter, _ *http.Request) {
	w.Header().Set("Content-Type", "application/json")
	_ = json.NewEncoder(w).Encode(r.report.Load())
}
