package server

import (
	stdjson "encoding/json"
	"fmt"
	"net/http"
	"slices"
	"strings"

	"github.com/go-json-experiment/json"
	"github.com/go-json-experiment/json/jsontext"
	corev1 "k8s.io/api/core/v1"

	"k8s-sidecar-injector/conf"
	"k8s-sidecar-injector/mutate"
)

// allowed is the outcome of a change that is not denied.
const allowed mutate.Outcome = "allowed"

// maxReport is the longest text that tells somebody what is wrong with their definitions.
const maxReport = 16 << 10

// change is the question whether a ConfigMap may become another.
type change struct {
	version string

	UID       string          `json:"uid"`
	Resource  mutate.Resource `json:"resource"`
	Name      string          `json:"name"`
	Namespace string          `json:"namespace"`
	Operation string          `json:"operation"`
	User      struct {
		Name string `json:"username"`
	} `json:"userInfo"`
	Object    jsontext.Value `json:"object"`
	OldObject jsontext.Value `json:"oldObject"`

	// object and old are nil where there is none, and where it is no ConfigMap.
	object, old *corev1.ConfigMap
}

// decodeChange reads a review. What is not about a ConfigMap has neither object.
func decodeChange(body []byte) (*change, error) {
	var r struct {
		Kind       string  `json:"kind"`
		APIVersion string  `json:"apiVersion"`
		Request    *change `json:"request"`
	}
	if err := json.Unmarshal(body, &r); err != nil {
		return nil, fmt.Errorf("the body is not an AdmissionReview: %w", mutate.Explain(err, ""))
	}
	if err := checkKind(r.Kind, r.APIVersion); err != nil {
		return nil, err
	}
	if r.Request == nil {
		return nil, errNoRequest
	}
	if err := checkUID(r.Request.UID); err != nil {
		return nil, err
	}
	r.Request.version = r.APIVersion
	return r.Request, r.Request.decode()
}

// decode reads the objects.
func (c *change) decode() (err error) {
	if c.Resource != (mutate.Resource{Version: "v1", Resource: "configmaps"}) {
		return nil
	}
	if c.object, err = configMap(c.Object, c.Namespace); err != nil {
		return fmt.Errorf("request.object: %w", err)
	}
	if c.old, err = configMap(c.OldObject, c.Namespace); err != nil {
		return fmt.Errorf("request.oldObject: %w", err)
	}
	return nil
}

// configMap decodes an object that may be absent or null.
func configMap(object jsontext.Value, namespace string) (*corev1.ConfigMap, error) {
	if len(object) == 0 || object.Kind() == 'n' {
		return nil, nil //nolint:nilnil // there is none
	}
	decoded := new(corev1.ConfigMap)
	if err := stdjson.Unmarshal(object, decoded); err != nil {
		return nil, fmt.Errorf("not a ConfigMap: %w", err)
	}
	decoded.Namespace = namespace // which is the one that counts
	if decoded.Name == "" {
		decoded.Name = decoded.GenerateName + "*" // which is not made yet
	}
	return decoded, nil
}

// name is that of the ConfigMap.
func (c *change) name() string {
	if c.object != nil {
		return c.object.Name
	}
	return c.Name
}

// before tells whether the definitions are among those served until now.
func (c *change) before(selects func(*corev1.ConfigMap) bool) bool {
	return c.old != nil && selects(c.old)
}

// after tells whether the definitions are to be served.
func (c *change) after(selects func(*corev1.ConfigMap) bool) bool {
	return c.object != nil && selects(c.object)
}

// answer puts the verdict in the words of the API.
func (d *verdict) answer(c *change) answer {
	a := newAnswer(c.version, c.UID, !d.denied, audit{Outcome: d.outcome()})
	faults := messages(d.faults)
	if d.denied {
		text := strings.Join(slices.Concat([]string{"these definitions would be rejected:"}, faults), "\n")
		a.Response.Status = failure(http.StatusForbidden, "Forbidden", "")
		a.Response.Status.Message = clipped(text, maxReport)
		return a
	}
	for _, fault := range faults {
		a.Response.Warnings = append(a.Response.Warnings, warning("still rejected: "+fault))
	}
	for _, rejection := range d.broken[:min(len(d.broken), mostMessages)] {
		a.Response.Warnings = append(a.Response.Warnings, warning(breaks(rejection)))
	}
	return a
}

// breaks tells the author of one definition what becomes of another.
func breaks(r conf.Rejection) string {
	names := make([]string, len(r.Stale))
	for i, ref := range r.Stale {
		names[i] = ref.String()
	}
	return fmt.Sprintf("this breaks %s, served as before until mended or until a restart: %v", strings.Join(names, ", "), r.Errors)
}

// mostMessages keeps the answer and the log line about a ConfigMap of a thousand mistakes readable.
const mostMessages = 50

// messages are the errors of rejections, each with its origin: the first of them, and how many
// more there are.
func messages(rejections []conf.Rejection) []string {
	var list []string
	more := 0
	for _, r := range rejections {
		for _, err := range r.Errors.Errors {
			if len(list) == mostMessages {
				more++
				continue
			}
			list = append(list, err.Error())
		}
	}
	if more > 0 {
		list = append(list, fmt.Sprintf("and %d more", more))
	}
	return list
}
