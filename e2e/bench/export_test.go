package bench

// Exported for tests.
var (
	AroundUID         = aroundUID
	CELPatch          = celPatch
	CPUTime           = cpuTime
	Median            = median[float64]
	NewConstant       = newConstant
	NewReview         = newReview
	PrintTable        = printTable
	Quantile          = quantile[int]
	Ratios            = ratios
	StatusSize        = statusSize
	Times             = times
	WithoutGeneration = withoutGeneration
	WriteRecords      = writeRecords
	WriteLong         = func(dir string, count int) (int, error) { return writeSidecars(dir, count, long) }
	WriteShort        = func(dir string, count int) (int, error) { return writeSidecars(dir, count, short) }
)

// Record is a point of a plot.
type Record = record

// NewRecord returns a point of a plot.
func NewRecord(plot, series string, x, y float64) Record { return record{plot, series, x, y} }
