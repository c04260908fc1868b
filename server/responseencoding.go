package server

import (
	"encoding/base64"
	"strconv"

	"github.com/go-json-experiment/json"
	"github.com/go-json-experiment/json/jsontext"
)

// responseSize is about the size of a response without its patch.
const responseSize = 512

// size returns about the size of the encoded review.
func (r *responseReview) size() int {
	return responseSize + base64.StdEncoding.EncodedLen(len(r.Response.Patch))
}

// appendTo appends the encoded review to a buffer, as json.Marshal encodes it. Each review needs this, so the fields of
// an injection are written directly. A struct that only other responses have is left to json.Marshal.
func (r *responseReview) appendTo(buffer []byte) ([]byte, error) {
	a := &r.Response
	w := responseWriter{buffer: buffer}
	w.text(`{"kind":`, r.Kind)
	w.text(`,"apiVersion":`, r.APIVersion)
	w.text(`,"response":{"uid":`, a.UID)
	w.buffer = strconv.AppendBool(append(w.buffer, `,"allowed":`...), a.Allowed)
	if a.Status != nil {
		w.value(`,"status":`, a.Status)
	}
	if len(a.Patch) > 0 {
		w.buffer = base64.StdEncoding.AppendEncode(append(w.buffer, `,"patch":"`...), a.Patch)
		w.buffer = append(w.buffer, '"')
	}
	w.optional(`,"patchType":`, a.PatchType)
	if a.Audit.Reinvocation != "" {
		w.text(`,"auditAnnotations":{"reinvocation":`, string(a.Audit.Reinvocation))
	} else {
		w.text(`,"auditAnnotations":{"outcome":`, string(a.Audit.Outcome))
		w.optional(`,"reason":`, string(a.Audit.Reason))
		w.optional(`,"sidecars":`, a.Audit.Sidecars)
		w.optional(`,"generation":`, a.Audit.Generation)
	}
	w.buffer = append(w.buffer, '}')
	if len(a.Warnings) > 0 {
		w.value(`,"warnings":`, a.Warnings)
	}
	return append(w.buffer, "}}"...), w.err
}

// responseWriter appends members of JSON objects. err is the first error.
type responseWriter struct {
	buffer []byte
	err    error
}

// text appends a name, with what precedes it, and a string.
func (w *responseWriter) text(name, value string) {
	var err error
	w.buffer, err = jsontext.AppendQuote(append(w.buffer, name...), value)
	w.keep(err)
}

// optional is text, except for an empty string.
func (w *responseWriter) optional(name, value string) {
	if value != "" {
		w.text(name, value)
	}
}

// value appends a name, with what precedes it, and any value.
func (w *responseWriter) value(name string, value any) {
	text, err := json.Marshal(value)
	w.buffer = append(append(w.buffer, name...), text...)
	w.keep(err)
}

func (w *responseWriter) keep(err error) {
	if w.err == nil {
		w.err = err
	}
}
