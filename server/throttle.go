package server

import (
	"sync/atomic"
	"time"

	"github.com/rs/zerolog"
	"golang.org/x/time/rate"
)

const (
	// maxLines is how many lines a throttle of refusals logs per second.
	maxLines = 10
	// maxReviewLines and reviewLinesBurst limit the lines about reviews. An API server that creates hundreds
	// of pods at once stays within them.
	maxReviewLines   = 200
	reviewLinesBurst = 1000
	// reportDelay is how long a throttle counts suppressed lines before it logs their number.
	reportDelay = time.Second
)

// throttle limits the rate of one kind of log lines, which any client can cause. It is safe for
// concurrent use.
type throttle struct {
	log        zerolog.Logger
	kind       string
	limiter    *rate.Limiter
	suppressed atomic.Int64
}

func newThrottle(log zerolog.Logger, kind string) *throttle {
	return &throttle{log: log, kind: kind, limiter: rate.NewLimiter(maxLines, maxLines)}
}

// newReviewThrottle returns a throttle for lines about reviews that were answered.
func newReviewThrottle(log zerolog.Logger) *throttle {
	return &throttle{log: log, kind: "reviews", limiter: rate.NewLimiter(maxReviewLines, reviewLinesBurst)}
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
	t.log.Warn().Int64("suppressed", t.suppressed.Swap(0)).Str("kind", t.kind).Msg("log lines were suppressed")
}
