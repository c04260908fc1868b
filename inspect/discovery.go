package inspect

import (
	"context"
	"slices"
	"strings"
)

// groupList is the view of an APIGroupDiscoveryList. Versions are in the order of preference.
type groupList struct {
	Items []struct {
		Metadata struct {
			Name string `json:"name"`
		} `json:"metadata"`
		Versions []struct {
			Version   string               `json:"version"`
			Resources []discoveredResource `json:"resources"`
		} `json:"versions"`
	} `json:"items"`
}

type discoveredResource struct {
	Resource         string   `json:"resource"`
	SingularResource string   `json:"singularResource"`
	ShortNames       []string `json:"shortNames"`
	Scope            string   `json:"scope"`
}

// FindKind returns the kind of a name that kubectl accepts, such as rollout or rollouts.argoproj.io, in any letter
// case, among all namespaced kinds of the API groups. An object of the kind need not have a pod template.
func (c *Client) FindKind(ctx context.Context, text string) (kind Kind, found bool, err error) {
	var groups groupList
	request := c.rest.Get().AbsPath("/apis").SetHeader("Accept",
		"application/json;g=apidiscovery.k8s.io;v=v2;as=APIGroupDiscoveryList")
	if err := decode(request.Do(ctx), &groups); err != nil {
		return Kind{}, false, &RequestError{"get /apis", err}
	}
	name, qualifier, _ := strings.Cut(strings.ToLower(text), ".")
	for _, group := range groups.Items {
		for _, version := range group.Versions {
			for _, r := range version.Resources {
				names := append([]string{r.SingularResource, r.Resource}, r.ShortNames...)
				if r.Scope == "Namespaced" && slices.Contains(names, name) && qualifies(qualifier, group.Metadata.Name) {
					prefix := "/apis/" + group.Metadata.Name + "/" + version.Version
					return Kind{resource{prefix: prefix, name: r.Resource}, names}, true, nil
				}
			}
		}
	}
	return Kind{}, false, nil
}

// qualifies reports whether the part of a name behind the first dot is empty, GROUP or VERSION.GROUP.
func qualifies(qualifier, group string) bool {
	return qualifier == "" || qualifier == group || group != "" && strings.HasSuffix(qualifier, "."+group)
}
