package conf

import (
	"errors"
	"slices"

	corev1 "k8s.io/api/core/v1"
)

var errBinary = errors.New("is binaryData, which is not read as a definition: put it under data, as UTF-8 text")

// OfConfigMap gives the documents of a ConfigMap, by key. Every key is read as a file would be,
// whatever its name; one of binaryData is a document that says why it is not read. The result is
// empty if there is no key.
func OfConfigMap(configMap *corev1.ConfigMap) []Document {
	var documents []Document
	origin := Origin{Kind: ConfigMap, Place: placeOf(configMap.Namespace, configMap.Name)}
	for key, value := range configMap.Data {
		origin.Name = key
		documents = append(documents, Split(origin, []byte(value), nil)...)
	}
	for key := range configMap.BinaryData {
		origin.Name = key
		documents = append(documents, Unreadable(origin, errBinary))
	}
	slices.SortFunc(documents, func(a, b Document) int { return a.Origin.Compare(b.Origin) })
	return documents
}

// placeOf is the Place in the origins of a ConfigMap.
func placeOf(namespace, name string) string {
	return namespace + "/" + name
}
