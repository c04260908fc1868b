package mutate

import (
	"strings"

	"k8s-sidecar-injector/conf"
)

// extendAnnotations is the field with words that are appended to comma-separated lists in annotations.
const extendAnnotations = "extendAnnotations"

// wordList is a comma-separated list in an annotation, with the words that sidecars append.
type wordList struct {
	value    []byte // without trailing commas
	words    map[string]bool
	added    int // index in the added annotations, or -1
	extended bool
}

// extendAnnotations appends words that a list does not have, and adds annotations that the pod does not have.
func (p *plan) extendAnnotations() {
	lists := make(map[string]*wordList)
	for _, s := range p.sidecars {
		elements := s.Elements(extendAnnotations)
		for i := range elements {
			next := &elements[i]
			if lists[next.Name] == nil {
				lists[next.Name] = p.wordList(next.Name)
			}
			p.extendAnnotation(s, next, lists[next.Name])
		}
	}
	annotations := &p.lists[annotationsMap]
	for key, list := range lists {
		if list.extended {
			annotations.added[list.added].Element = &conf.Element{Name: key, Value: string(list.value)}
		}
	}
}

func (p *plan) extendAnnotation(s *conf.Sidecar, next *conf.Element, list *wordList) {
	wanted, missing := wordsOf(next.Value), []string(nil)
	for _, word := range wanted {
		if !list.words[word] {
			list.words[word] = true
			missing = append(missing, word)
		}
	}
	why := omission{}
	switch {
	case wanted == nil:
		why.text = nothingToAppend
	case missing == nil:
		why.text = valueHasIt
	}
	if !p.record(s, nil, extendAnnotations, next.Name, why) || !p.fits(next) {
		return
	}
	if list.added < 0 {
		annotations := &p.lists[annotationsMap]
		list.added = len(annotations.added)
		annotations.added = append(annotations.added, addition{Element: next, by: s})
		p.size += len(list.value)
	}
	if len(list.value) > 0 {
		list.value = append(list.value, ',')
	}
	list.value = append(list.value, strings.Join(missing, ",")...)
	list.extended = true
}

// wordList returns the list of the pod or of a sidecar, or an empty one. The words of a list that is too long for an
// API server do not matter.
func (p *plan) wordList(key string) *wordList {
	annotations := &p.lists[annotationsMap]
	list := &wordList{words: make(map[string]bool), added: -1}
	value, received := annotations.members[key]
	if i := annotations.position(key); i >= 0 && !received {
		value, list.added = annotations.added[i].Value, i
	}
	if len(value) <= conf.MostAnnotations {
		for _, word := range wordsOf(value) {
			list.words[word] = true
		}
	}
	list.value = []byte(strings.TrimRight(value, ", \t\r\n"))
	return list
}

// wordsOf returns the words of a comma-separated list. There are no empty ones.
func wordsOf(list string) (words []string) {
	for word := range strings.SplitSeq(list, ",") {
		if word = strings.TrimSpace(word); word != "" {
			words = append(words, word)
		}
	}
	return words
}
