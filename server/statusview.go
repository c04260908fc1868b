package server

import (
	"fmt"
	"iter"
	"slices"
	"strings"
	"time"

	"k8s-sidecar-injector/conf"
	"k8s-sidecar-injector/mutate"
	"k8s-sidecar-injector/store"
)

const (
	// refreshSeconds is how often the browser loads the status page again.
	refreshSeconds = "15"
	// maxRows limits the sidecars on the status page. The listing has all.
	maxRows = 500
	// maxYAML limits the definition on the page of a sidecar, in bytes.
	maxYAML = 256 << 10
	// shortDigest is how many digits of a digest the tables have.
	shortDigest = 12
)

// statusView is the content of the status page.
type statusView struct {
	*injectorStatus
	rows    iter.Seq[listedSidecar]
	refresh string // seconds; empty if paused
	// playground is whether there is a playground page.
	playground bool
}

func (v *statusView) title() string {
	if v.Ready {
		return "Sidecar injector"
	}
	return "Not ready – sidecar injector"
}

// sidecarView is the content of the page of a sidecar.
type sidecarView struct {
	listedSidecar
	yaml string // the definition, without its parameters and values that may be secret
	cut  bool   // whether the YAML lacks its end
}

// newSidecarView returns the content of the page. It changes the definition.
func newSidecarView(listed listedSidecar, definition map[string]any) (*sidecarView, error) {
	delete(definition, "parameters")
	text, err := conf.EncodeYAML(maskEnv(definition))
	if err != nil {
		return nil, err
	}
	v := &sidecarView{listedSidecar: listed, yaml: string(text)}
	if v.cut = len(text) > maxYAML; v.cut {
		v.yaml = strings.ToValidUTF8(v.yaml[:maxYAML], "")
	}
	return v, nil
}

// restrictions returns which pods get the sidecar, and how.
func (v *sidecarView) restrictions() []string {
	list := []string{"os: " + v.OS, "inJobs: " + v.InJobs}
	if v.SkipHostNetworkPods {
		list = append(list, "not with hostNetwork")
	}
	return list
}

// bases returns the refs of the chain of bases.
func (l *listedSidecar) bases() []string {
	refs := make([]string, len(l.Inherits))
	for i, base := range l.Inherits {
		refs[i] = base.Ref
	}
	return refs
}

// notInjected returns the counts of the reviews that did not inject the sidecar.
func (l *listedSidecar) notInjected() []reviewCount {
	return slices.DeleteFunc(slices.Clone(l.Reviews), func(c reviewCount) bool { return c.Outcome == mutate.Injected })
}

// column is the name of a column of a table, and its class in the stylesheet.
type column struct{ name, class string }

// class returns the class of the tag of a state.
func (s SourceState) class() string {
	switch s {
	case SourceReady:
		return "good"
	case SourceWaiting:
		return "warn"
	case SourceFailing:
	}
	return "bad"
}

// names returns the names that clients may verify.
func (c *certificate) names() []string { return slices.Concat(c.DNSNames, c.IPAddresses) }

// change is a part of the changes of a publication.
type change struct{ verb, refs string }

// changesOf describes what a publication has changed.
func changesOf(p store.Publication) []change {
	var changes []change
	add := func(verb string, refs []string) {
		if len(refs) > 0 {
			changes = append(changes, change{verb, strings.Join(refs, ", ")})
		}
	}
	add("added", p.Added)
	add("changed", p.Changed)
	add("removed", p.Removed)
	if p.Omitted > 0 {
		changes = append(changes, change{"omitted", fmt.Sprintf("%d more", p.Omitted)})
	}
	if len(changes) == 0 {
		return []change{{"no sidecar changed", fmt.Sprintf("(rejected: %d, stale: %d)", p.Rejections, p.Stale)}}
	}
	return changes
}

// allowedValues describes the rules of a parameter.
func allowedValues(p conf.ListedParameter) string {
	var rules []string
	for _, rule := range []struct{ name, value string }{{"min", p.Min}, {"max", p.Max}, {"pattern", p.Pattern}} {
		if rule.value != "" {
			rules = append(rules, rule.name+" "+rule.value)
		}
	}
	if len(p.Enum) > 0 {
		rules = append(rules, "one of "+strings.Join(p.Enum, ", "))
	}
	return strings.Join(rules, "; ")
}

func short(digest string) string { return digest[:min(len(digest), shortDigest)] }

func stamp(t time.Time) string { return t.UTC().Format(time.RFC3339) }

// relative describes how long ago a time was, or how soon it will be.
func relative(t time.Time) string {
	if until := time.Until(t); until > 0 {
		return "in " + rounded(until)
	}
	return rounded(time.Since(t)) + " ago"
}

// rounded returns a duration in its largest unit.
func rounded(d time.Duration) string {
	const day = 24 * time.Hour
	switch {
	case d >= 2*day:
		return fmt.Sprintf("%d days", d/day)
	case d >= 2*time.Hour:
		return fmt.Sprintf("%d hours", d/time.Hour)
	case d >= 2*time.Minute:
		return fmt.Sprintf("%d minutes", d/time.Minute)
	}
	return fmt.Sprintf("%d s", d/time.Second)
}

// firstOf yields the first values.
func firstOf[T any](values iter.Seq[T], most int) iter.Seq[T] {
	return func(yield func(T) bool) {
		left := most
		for value := range values {
			if left--; left < 0 || !yield(value) {
				return
			}
		}
	}
}
