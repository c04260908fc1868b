package conf

import (
	"errors"
	"maps"
	"slices"

	corev1 "k8s.io/api/core/v1"
)

var errBinary = errors.New("is binaryData, which is not read as a definition: put it under data, as UTF-8 text")

// OfConfigMap gives the documents of a ConfigMap, by key. Every key is read as a file would be,
// whatever its name; one of binaryData is a document that says why it is not read. The result is
// empty if there is no key. If there are more than 1000 documents, or more than an API server
// stores, it is one for the ConfigMap as a whole, which says so.
func OfConfigMap(configMap *corev1.ConfigMap) []Document {
	whole := Origin{Kind: ConfigMap, Place: placeOf(configMap.Namespace, configMap.Name)}
	documents := ofKeys(whole, configMap)
	switch {
	case len(documents) > maxDocuments:
		documents = []Document{refuse(whole, documents, errManyDocuments)}
	case sizeOf(configMap) > maxDocument:
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

// ofKeys stops soon after there are too many documents. It reads the keys in order, so that it always
// stops at the same one.
func ofKeys(origin Origin, configMap *corev1.ConfigMap) []Document {
	var documents []Document
	for _, key := range slices.Sorted(maps.Keys(configMap.Data)) {
		origin.Name = key
		documents = append(documents, Split(origin, []byte(configMap.Data[key]), nil)...)
		if len(documents) > maxDocuments {
			return documents
		}
	}
	for _, key := range slices.Sorted(maps.Keys(configMap.BinaryData)) {
		origin.Name = key
		documents = append(documents, refuse(origin, cut(origin, configMap.BinaryData[key], nil, maxDocuments), errBinary))
		if len(documents) > maxDocuments {
			return documents
		}
	}
	return documents
}

// sizeOf returns the bytes in the keys of data. Those of binaryData are never parsed.
func sizeOf(configMap *corev1.ConfigMap) int {
	size := 0
	for _, value := range configMap.Data {
		size += len(value)
	}
	return size
}

// placeOf is the Place in the origins of a ConfigMap.
func placeOf(namespace, name string) string {
	return namespace + "/" + name
}
