package bench

import (
	"cmp"
	"math"
	"slices"
)

// quantile returns the smallest value that is not less than a share q of the values, or the zero value if there are
// none.
func quantile[T cmp.Ordered](values []T, q float64) T {
	if len(values) == 0 {
		return *new(T)
	}
	sorted := slices.Sorted(slices.Values(values))
	return sorted[max(0, int(math.Ceil(q*float64(len(sorted))))-1)]
}

func median[T cmp.Ordered](values []T) T { return quantile(values, 0.5) }

// ratios returns the quotients of two series, round by round.
func ratios(of, to []float64) []float64 {
	quotients := make([]float64, min(len(of), len(to)))
	for i := range quotients {
		quotients[i] = of[i] / to[i]
	}
	return quotients
}

// spread is the median, minimum and maximum of a series.
type spread struct{ median, min, max float64 }

func spreadOf(values []float64) spread {
	return spread{median(values), slices.Min(values), slices.Max(values)}
}
