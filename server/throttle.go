package server

import (
	"sync/atomic"
	"time"

	"github.com/rs/zerolog"
	"golang.org/x/time/rate"
)

const (
	// maxLines is how many lines of one kind are logged per second, except about reviews.
	maxLines = 10
	// maxReviewLines and reviewLinesBurst limit the lines about reviews that were answered. The creation of
	// hundreds of pods at once stays within them.
	maxReviewLines   = 200
	reviewLinesBurst = 1000
	// reportDelay is how long a throttle counts suppressed lines before it logs their number.
	reportDelay = time.Second
)

// throttle limits the rate of one kind of log lines that any client can cause. It implements zerolog.Sampler, and
// is safe for concurrent use.
type throttle struct {
	log        zerolog.Logger
	kind       string
	limiter    *rate.Limiter
	suppressed atomic.Int64
}

// throttled returns a logger for one kind of lines.
func throttled(log zerolog.Logger, kind string) zerolog.Logger {
	return log.Sample(&throttle{log: log, kind: kind, limiter: rate.NewLimiter(maxLines, maxLines)})
}

// throttledReviews returns a logger for lines about reviews that were answered.
func throttledReviews(log zerolog.Logger) zerolog.Logger {
	limiter := rate.NewLimiter(maxReviewLines, reviewLinesBurst)
	return log.Sample(&throttle{log: log, kind: "reviews", limiter: limiter})
}

// Sample reports whether to log a line.
func (t *throttle) Sample(zerolog.Level) bool {
	if t.limiter.Allow() {
		return true
	}
	if t.suppressed.Add(1) == 1 {
		time.AfterFunc(reportDelay, func() {
			t.log.Warn().Int64("suppressed", t.suppressed.Swap(0)).Str("kind", t.kind).Msg("log lines were suppressed")
		})
	}
	return false
}
