package conf

import (
	"iter"
	"strings"
)

const (
	maxWord  = 64 // bytes of a word or candidate that is compared
	maxEdits = 2
)

// Nearest returns the candidate that a misspelled word stands for, or an empty string. They may differ in letter case,
// by one edit in words of 3 bytes or more, and by two in words of 6 bytes or more.
func Nearest(word string, candidates iter.Seq[string]) string {
	nearest, least := "", min(len(word)/3, maxEdits)+1
	if len(word) > maxWord {
		return ""
	}
	for candidate := range candidates {
		if len(candidate) > maxWord || max(len(candidate)-len(word), len(word)-len(candidate)) > least {
			continue
		}
		edits := distance(strings.ToLower(word), strings.ToLower(candidate), least)
		if edits < least || edits == least && nearest != "" && candidate < nearest {
			nearest, least = candidate, edits
		}
	}
	return nearest
}

// DidYouMean returns `: did you mean NAME?`, or an empty string if no candidate is near.
func DidYouMean(word string, candidates iter.Seq[string]) string {
	if nearest := Nearest(word, candidates); nearest != "" {
		return ": did you mean " + nearest + "?"
	}
	return ""
}

// distance returns how many bytes must be inserted, deleted, replaced or swapped with the next one to make b of a (the
// restricted Damerau-Levenshtein distance). It returns limit+1 if there are more than limit.
func distance(a, b string, limit int) int {
	var rows [3][maxWord*3 + 1]int // letters may grow in lower case
	if len(a) > maxWord*3 || len(b) > maxWord*3 {
		return limit + 1
	}
	for j := range len(b) {
		rows[0][j+1] = j + 1
	}
	for i := range len(a) {
		above, row := &rows[i%3], &rows[(i+1)%3]
		row[0] = i + 1
		least := row[0]
		for j := range len(b) {
			row[j+1] = min(above[j+1], row[j], above[j]) + 1
			if a[i] == b[j] {
				row[j+1] = above[j]
			}
			if i > 0 && j > 0 && a[i] == b[j-1] && a[i-1] == b[j] {
				row[j+1] = min(row[j+1], rows[(i+2)%3][j-1]+1)
			}
			least = min(least, row[j+1])
		}
		if least > limit {
			return limit + 1
		}
	}
	return rows[len(a)%3][len(b)]
}
