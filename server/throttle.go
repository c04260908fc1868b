package server

import (
	"sync/atomic"
	"time"

	"github.com/rs/zerolog"
	"golang.org/x/time/rate"
)

const (
	// mostLines is how many lines a throttle logs in a second.
	mostLines = 10
	// reportDelay is how long a throttle counts before it logs how many lines it has suppressed.
	reportDelay = time.Second
)

// throttle logs lines that any client can cause, at a limited rate. It is safe for concurrent use.
type throttle struct {
	log        zerolog.Logger
	limiter    *rate.Limiter
	suppressed atomic.Int64
}

func newThrottle(log zerolog.Logger) *throttle {
	return &throttle{log: log, limiter: rate.NewLimiter(mostLines, mostLines)}
}

// event returns a new event, or nil if the level is disabled or the line is suppressed. All methods
// of a nil event do nothing.
func (t *throttle) event(level zerolog.Level) *zerolog.Event {
	if level < t.log.GetLevel() {
		return nil
	}
	if t.limiter.Allow() {
		return t.log.WithLevel(level) //nolint:zerologlint // the caller dispatches it
	}
	if t.suppressed.Add(1) == 1 {
		time.AfterFunc(reportDelay, t.report)
	}
	return nil
}

func (t *throttle) report() {
	t.log.Warn().Int64("suppressed", t.suppressed.Swap(0)).Msg("too many refused requests: log lines were suppressed")
}
