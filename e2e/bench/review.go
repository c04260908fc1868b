package bench

import (
	"bytes"
	"fmt"
	"strconv"
	"strings"
)

// Anchors of the recorded review: its request, the first variable of its container web, and the same in managedFields.
const (
	anchorRequest = `"injector.tumblr.com/request":"logger:v1"`
	anchorEnv     = `"env":[{"name":"LOG_LEVEL"`
	anchorField   = `"k:{\"name\":\"LOG_LEVEL\"}":{`
)

// newReview returns the recorded review with another request, or without one if the ref is empty. It adds variables to
// a container, with their managedFields, until the review has at least size bytes.
func newReview(recorded []byte, ref string, size int) ([]byte, error) {
	review := string(bytes.TrimSpace(recorded))
	for _, anchor := range []string{anchorRequest, anchorEnv, anchorField} {
		if strings.Count(review, anchor) != 1 {
			return nil, fmt.Errorf("the recorded review does not have %s once", anchor)
		}
	}
	request := `"injector.tumblr.com/request":` + strconv.Quote(ref)
	if ref == "" {
		request = `"example.com/request":"none"`
	}
	review = strings.Replace(review, anchorRequest, request, 1)
	var env, fields strings.Builder
	for n := 0; len(review)+env.Len()+fields.Len() < size; n++ {
		fmt.Fprintf(&env, `{"name":"SETTING_%d","value":"http://service-%d.example.svc:8080"},`, n, n)
		fmt.Fprintf(&fields, `"k:{\"name\":\"SETTING_%d\"}":{".":{},"f:name":{},"f:value":{}},`, n)
	}
	review = strings.Replace(review, anchorEnv, `"env":[`+env.String()+strings.TrimPrefix(anchorEnv, `"env":[`), 1)
	return []byte(strings.Replace(review, anchorField, fields.String()+anchorField, 1)), nil
}
