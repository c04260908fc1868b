package conf

import (
	"errors"
	"maps"
	"slices"

	corev1 "k8s.io/api/core/v1"
)

var errBinary = errors.New("is binaryData, which is not read as a definition: put it under data, as UTF-8 text")

// OfConfigMap returns the documents of a ConfigMap, by key. Each key of data is read, whatever its name. A key of
// binaryData is a document with an error. If the ConfigMap has more than 1000 documents, or is larger than an API
// server accepts, the result is one document with an error for the ConfigMap as a whole. The result is empty if
// there are no keys.
func OfConfigMap(configMap *corev1.ConfigMap) []Document {
	whole := Origin{Kind: ConfigMap, Root: configMap.Namespace + "/" + configMap.Name}
	documents := ofKeys(whole, configMap)
	size := 0 // keys of binaryData are not parsed
	for _, value := range configMap.Data {
		size += len(value)
	}
	switch {
	case len(documents) > maxDocuments:
		documents = []Document{refuse(whole, documents, errManyDocuments)}
	case size > maxDocument:
		documents = []Document{refuse(whole, documents, errLargeDocument)}
	}
	names := maxDocuments
	for i := range documents {
		d := &documents[i]
		d.Created = configMap.CreationTimestamp.Time
		d.names = d.names[:min(len(d.names), names)]
		names -= len(d.names)
	}
	slices.SortFunc(documents, func(a, b Document) int { return a.Origin.Compare(b.Origin) })
	return documents
}

// ofKeys returns the documents of all keys, but stops soon after there are too many. It reads the keys in order,
// so that it always stops at the same one.
func ofKeys(origin Origin, configMap *corev1.ConfigMap) []Document {
	var documents []Document
	text, binary := slices.Sorted(maps.Keys(configMap.Data)), slices.Sorted(maps.Keys(configMap.BinaryData))
	for i, key := range slices.Concat(text, binary) {
		origin.Name = key
		if i < len(text) {
			documents = append(documents, Split(origin, []byte(configMap.Data[key]))...)
		} else {
			refused := refuse(origin, cut(origin, configMap.BinaryData[key], maxDocuments), errBinary)
			documents = append(documents, refused)
		}
		if len(documents) > maxDocuments {
			break
		}
	}
	return documents
}
