package inspect

import (
	"cmp"
	"context"
	"encoding/json"
	"fmt"
	"strings"
)

// attributes are the resource attributes of an access review.
type attributes struct {
	Group     string `json:"group"`
	Resource  string `json:"resource"`
	Verb      string `json:"verb"`
	Namespace string `json:"namespace,omitempty"`
	Name      string `json:"name,omitempty"`
}

// String returns `list configmaps in namespace a` or `patch secrets/b in namespace a`.
func (a attributes) String() string {
	text := a.Verb + " " + a.Resource
	if a.Group != "" {
		text += "." + a.Group
	}
	if a.Name != "" {
		text += "/" + a.Name
	}
	if a.Namespace != "" {
		text += " in namespace " + a.Namespace
	}
	return text
}

// withVerbs returns the attributes with each of the verbs, separated by spaces.
func (a attributes) withVerbs(verbs string) (all []attributes) {
	for verb := range strings.FieldsSeq(verbs) {
		a.Verb = verb
		all = append(all, a)
	}
	return all
}

// accessReview is a SubjectAccessReview or a SelfSubjectAccessReview.
type accessReview struct {
	APIVersion string `json:"apiVersion"`
	Kind       string `json:"kind"`
	Spec       struct {
		Attributes attributes `json:"resourceAttributes"`
		User       string     `json:"user,omitempty"`
		Groups     []string   `json:"groups,omitempty"`
	} `json:"spec"`
	Status struct {
		Allowed bool `json:"allowed"`
	} `json:"status,omitzero"`
}

// denied returns the accesses that the API server would deny to a user. The user is empty for the caller.
func (c *Client) denied(
	ctx context.Context, user string, groups []string, all []attributes,
) (denied []string, err error) {
	r, kind := accessReviews(), "SubjectAccessReview"
	if user == "" {
		r, kind = selfAccessReviews(), "SelfSubjectAccessReview"
	}
	for _, a := range all {
		review := accessReview{APIVersion: "authorization.k8s.io/v1", Kind: kind}
		review.Spec.Attributes, review.Spec.User, review.Spec.Groups = a, user, groups
		body, err := json.Marshal(review)
		if err != nil {
			return nil, err
		}
		var result accessReview
		if _, err := c.create(ctx, r, "", false, body, &result); err != nil {
			return nil, r.describe("create", "", "", err)
		}
		if !result.Status.Allowed {
			denied = append(denied, a.String())
		}
	}
	return denied, nil
}

// needs returns the accesses that the flags of the installation need.
func (f *flags) needs() (all []attributes) {
	if f.ConfigMapLabels != "" {
		all = append(all, attributes{Resource: "configmaps", Namespace: f.ConfigMapNamespace}.withVerbs("list watch")...)
	}
	if f.NamespaceDefaults {
		all = append(all, attributes{Resource: "namespaces"}.withVerbs("get list watch")...)
	}
	if f.Events {
		all = append(all, attributes{Resource: "events"}.withVerbs("create patch")...)
	}
	if f.Secret.Name == "" {
		return all
	}
	secret := attributes{Resource: "secrets", Namespace: f.Secret.Namespace, Name: f.Secret.Name}
	all = append(all, secret.withVerbs("list watch create patch update")...)
	for _, name := range f.Configurations {
		for _, r := range []resource{mutatingConfigurations(), validatingConfigurations()} {
			configuration := attributes{Group: "admissionregistration.k8s.io", Resource: r.name, Name: name}
			all = append(all, configuration.withVerbs("list watch patch")...)
		}
	}
	return all
}

func (c *checkup) checkPermissions(ctx context.Context) outcome {
	f, err := c.flags()
	if err != nil {
		return c.unreadable(err)
	}
	i, err := c.installation()
	if err != nil {
		return c.unreadable(err)
	}
	account := cmp.Or(i.object.Spec.Template.Spec.ServiceAccountName, "default")
	user := fmt.Sprintf("system:serviceaccount:%s:%s", i.Namespace, account)
	groups := []string{"system:serviceaccounts", "system:serviceaccounts:" + i.Namespace, "system:authenticated"}
	denied, err := c.client.denied(ctx, user, groups, f.needs())
	switch {
	case err != nil:
		return c.unreadable(err)
	case len(denied) > 0:
		return failed("service account %s/%s may not %s", i.Namespace, account, limited(denied, ", "))
	}
	return passed("service account %s/%s has the permissions that the flags need", i.Namespace, account)
}
