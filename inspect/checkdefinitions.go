package inspect

import (
	"context"
	"errors"
	"regexp"
	"slices"

	"github.com/go-json-experiment/json/jsontext"
	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/labels"
	kjson "k8s.io/apimachinery/pkg/util/json"

	"k8s-sidecar-injector/conf"
)

func (c *checkup) checkDefinitions(context.Context) outcome {
	snapshot, err := c.snapshot()
	switch {
	case errors.Is(err, errNotMounted), errors.Is(err, errNotConfigMap):
		return skipped("%v", err)
	case err != nil:
		return c.unreadable(err)
	}
	var problems []outcome
	for rejection := range snapshot.Rejections() {
		for _, err := range rejection.Errors.Errors {
			problems = append(problems, failed("rejected: %v", err))
		}
	}
	if snapshot.Len() == 0 {
		problems = append(problems, warned("no valid definition is found"))
	}
	return worst(problems, passed("valid definitions: %d", snapshot.Len()))
}

// checkLabels finds ConfigMaps with definitions that the injector does not read.
func (c *checkup) checkLabels(ctx context.Context) outcome {
	f, err := c.flags()
	if err != nil {
		return c.unreadable(err)
	}
	if f.ConfigMapLabels == "" {
		return passed("no ConfigMaps are selected by labels")
	}
	selector, err := labels.Parse(f.ConfigMapLabels)
	if err != nil {
		return c.unreadable(err)
	}
	i, _ := c.installation()
	var problems []outcome
	err = c.client.list(ctx, configMaps(), f.ConfigMapNamespace, nil, func(object jsontext.Value) error {
		configMap := new(corev1.ConfigMap)
		if err := kjson.Unmarshal(object, configMap); err != nil {
			return err
		}
		if selector.Matches(labels.Set(configMap.Labels)) || i.mounts(configMap) {
			return nil
		}
		defined, err := f.definesIn(ctx, configMap)
		if defined != "" {
			problems = append(problems, warned("ConfigMap %s/%s has the definition %s, but not the label %s",
				configMap.Namespace, configMap.Name, defined, f.ConfigMapLabels))
		}
		return err
	})
	if err != nil {
		return c.unreadable(err)
	}
	for _, configMap := range c.labelledElsewhere(ctx, f) {
		problems = append(problems, warned("ConfigMap %s/%s has the label %s, but --configmap-namespace is %s",
			configMap.Namespace, configMap.Name, f.ConfigMapLabels, f.ConfigMapNamespace))
	}
	return worst(problems, passed("all ConfigMaps with definitions in namespace %s have the label %s",
		f.ConfigMapNamespace, f.ConfigMapLabels))
}

// labelledElsewhere returns the ConfigMaps with the label in other namespaces, or if the caller may not list them all,
// in that of the injector. It returns none if they cannot be read.
func (c *checkup) labelledElsewhere(ctx context.Context, f *flags) []corev1.ConfigMap {
	i, _ := c.installation()
	r := configMaps()
	r.metadata = true
	selector := map[string]string{"labelSelector": f.ConfigMapLabels}
	list, err := listOf[corev1.ConfigMap](ctx, c.client, r, "", selector)
	if err != nil && i.Namespace != f.ConfigMapNamespace {
		list, _ = listOf[corev1.ConfigMap](ctx, c.client, r, i.Namespace, selector)
	}
	return slices.DeleteFunc(list, func(m corev1.ConfigMap) bool {
		return m.Namespace == f.ConfigMapNamespace || i.mounts(&m)
	})
}

// definesIn returns the first definition of a ConfigMap, or "" if it has none. Invalid ones count if they have a name
// and a list that only definitions have.
func (f *flags) definesIn(ctx context.Context, configMap *corev1.ConfigMap) (string, error) {
	for _, document := range conf.OfConfigMap(configMap) {
		set, err := f.Rules.Load(ctx, []conf.Document{document}, nil)
		if err != nil {
			return "", err
		}
		if len(set.Sidecars) > 0 {
			return set.Sidecars[0].Ref.String(), nil
		}
		name := firstName.FindSubmatch(document.Content)
		switch {
		case len(set.Rejections) == 0 || !resemblesDefinition(document.Content):
		case set.Rejections[0].Ref != (conf.Ref{}):
			return set.Rejections[0].Ref.String(), nil
		case name != nil:
			return string(name[1]), nil
		}
	}
	return "", nil
}

// firstName matches the name of a definition whose YAML is not valid: in block style, or at the beginning.
var firstName = regexp.MustCompile(`(?m)(?:^|\A\s*\{\s*)["']?name["']?[ \t]*:[ \t]*["']?([\w.-]+(?::[\w.-]+)?)`)

// listKey matches the key of a list, on the top level in block style, or anywhere in flow style. It tolerates YAML that
// is not valid.
var listKey = regexp.MustCompile(
	`(?m)(?:^|[{,]\s*)["']?([a-zA-Z]+)["']?[ \t]*:[ \t]*(?:\[|(?:#.*)?\r?\n\s*-\s)`)

// resemblesDefinition reports whether a text has a list of a definition, possibly misspelled, that other files with a
// name are not likely to have.
func resemblesDefinition(text []byte) bool {
	lists := []string{
		"prependInitContainers", "initContainers", "prependContainers", "containers", "prependEnv", "extendEnv",
	}
	return slices.ContainsFunc(listKey.FindAllSubmatch(text, -1), func(match [][]byte) bool {
		return conf.Nearest(string(match[1]), slices.Values(lists)) != ""
	})
}

// mounts reports whether a ConfigMap is in a volume of the installation.
func (i *Installation) mounts(configMap *corev1.ConfigMap) bool {
	isNamed := func(source *corev1.ConfigMapVolumeSource) bool { return source != nil && source.Name == configMap.Name }
	return configMap.Namespace == i.Namespace && slices.ContainsFunc(i.volumes, func(v corev1.Volume) bool {
		return isNamed(v.ConfigMap) || v.Projected != nil &&
			slices.ContainsFunc(v.Projected.Sources, func(p corev1.VolumeProjection) bool {
				return p.ConfigMap != nil && p.ConfigMap.Name == configMap.Name
			})
	})
}
