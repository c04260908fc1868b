package inspect

import (
	"cmp"
	"context"
	"fmt"
	"iter"
	"maps"
	"slices"

	jsonv2 "github.com/go-json-experiment/json"
	"github.com/go-json-experiment/json/jsontext"
	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"

	"k8s-sidecar-injector/mutate"
	"k8s-sidecar-injector/store"
)

// Query selects pods.
type Query struct {
	Namespace string // empty for all
	Labels    string // label selector
	// LastValidUnknown is set if the injector may serve the last valid versions of rejected definitions, which are not
	// in the snapshot.
	LastValidUnknown bool
	// Rollouts is set to read the field Rollout of rows.
	Rollouts bool
}

// Report is the state of the sidecars in the pods of a cluster.
type Report struct {
	// Rows are sorted. Their combinations of all fields but Pods and Message are unique.
	Rows []Row
	// Unread are the errors about objects that could not be read. The report does not cover them.
	Unread []error
}

// Row is the state of one sidecar in some pods of a workload.
type Row struct {
	Namespace string `json:"namespace"`
	// Kind and Workload are those of the top-level controller, or of a pod without one.
	Kind     string `json:"kind"`
	Workload string `json:"workload"`
	// Pods is the number of pods. Pods that have ended or are being deleted do not count.
	Pods int `json:"pods"`
	// Sidecar is name:version, or the request itself if it is malformed.
	Sidecar string `json:"sidecar"`
	State   State  `json:"state"`
	// Reason is empty unless the state is Refused.
	Reason mutate.Reason `json:"reason"`
	// Running and Served are the beginnings of digests. They are empty if there is none.
	Running string `json:"running"`
	Served  string `json:"served"`

	// APIVersion is that of the workload.
	APIVersion string `json:"-"`
	// Rollout is what prevents a restart of the workload from replacing the pods. It is empty unless the query has
	// Rollouts and the row needs a restart.
	Rollout Rollout `json:"-"`
	// Message is about one of the pods, and has the cause if the sidecar is refused or removed.
	Message string `json:"-"`
}

// NeedsRestart reports whether new pods would differ.
func (r *Row) NeedsRestart() bool { return r.State == Outdated || r.State == Missing }

// group identifies the pods of a row.
type group struct {
	namespace string
	owner     owner
	finding
}

// count is the content of a row.
type count struct {
	pods    int
	message string
}

// owner is the view of an owner reference.
type owner struct {
	APIVersion string `json:"apiVersion"`
	Kind       string `json:"kind"`
	Name       string `json:"name"`
}

// podMetadata is the view of the metadata of an object.
type podMetadata struct {
	Namespace         string            `json:"namespace"`
	Name              string            `json:"name"`
	DeletionTimestamp string            `json:"deletionTimestamp"`
	Annotations       map[string]string `json:"annotations"`
	OwnerReferences   []struct {
		owner
		Controller bool `json:"controller"`
	} `json:"ownerReferences"`
}

func decodeMetadata(object jsontext.Value) (*podMetadata, error) {
	var o struct {
		Metadata podMetadata `json:"metadata"`
	}
	err := jsonv2.Unmarshal(object, &o)
	return &o.Metadata, err
}

// controller returns the controller of an object.
func (m *podMetadata) controller() (o owner, found bool) {
	for _, reference := range m.OwnerReferences {
		if reference.Controller {
			return reference.owner, true
		}
	}
	return owner{}, false
}

// reporter makes a report.
type reporter struct {
	*assessor
	client *Client
	pods   int
	groups map[group]count
	// scope are the namespaces that can be read, or an empty string for all.
	scope  []string
	unread []error
}

// Report compares the running pods with the definitions of a snapshot. It keeps what Row has, not the pods.
func (c *Client) Report(ctx context.Context, snapshot *store.Snapshot, s *Settings, q Query) (*Report, error) {
	r := &reporter{
		assessor: &assessor{snapshot: snapshot, policy: &s.Policy, lastValidUnknown: q.LastValidUnknown},
		client:   c, groups: make(map[group]count),
	}
	if s.NamespaceDefaults {
		if err := r.readDefaults(ctx, q.Namespace); err != nil {
			return nil, err
		}
	}
	if err := r.readPods(ctx, q); err != nil {
		return nil, err
	}
	if err := r.resolveOwners(ctx, owner{APIVersion: "apps/v1", Kind: "ReplicaSet"}, replicaSets()); err != nil {
		return nil, err
	}
	if err := r.resolveOwners(ctx, owner{APIVersion: "batch/v1", Kind: "Job"}, jobs()); err != nil {
		return nil, err
	}
	rows := r.rows()
	if q.Rollouts {
		if err := r.readRollouts(ctx, rows); err != nil {
			return nil, err
		}
	}
	return &Report{Rows: rows, Unread: r.unread}, nil
}

// tolerate keeps an error about missing permission for the report. It returns all others.
func (r *reporter) tolerate(err error) error {
	if !apierrors.IsForbidden(err) {
		return err
	}
	r.unread = append(r.unread, err)
	return nil
}

// readDefaults reads the requests of namespaces.
func (r *reporter) readDefaults(ctx context.Context, namespace string) error {
	r.defaults = make(map[string]string)
	keep := func(object jsontext.Value) error {
		m, err := decodeMetadata(object)
		if request, found := m.Annotations[r.policy.RequestAnnotation()]; found {
			r.defaults[m.Name] = request
		}
		return err
	}
	var err error
	if namespace == "" {
		err = r.client.list(ctx, namespaces(), "", nil, keep)
	} else {
		var object jsontext.Value
		if err = r.client.get(ctx, namespaces(), "", namespace, &object); err == nil {
			err = keep(object)
		}
	}
	return r.tolerate(err)
}

