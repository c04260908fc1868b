package jsonview

import "strings"

const (
	// chunkSize is the size of the memory that short texts share.
	chunkSize = 1 << 10
	// maxShared is the size of the longest text that shares memory. A text that is kept longer than the rest
	// holds no more than its chunk.
	maxShared = chunkSize / 8
)

// texts copies texts. Short ones share allocations.
type texts struct {
	chunk strings.Builder
}

// keep returns a copy of the text.
func (t *texts) keep(text []byte) string {
	if len(text) > maxShared {
		return string(text)
	}
	if t.chunk.Cap()-t.chunk.Len() < len(text) {
		t.chunk.Reset() // the texts keep the old chunk
		t.chunk.Grow(chunkSize)
	}
	start := t.chunk.Len()
	t.chunk.Write(text)
	return t.chunk.String()[start:]
}
