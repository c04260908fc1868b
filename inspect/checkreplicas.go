package inspect

import (
	"context"
	"errors"
	"fmt"
	"io"
	"maps"
	"slices"
	"strconv"
	"strings"
	"sync"

	jsonv2 "github.com/go-json-experiment/json"
	corev1 "k8s.io/api/core/v1"

	"k8s-sidecar-injector/kube"
)

// replicaMetrics are metrics of the pods of the installation, by pod.
type replicaMetrics struct {
	digests map[string]string
	stale   map[string]int
	// unreachable is the error of the first pod that does not respond, or nil. The others are compared nevertheless.
	unreachable error
}

var (
	errUnreachable = errors.New("the replicas cannot be read through the API server")
	errNoReplicas  = errors.New("the Deployment has no pods")
)

// readReplicas reads the metrics of the pods through the API server.
func (c *checkup) readReplicas(ctx context.Context) (*replicaMetrics, error) {
	f, err := c.flags()
	if err != nil {
		return nil, err
	}
	list, err := c.pods(ctx)
	if err != nil {
		return nil, err
	}
	if len(list) == 0 {
		return nil, errNoReplicas
	}
	texts, errs := c.client.readPods(ctx, list, f.LifecyclePort, "metrics")
	m := &replicaMetrics{digests: make(map[string]string), stale: make(map[string]int)}
	for n, pod := range list {
		switch {
		case errors.Is(errs[n], errUnreachable) && m.unreachable == nil:
			m.unreachable = errs[n]
		case errors.Is(errs[n], errUnreachable):
		case errs[n] != nil:
			return nil, errs[n]
		default:
			m.add(pod.Name, texts[n])
		}
	}
	return m, nil
}

// readPods reads a path of the port of each pod. The path is a list of segments.
func (c *Client) readPods(ctx context.Context, list []corev1.Pod, port int, path ...string) ([]string, []error) {
	texts, errs := make([]string, len(list)), make([]error, len(list))
	var group sync.WaitGroup
	for n, pod := range list {
		group.Go(func() { texts[n], errs[n] = c.readPod(ctx, pod.Namespace, pod.Name, port, path) })
	}
	group.Wait()
	return texts, errs
}

func (c *Client) readPod(ctx context.Context, namespace, name string, port int, path []string) (string, error) {
	ctx, cancel := context.WithTimeout(ctx, probeTimeout)
	defer cancel()
	proxy := resource{prefix: pods().prefix, name: "pods/proxy"}
	response, err := c.rest.Get().AbsPath(proxy.prefix).Namespace(namespace).Resource("pods").
		Name(fmt.Sprintf("%s:%d", name, port)).SubResource(append([]string{"proxy"}, path...)...).MaxRetries(0).Stream(ctx)
	switch {
	case lacksPermission(err):
		return "", proxy.describe("get", namespace, "", err)
	case err != nil:
		return "", fmt.Errorf("%w: pod %s/%s, port %d: %w", errUnreachable, namespace, name, port, kube.Explain(err, ""))
	}
	defer response.Close()
	body, err := io.ReadAll(io.LimitReader(response, maxProbe))
	return string(body), err
}

// add adds the metrics of a pod, in the Prometheus text format.
func (m *replicaMetrics) add(pod, text string) {
	for line := range strings.Lines(text) {
		series, value, _ := strings.Cut(strings.TrimSpace(line), " ")
		if digest, found := strings.CutPrefix(series, `sidecar_injector_snapshot_info{digest="`); found {
			m.digests[pod] = strings.TrimSuffix(digest, `"}`)
		}
		if series == "sidecar_injector_snapshot_stale_documents" {
			m.stale[pod], _ = strconv.Atoi(value)
		}
	}
}

// pending returns why pods are not ready, for a message. Pods that do not respond are omitted.
func (c *checkup) pending(ctx context.Context) string {
	f, err := c.flags()
	if err != nil {
		return ""
	}
	list, _ := c.pods(ctx)
	texts, _ := c.client.readPods(ctx, list, f.LifecyclePort, "api", "v1", "status")
	pods := make(map[string][]string) // by the reasons
	for n, pod := range list {
		var status struct {
			Pending []string `json:"pending"`
		}
		if jsonv2.Unmarshal([]byte(texts[n]), &status) == nil && len(status.Pending) > 0 {
			reasons := limited(status.Pending, ", ")
			pods[reasons] = append(pods[reasons], pod.Name)
		}
	}
	var text strings.Builder
	for _, reasons := range slices.Sorted(maps.Keys(pods)) {
		fmt.Fprintf(&text, "; %s: %s", limited(pods[reasons], ", "), reasons)
	}
	return text.String()
}

// findReplicas returns the metrics of the replicas, or nil and an outcome.
func (c *checkup) findReplicas() (*replicaMetrics, outcome) {
	m, err := c.replicas()
	switch {
	case errors.Is(err, errNoReplicas):
		return nil, skipped("%v", err)
	case err != nil:
		return nil, c.unreadable(err)
	}
	return m, outcome{}
}

func (c *checkup) checkStale(context.Context) outcome {
	m, outcome := c.findReplicas()
	if m == nil {
		return outcome
	}
	for _, pod := range slices.Sorted(maps.Keys(m.stale)) {
		if m.stale[pod] > 0 {
			return warned("pod %s serves older versions of rejected definitions: %d", pod, m.stale[pod])
		}
	}
	if m.unreachable != nil {
		return skipped("%v", m.unreachable)
	}
	return passed("no replica serves an older version of a rejected definition")
}

func (c *checkup) checkDigests(context.Context) outcome {
	m, outcome := c.findReplicas()
	if m == nil {
		return outcome
	}
	pods := make(map[string][]string)
	for pod, digest := range m.digests {
		pods[digest] = append(pods[digest], pod)
	}
	if len(pods) < 2 && m.unreachable != nil {
		return skipped("%v", m.unreachable)
	}
	if len(pods) < 2 {
		return passed("replicas that serve the same definitions: %d", len(m.digests))
	}
	var groups []string
	for _, digest := range slices.Sorted(maps.Keys(pods)) {
		slices.Sort(pods[digest])
		groups = append(groups, fmt.Sprintf("%s: %s", shortened(digest), limited(pods[digest], ", ")))
	}
	return failed("replicas serve different definitions, by digest: %s", limited(groups, "; "))
}
