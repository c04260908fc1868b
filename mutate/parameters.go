package mutate

import (
	"cmp"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"

	"k8s-sidecar-injector/conf"
	"k8s-sidecar-injector/conf/params"
)

// parameterKey begins the names of the annotations that set parameters: param.NAME for all
// sidecars that have it, param.SIDECAR.NAME for one.
const parameterKey = "param."

// parameterSource is where the values of parameters come from.
type parameterSource struct {
	policy   *Policy
	request  *Request
	details  *details // nil if no sidecar needs them
	sidecars []*conf.Sidecar
	settings map[string]string // keys of annotations by NAME or SIDECAR.NAME
	size     int               // bytes of the values in all places so far
	steps    int               // steps for checking values so far
	explain  bool
	values   []ParameterValue // only if explain is set
}

// ParameterValue is the value of a parameter of a sidecar.
type ParameterValue struct {
	Sidecar *conf.Sidecar // as defined
	Name    string
	Value   string
	// Source is the annotation or the field of the pod that has the value, default, or none if there is no value.
	Source string
}

// maxSteps limits the time for checking the values of one pod to some tenths of a second.
const maxSteps = 500_000

// fillAll replaces each element of sidecars that has parameters by one with their values, in place.
func (f *parameterSource) fillAll() error {
	sidecars := f.sidecars
	if err := f.readSettings(); err != nil {
		return err
	}
	for i, s := range sidecars {
		if len(s.Parameters) == 0 {
			continue
		}
		filled, err := f.fill(s)
		if err != nil {
			return fmt.Errorf("sidecar %s: %w", s.Ref, err)
		}
		sidecars[i] = filled
	}
	return nil
}

// readSettings reads the annotations that set parameters. Each must set a parameter of a requested
// sidecar.
func (f *parameterSource) readSettings() error {
	prefix := f.policy.key(parameterKey)
	var keys []string
	for key := range f.request.Object.metadata().Annotations {
		if strings.HasPrefix(key, prefix) {
			keys = append(keys, key)
		}
	}
	if keys == nil {
		return nil
	}
	slices.Sort(keys)
	f.settings = make(map[string]string, len(keys))
	declared, message := f.declared()
	for _, key := range keys {
		name := strings.TrimPrefix(key, prefix)
		if dot := strings.LastIndexByte(name, '.'); dot >= 0 { // only names of sidecars have dots
			name = strings.ToLower(name[:dot]) + name[dot:]
		}
		if f.settings[name] != "" {
			return fmt.Errorf("annotation %s: duplicate, except for letter case", quoted(key))
		}
		if !declared[name] {
			if nearest := conf.Nearest(name, maps.Keys(declared)); nearest != "" {
				message = "no requested sidecar has this parameter: did you mean " + prefix + nearest + "?"
			}
			return fmt.Errorf("annotation %s: %s", quoted(key), message)
		}
		f.settings[name] = key
	}
	return nil
}

// declared returns the names of parameters that annotations may set, and a message about others.
func (f *parameterSource) declared() (names map[string]bool, message string) {
	const most = 10
	names = make(map[string]bool)
	var available []string
	for _, s := range f.sidecars {
		for i := range s.Parameters {
			p := &s.Parameters[i]
			own := s.Ref.Name + "." + p.Name
			if p.Implicit() || names[own] {
				continue
			}
			names[own], names[p.Name] = true, true
			if len(available) < most {
				available = append(available, own)
			}
		}
	}
	if available == nil {
		return nil, "the requested sidecars have no parameters"
	}
	return names, "no requested sidecar has this parameter; available: " + strings.Join(available, ", ")
}

// fill returns a sidecar with the values of its parameters. The error contains all invalid and missing
// values.
func (f *parameterSource) fill(s *conf.Sidecar) (*conf.Sidecar, error) {
	values := make([]string, len(s.Parameters))
	var faults []string
	for i := range s.Parameters {
		var fault string
		if values[i], fault = f.value(s, &s.Parameters[i]); fault != "" {
			faults = append(faults, fault)
		}
		if f.explain {
			f.values = append(f.values, f.explained(s, &s.Parameters[i]))
		}
	}
	if f.steps > maxSteps {
		return nil, errors.New("checking the values of its parameters takes too long: use shorter values or simpler patterns")
	}
	if faults != nil {
		return nil, errors.New(strings.Join(faults, "; "))
	}
	if f.size += s.RenderedSize(values); f.size > maxAdded {
		return nil, fmt.Errorf("the values of parameters would add %d bytes, more than an API server accepts", f.size)
	}
	filled, err := s.Render(values)
	if invalid, ok := errors.AsType[*conf.RenderError](err); ok {
		var sources []string
		for _, number := range invalid.Values {
			sources = append(sources, f.source(s, &s.Parameters[number]))
		}
		err = fmt.Errorf("%s: %w", strings.Join(sources, ", "), invalid)
	}
	return filled, err
}

