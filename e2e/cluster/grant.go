package cluster

import (
	"context"

	corev1 "k8s.io/api/core/v1"
	rbacv1 "k8s.io/api/rbac/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
)

// AddAccount creates a service account.
func (c *Cluster) AddAccount(ctx context.Context, namespace, name string) error {
	account := &corev1.ServiceAccount{ObjectMeta: metav1.ObjectMeta{Name: name}}
	_, err := c.Client.CoreV1().ServiceAccounts(namespace).Create(ctx, account, metav1.CreateOptions{})
	return err
}

// Grant grants a service account the injector's rights in the namespace of its ConfigMaps, by a Role and
// a RoleBinding with the account's name.
func (c *Cluster) Grant(ctx context.Context, namespace, accountNamespace, account string) error {
	return c.grant(ctx, namespace, accountNamespace, account, account, "configmaps", "list", "watch")
}

// GrantEvents grants a service account the right to record events in a namespace.
func (c *Cluster) GrantEvents(ctx context.Context, namespace, accountNamespace, account string) error {
	return c.grant(ctx, namespace, accountNamespace, account, account+"-events", "events", "create", "patch")
}

// grant creates a Role and a RoleBinding with this name.
func (c *Cluster) grant(
	ctx context.Context, namespace, accountNamespace, account, name, resource string, verbs ...string,
) error {
	meta := metav1.ObjectMeta{Name: name}
	_, err := c.Client.RbacV1().Roles(namespace).Create(ctx, &rbacv1.Role{
		ObjectMeta: meta,
		Rules:      []rbacv1.PolicyRule{{APIGroups: []string{""}, Resources: []string{resource}, Verbs: verbs}},
	}, metav1.CreateOptions{})
	if err != nil {
		return err
	}
	_, err = c.Client.RbacV1().RoleBindings(namespace).Create(ctx, &rbacv1.RoleBinding{
		ObjectMeta: meta,
		RoleRef:    rbacv1.RoleRef{APIGroup: rbacv1.GroupName, Kind: "Role", Name: name},
		Subjects:   []rbacv1.Subject{{Kind: rbacv1.ServiceAccountKind, Namespace: accountNamespace, Name: account}},
	}, metav1.CreateOptions{})
	return err
}

// GrantNamespaces grants a service account these rights to all namespaces, by a ClusterRole and a
// ClusterRoleBinding.
func (c *Cluster) GrantNamespaces(ctx context.Context, accountNamespace, account string, verbs ...string) error {
	meta := metav1.ObjectMeta{Name: accountNamespace + "-" + account}
	_, err := c.Client.RbacV1().ClusterRoles().Create(ctx, &rbacv1.ClusterRole{
		ObjectMeta: meta,
		Rules:      []rbacv1.PolicyRule{{APIGroups: []string{""}, Resources: []string{"namespaces"}, Verbs: verbs}},
	}, metav1.CreateOptions{})
	if err != nil {
		return err
	}
	_, err = c.Client.RbacV1().ClusterRoleBindings().Create(ctx, &rbacv1.ClusterRoleBinding{
		ObjectMeta: meta,
		RoleRef:    rbacv1.RoleRef{APIGroup: rbacv1.GroupName, Kind: "ClusterRole", Name: meta.Name},
		Subjects:   []rbacv1.Subject{{Kind: rbacv1.ServiceAccountKind, Namespace: accountNamespace, Name: account}},
	}, metav1.CreateOptions{})
	return err
}
