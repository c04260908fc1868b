package server

import (
	"fmt"
	"net/http"
	"slices"
	"strings"

	"github.com/go-json-experiment/json"
	"github.com/go-json-experiment/json/jsontext"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

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

// decodeChange reads a review. What is not about a ConfigMap has neither object. With an error, the
// change has what could be read of its version and uid, which is enough to answer, or is nil.
func decodeChange(body []byte, selects func(*corev1.ConfigMap) bool) (*change, error) {
	var r struct {
		Kind       string  `json:"kind"`
		APIVersion string  `json:"apiVersion"`
		Request    *change `json:"request"`
	}
	if err := json.Unmarshal(body, &r); err != nil {
		return nil, fmt.Errorf("the body is not an AdmissionReview: %w", mutate.DecodeError(err, ""))
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
	return r.Request, r.Request.decode(selects)
}

// forget drops the content of the objects, of which only the name is logged.
func (c *change) forget() {
	c.Name = c.name()
	c.object, c.old = nil, nil
}

// decode decodes the metadata of both objects, and the data of the new one if it is selected.
func (c *change) decode(selects func(*corev1.ConfigMap) bool) (err error) {
	object, old := c.Object, c.OldObject
	c.Object, c.OldObject = nil, nil
	if c.Resource != (mutate.Resource{Version: "v1", Resource: "configmaps"}) {
		return nil
	}
	if c.old, err = decodeMetadata(old, c.Namespace); err != nil {
		return fmt.Errorf("request.oldObject: %w", err)
	}
	if c.object, err = decodeMetadata(object, c.Namespace); err != nil {
		return fmt.Errorf("request.object: %w", err)
	}
	if c.object != nil {
		c.object.CreationTimestamp = c.created()
	}
	if c.after(selects) {
		if err = decodeData(object, c.object); err != nil {
			return fmt.Errorf("request.object: %w", err)
		}
	}
	return nil
}

// keyCost is charged for each label and each key of data, beside its bytes.
const keyCost = 64

// size returns about the bytes that the decoded change takes.
func (c *change) size() int64 {
	size := len(c.version) + len(c.UID) + len(c.Name) + len(c.Namespace) + len(c.Operation) + len(c.User.Name)
	for _, object := range []*corev1.ConfigMap{c.object, c.old} {
		if object == nil {
			continue
		}
		size += len(object.Name)
		for key, value := range object.Labels {
			size += keyCost + len(key) + len(value)
		}
		for key, value := range object.Data {
			size += keyCost + len(key) + len(value)
		}
		for key, value := range object.BinaryData {
			size += keyCost + len(key) + len(value)
		}
	}
	return int64(size)
}

// created is the creationTimestamp that decides who owns a ref. The API server sets that of a new ConfigMap
// before it asks. It is left out here: a new ConfigMap is younger than one of the same second.
func (c *change) created() metav1.Time {
	if c.old == nil {
		return metav1.Time{}
	}
	return c.old.CreationTimestamp
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
	a.Response.Warnings = d.warnings(faults)
	return a
}

// The API server passes on 4 KiB of warnings, and 256 bytes of each.
const (
	mostReasons  = 5
	mostWarnings = 15
)

// warnings tell the author of an allowed change what is wrong all the same.
func (d *verdict) warnings(faults []string) []string {
	prefix := "still rejected: "
	var list []string
	if d.trouble != nil {
		prefix = "would be rejected: "
		list = append(list, warning(fmt.Sprintf("it cannot be told for certain now, as the injector's own reading fails: %v", d.trouble)))
	}
	for _, fault := range faults[:min(len(faults), mostReasons)] {
		list = append(list, warning(prefix+fault))
	}
	if more := len(faults) - mostReasons; more > 0 {
		list = append(list, warning(fmt.Sprintf("%sand %d more", prefix, more)))
	}
	var others []string
	for i, rejection := range d.broken {
		if i < mostReasons {
			list = append(list, warning(breaks(rejection)))
		} else {
			others = append(others, stale(rejection)...)
		}
	}
	return append(list, breaksToo(others, mostWarnings-len(list))...)
}

// breaks tells the author of one definition what becomes of another.
func breaks(r conf.Rejection) string {
	return fmt.Sprintf("this breaks %s, served as before until mended or until a restart: %v", strings.Join(stale(r), ", "), r.Errors)
}

func stale(r conf.Rejection) []string {
	names := make([]string, len(r.Stale))
	for i, ref := range r.Stale {
		names[i] = ref.String()
	}
	return names
}

// breaksToo names more that breaks, in so many warnings at most.
func breaksToo(names []string, most int) (list []string) {
	const room = 200
	for len(names) > 0 {
		text, count := names[0], 1
		for count < len(names) && len(text)+len(names[count]) < room {
			text += ", " + names[count]
			count++
		}
		names = names[count:]
		if len(list) == most-1 && len(names) > 0 {
			return append(list, warning(fmt.Sprintf("this breaks %s and %d more", text, len(names))))
		}
		list = append(list, warning("this breaks "+text))
	}
	return list
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