// value returns the value of a parameter, and its fault if it has one. A default was checked when it
// was loaded.
func (f *parameterSource) value(s *conf.Sidecar, p *params.Parameter) (value, fault string) {
	value, _, found := f.lookup(s, p)
	switch {
	case !found && p.Default != nil:
		return p.Default.String(), ""
	case !found:
		return "", f.missing(p)
	case p.Implicit():
		return value, ""
	}
	if f.steps += p.Steps(value); f.steps > maxSteps {
		return "", ""
	}
	if err := p.Check(value); err != nil {
		return "", fmt.Sprintf("%s %v", f.source(s, p), err)
	}
	return value, ""
}

// missing returns the fault of a parameter without a value.
func (f *parameterSource) missing(p *params.Parameter) string {
	hint := ""
	if p.From == params.PodName {
		hint = "; the API server names pods of controllers after admission, so use env with fieldRef metadata.name"
	}
	if p.Implicit() {
		return fmt.Sprintf("%s is not set%s", p.Name, hint)
	}
	fault := fmt.Sprintf("parameter %s has no default: set annotation %s", p.Name, f.policy.key(parameterKey+p.Name))
	if p.From != "" {
		fault += fmt.Sprintf(", or set %s in the pod%s", p.From, hint)
	}
	return fault
}

// lookup returns the value that the pod sets. It is that of an annotation for the sidecar, of one for all
// sidecars, or of the field of the pod. The key is that of the annotation.
func (f *parameterSource) lookup(s *conf.Sidecar, p *params.Parameter) (value, key string, found bool) {
	if len(f.settings) > 0 && !p.Implicit() {
		if key, found = f.settings[s.Ref.Name+"."+p.Name]; !found {
			key, found = f.settings[p.Name]
		}
		if found {
			return f.request.Object.metadata().Annotations[key], key, true
		}
	}
	value, found = f.podField(p.From)
	return value, "", found
}

// source returns the source of a value, for messages.
func (f *parameterSource) source(s *conf.Sidecar, p *params.Parameter) string {
	_, key, found := f.lookup(s, p)
	switch {
	case p.Implicit():
		return p.Name
	case key != "":
		return "annotation " + quoted(key)
	case found:
		return fmt.Sprintf("parameter %s (from %s)", p.Name, p.From)
	}
	return fmt.Sprintf("parameter %s (by default)", p.Name)
}

// explained returns the value of a parameter, valid or not, and its source.
func (f *parameterSource) explained(s *conf.Sidecar, p *params.Parameter) ParameterValue {
	value, key, found := f.lookup(s, p)
	switch {
	case key != "":
		return ParameterValue{s, p.Name, value, "annotation " + key}
	case found:
		return ParameterValue{s, p.Name, value, string(p.From)}
	case p.Default != nil:
		return ParameterValue{s, p.Name, p.Default.String(), "default"}
	}
	return ParameterValue{s, p.Name, "", "none"}
}

// podField returns a field of the pod. The service account is that of the resulting pod.
func (f *parameterSource) podField(field params.PodField) (value string, found bool) {
	metadata := f.request.Object.metadata()
	switch kind, key := field.Cut(); kind {
	case params.PodName:
		return metadata.Name, metadata.Name != ""
	case params.PodNamespace:
		return f.request.Namespace, f.request.Namespace != ""
	case params.PodServiceAccount:
		return f.request.account(f.sidecars), true
	case params.PodLabels:
		value, found = metadata.Labels[key]
	case params.PodAnnotations:
		value, found = metadata.Annotations[key]
	case params.PodRunAsUser, params.PodRunAsGroup, params.PodFSGroup:
		value, found = f.details.securityField(kind)
	}
	return value, found
}

// account returns the service account of the resulting pod.
func (r *Request) account(sidecars []*conf.Sidecar) string {
	account := ""
	if r.Object.Spec != nil {
		account = r.Object.Spec.account()
	}
	for _, s := range sidecars {
		for _, wanted := range s.Elements("serviceAccountName") {
			if account == "" && wanted.Name != defaultAccount {
				account = wanted.Name
			}
		}
	}
	return cmp.Or(account, defaultAccount)
}
