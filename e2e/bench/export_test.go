package bench

// Exported for tests.
var (
	AroundUID   = aroundUID
	CPUTime     = cpuTime
	Median      = median[float64]
	NewConstant = newConstant
	NewReview   = newReview
	PrintTable  = printTable
	Quantile    = quantile[int]
	Ratios      = ratios
	StatusSize  = statusSize
	Times       = times
)
