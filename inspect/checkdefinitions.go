package inspect

import (
	"context"
	"errors"
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

// checkLabels finds ConfigMaps with valid definitions that the injector does not read.
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
	return worst(problems, passed("all ConfigMaps with definitions in namespace %s have the label %s",
		f.ConfigMapNamespace, f.ConfigMapLabels))
}

// definesIn returns the first definition of a ConfigMap, or "" if it has no valid one.
func (f *flags) definesIn(ctx context.Context, configMap *corev1.ConfigMap) (string, error) {
	for _, document := range conf.OfConfigMap(configMap) {
		set, err := f.Rules.Load(ctx, []conf.Document{document}, nil)
		if err != nil {
			return "", err
		}
		if len(set.Sidecars) > 0 {
			return set.Sidecars[0].Ref.String(), nil
		}
	}
	return "", nil
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
