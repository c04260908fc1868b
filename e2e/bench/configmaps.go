package bench

import (
	"context"
	"fmt"
	"slices"
	"strconv"
	"time"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/util/retry"

	"k8s-sidecar-injector/e2e/cluster"
)

// The label of the ConfigMaps with definitions.
const labelKey, labelValue = "app", "k8s-sidecar-injector"

// editConfigMaps measures the time from an update of a ConfigMap to a review that has it, with few and with many.
func (l *clusterLab) editConfigMaps(ctx context.Context, o ClusterOptions) error {
	var rows [][]string
	for _, size := range slices.Compact([]int{perFile, o.Sidecars}) {
		namespace := fmt.Sprintf("sidecars-%d", size)
		i, err := l.startOnConfigMaps(ctx, namespace, size)
		if err != nil {
			return fmt.Errorf("%d sidecars: %w", size, err)
		}
		t, err := l.request(ctx, namespace, i, size-1, reviewSize)
		if err != nil {
			return err
		}
		var edits []time.Duration
		for edit := range o.Edits {
			took, err := l.updateOnce(ctx, t, namespace, size, edit)
			if err != nil {
				return err
			}
			edits = append(edits, took)
		}
		used, err := readMemory(i.PID())
		if err != nil {
			return err
		}
		rows = append(rows, []string{
			strconv.Itoa(size), strconv.Itoa(size / perFile), seconds(median(edits)), megabytes(used.now), megabytes(used.peak),
		})
	}
	fmt.Fprintf(o.Out, "ConfigMaps of %d sidecars, %d updates\n", perFile, o.Edits)
	printTable(o.Out, []string{"sidecars", "ConfigMaps", "update to served", "RSS", "peak"}, rows)
	return nil
}

// startOnConfigMaps creates ConfigMaps in a new namespace, and starts an injector with the rights to read them.
func (l *clusterLab) startOnConfigMaps(ctx context.Context, namespace string, size int) (*cluster.Injector, error) {
	if err := l.namespaces(ctx, namespace); err != nil {
		return nil, err
	}
	for n := range size / perFile {
		configMap := &corev1.ConfigMap{
			ObjectMeta: metav1.ObjectMeta{Name: configMapName(n), Labels: map[string]string{labelKey: labelValue}},
			Data:       map[string]string{"sidecars.yaml": fileContent(n, size, long, imageAtStart)},
		}
		_, err := l.client.CoreV1().ConfigMaps(namespace).Create(ctx, configMap, metav1.CreateOptions{})
		if err != nil {
			return nil, err
		}
	}
	const account = "injector"
	if err := l.cluster.AddAccount(ctx, namespace, account); err != nil {
		return nil, err
	}
	if err := l.cluster.Grant(ctx, namespace, namespace, account); err != nil {
		return nil, err
	}
	identity, err := l.cluster.Identity(ctx, namespace, account)
	if err != nil {
		return nil, err
	}
	return l.start(ctx, "--configmap-labels="+labelKey+"="+labelValue, "--configmap-namespace="+namespace,
		"--kubeconfig="+identity.Kubeconfig)
}

func configMapName(n int) string { return fmt.Sprintf("sidecars-%d", n) }

// updateOnce updates a ConfigMap, and returns the time from the API server's response to a review that has the change.
func (l *clusterLab) updateOnce(ctx context.Context, t *target, namespace string, size, n int) (time.Duration, error) {
	const stride = 397
	file := n * stride % (size / perFile)
	configMaps := l.client.CoreV1().ConfigMaps(namespace)
	err := retry.RetryOnConflict(retry.DefaultRetry, func() error {
		configMap, err := configMaps.Get(ctx, configMapName(file), metav1.GetOptions{})
		if err != nil {
			return err
		}
		configMap.Data["sidecars.yaml"] = fileContent(file, size, long, editedImage(n))
		_, err = configMaps.Update(ctx, configMap, metav1.UpdateOptions{})
		return err
	})
	if err != nil {
		return 0, err
	}
	return l.awaitServed(ctx, t, sidecarRef(file*perFile), editedImage(n), time.Now())
}
