package server

import (
	"sync/atomic"
	"time"

	"github.com/rs/zerolog"
	"golang.org/x/time/rate"
)

const (
	// mostLines is how many lines a throttle of refusals logs in a second.
	mostLines = 10
	// mostReviewLines and reviewLinesBurst limit the lines about reviews. An API server that creates hundreds of
	// pods at once stays within them.
	mostReviewLines  = 200
	reviewLinesBurst = 1000
	// reportDelay is how long a throttle counts before it logs how many lines it has suppressed.
	reportDelay = time.Second
)

// throttle logs lines that any client can cause, at a limited rate. It is safe for concurrent use.
type throttle struct {
	log        zerolog.Logger
	what       string // what causes the lines
	limiter    *rate.Limiter
	suppressed atomic.Int64
}

func newThrottle(log zerolog.Logger) *throttle {
	return &throttle{log: log, what: "refused requests", limiter: rate.NewLimiter(mostLines, mostLines)}
}

// newReviewThrottle returns a throttle for lines about reviews that were answered.
func newReviewThrottle(log zerolog.Logger) *throttle {
	return &throttle{log: log, what: "reviews", limiter: rate.NewLimiter(mostReviewLines, reviewLinesBurst)}
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
	t.log.Warn().Int64("suppressed", t.suppressed.Swap(0)).Msg("too many " + t.what + ": log lines were suppressed")
}
