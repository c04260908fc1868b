package cluster

import (
	"context"

	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
)

// AddInstallation creates a Deployment without pods that has the flags of an injector, so that commands such as report
// find its definitions. With the name sidecar-injector, they need no flag. Its service account has the same name.
func (c *Cluster) AddInstallation(ctx context.Context, namespace, name string, flags []string) error {
	labels := map[string]string{"app.kubernetes.io/name": name}
	_, err := c.Client.AppsV1().Deployments(namespace).Create(ctx, &appsv1.Deployment{
		ObjectMeta: metav1.ObjectMeta{Name: name, Labels: labels},
		Spec: appsv1.DeploymentSpec{
			Replicas: new(int32),
			Selector: &metav1.LabelSelector{MatchLabels: labels},
			Template: corev1.PodTemplateSpec{
				ObjectMeta: metav1.ObjectMeta{Labels: labels},
				Spec: corev1.PodSpec{ServiceAccountName: name, Containers: []corev1.Container{{
					Name: "injector", Image: "k8s-sidecar-injector", Args: flags,
				}}},
			},
		},
	}, metav1.CreateOptions{})
	return err
}