// readPods reads the pods. If those of all namespaces may not be listed together, it lists each namespace.
func (r *reporter) readPods(ctx context.Context, q Query) error {
	err := r.listPods(ctx, q.Namespace, q.Labels)
	r.scope = []string{q.Namespace}
	if q.Namespace != "" || !apierrors.IsForbidden(err) {
		return err
	}
	var all []string
	listErr := r.client.list(ctx, namespaces(), "", nil, func(object jsontext.Value) error {
		m, err := decodeMetadata(object)
		all = append(all, m.Name)
		return err
	})
	if listErr != nil {
		return fmt.Errorf("%w; %w", err, listErr)
	}
	r.scope = nil
	for _, namespace := range all {
		err := r.listPods(ctx, namespace, q.Labels)
		if err == nil {
			r.scope = append(r.scope, namespace)
		}
		if err := r.tolerate(err); err != nil {
			return err
		}
	}
	if r.scope == nil {
		return fmt.Errorf("%w, nor in any of the %d namespaces", err, len(all))
	}
	return nil
}

// listPods adds the pods of a namespace that have not ended.
func (r *reporter) listPods(ctx context.Context, namespace, labels string) error {
	parameters := map[string]string{"fieldSelector": "status.phase!=Succeeded,status.phase!=Failed"}
	if labels != "" {
		parameters["labelSelector"] = labels
	}
	return r.client.list(ctx, pods(), namespace, parameters, r.addPod)
}

// addPod adds the findings for a pod. Mirror pods and pods that are being deleted are ignored.
func (r *reporter) addPod(object jsontext.Value) error {
	r.pods++
	if r.client.Progress != nil && r.pods%pageSize == 0 {
		r.client.Progress(r.pods)
	}
	m, err := decodeMetadata(object)
	if err != nil {
		return fmt.Errorf("cannot decode a pod: %w", err)
	}
	if _, mirror := m.Annotations[corev1.MirrorPodAnnotationKey]; mirror || m.DeletionTimestamp != "" || !r.concerns(m) {
		return nil
	}
	controller, found := m.controller()
	if !found {
		controller = owner{APIVersion: "v1", Kind: "Pod", Name: m.Name}
	}
	findings, message := r.assess(m, object)
	for _, f := range findings {
		r.add(group{m.Namespace, controller, f}, count{pods: 1, message: message(f)})
	}
	return nil
}

// add adds pods to a group. Of several messages, it keeps the first in alphabetical order.
func (r *reporter) add(g group, more count) {
	if known := r.groups[g]; known.pods > 0 {
		more.pods += known.pods
		more.message = min(more.message, known.message)
	}
	r.groups[g] = more
}

// named is an object of a known kind.
type named struct{ namespace, name string }

// resolveOwners replaces owners of a kind by their own controllers. It lists them only if there are any.
func (r *reporter) resolveOwners(ctx context.Context, kind owner, source resource) error {
	controllers := make(map[named]owner)
	for g := range r.groups {
		if g.owner.APIVersion == kind.APIVersion && g.owner.Kind == kind.Kind {
			controllers[named{g.namespace, g.owner.Name}] = g.owner
		}
	}
	if err := r.readControllers(ctx, source, controllers); err != nil {
		return err
	}
	before := r.groups
	r.groups = make(map[group]count, len(before))
	for g, c := range before {
		if g.owner.APIVersion == kind.APIVersion && g.owner.Kind == kind.Kind {
			g.owner = controllers[named{g.namespace, g.owner.Name}]
		}
		r.add(g, c)
	}
	return nil
}

// readControllers reads the controllers of the objects in the map, in their namespaces.
func (r *reporter) readControllers(ctx context.Context, source resource, controllers map[named]owner) error {
	return r.listIn(ctx, source, maps.Keys(controllers), func(item jsontext.Value) error {
		m, err := decodeMetadata(item)
		controller, found := m.controller()
		if _, known := controllers[named{m.Namespace, m.Name}]; known && found {
			controllers[named{m.Namespace, m.Name}] = controller
		}
		return err
	})
}

// listIn lists all objects of the namespaces of some objects.
func (r *reporter) listIn(
	ctx context.Context, source resource, objects iter.Seq[named], visit func(jsontext.Value) error,
) error {
	needed := make(map[string]bool)
	for object := range objects {
		needed[object.namespace], needed[""] = true, true
	}
	for _, namespace := range r.scope {
		if !needed[namespace] {
			continue
		}
		if err := r.tolerate(r.client.list(ctx, source, namespace, nil, visit)); err != nil {
			return err
		}
	}
	return nil
}

// rows returns the groups as sorted rows.
func (r *reporter) rows() []Row {
	rows := make([]Row, 0, len(r.groups))
	for g, c := range r.groups {
		rows = append(rows, Row{
			Namespace: g.namespace, APIVersion: g.owner.APIVersion, Kind: g.owner.Kind, Workload: g.owner.Name,
			Pods: c.pods, Sidecar: g.sidecar, State: g.state, Reason: g.reason, Running: g.running, Served: g.served,
			Message: c.message,
		})
	}
	slices.SortFunc(rows, func(a, b Row) int {
		return cmp.Or(
			cmp.Compare(a.Namespace, b.Namespace), cmp.Compare(a.Kind, b.Kind), cmp.Compare(a.Workload, b.Workload),
			cmp.Compare(a.Sidecar, b.Sidecar), cmp.Compare(a.State, b.State), cmp.Compare(a.Reason, b.Reason),
			cmp.Compare(a.Running, b.Running), cmp.Compare(a.APIVersion, b.APIVersion),
		)
	})
	return rows
}
