package conf

import (
	"bytes"
	"hash/maphash"
	"slices"
)

// Split splits the content of a file like the function Split. If the set has loaded the same content of the file, the
// result is the documents of the set. Otherwise, they share no memory with content. The set may be nil.
func (s *Set) Split(origin Origin, content []byte) []Document {
	sum := maphash.Bytes(fileSeed, content)
	if known := s.file(origin); known != nil && known[0].fileSum != nil && *known[0].fileSum == sum {
		return known
	}
	documents := Split(origin, bytes.Clone(content))
	for i := range documents {
		documents[i].fileSum = &sum
	}
	return documents
}

// fileSeed makes the sums of files unpredictable. maphash is ten times as fast as SHA-256, and every reload reads every
// file.
var fileSeed = maphash.MakeSeed() //nolint:gochecknoglobals // constant in a process

// file returns the documents of a file, or nil. They must not be changed.
func (s *Set) file(origin Origin) []Document {
	if s == nil {
		return nil
	}
	start, found := slices.BinarySearchFunc(s.documents, origin, compareOrigin)
	if !found {
		return nil
	}
	end := start + 1
	for end < len(s.documents) && s.documents[end].Origin.whole() == origin {
		end++
	}
	return s.documents[start:end:end]
}

// Release replaces the content of documents, and the results of earlier loads, by the results of the load, as far as
// the set has them. A load of the documents, with the same Rules, equals a load of them as they were.
func (s *Set) Release(documents []Document) {
	next := 0 // usually the documents are in the order of the set
	for i := range documents {
		d := &documents[i]
		d.identify()
		if next >= len(s.documents) || s.documents[next].Origin != d.Origin {
			next, _ = slices.BinarySearchFunc(s.documents, d.Origin, compareOrigin)
		}
		if next < len(s.documents) && s.documents[next].known != nil && d.unchanged(&s.documents[next]) {
			*d = s.documents[next]
		}
		next++
	}
}

// find returns the document of an origin, or nil.
func (s *Set) find(origin Origin) *Document {
	i, found := slices.BinarySearchFunc(s.documents, origin, compareOrigin)
	if !found {
		return nil
	}
	return &s.documents[i]
}

func compareOrigin(d Document, origin Origin) int { return d.Origin.Compare(origin) }

// resultOf returns the result of an earlier load of the document, or nil.
func (s *Set) resultOf(document *Document) *result {
	if document.known != nil {
		return document.known
	}
	if earlier := s.find(document.Origin); earlier != nil && document.unchanged(earlier) {
		return earlier.known
	}
	return nil
}
