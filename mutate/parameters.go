package mutate

import (
	"cmp"
	"errors"
	"fmt"
	"slices"
	"strings"

	"k8s-sidecar-injector/conf"
	"k8s-sidecar-injector/conf/params"
)

// parameterKey begins the names of the annotations that set parameters: param.NAME for all
// sidecars that have it, param.SIDECAR.NAME for one.
const parameterKey = "param."

// setting is an annotation that sets a parameter.
type setting struct {
	settable
	written string // the part of the key after parameterKey
	value   string
}

// settable is a parameter of one sidecar or, if sidecar is empty, of all sidecars that have it.
type settable struct {
	sidecar string
	name    string
}

// parameterSource is where the values of parameters come from.
type parameterSource struct {
	policy   *Policy
	request  *Request
	settings map[settable]*setting
	sidecars []*conf.Sidecar
	size     int // bytes of the values in all places so far
	steps    int // steps for checking values so far
}

// maxSteps limits the time for checking the values of one pod to some tenths of a second.
const maxSteps = 500_000

// noSidecar is the sidecar of an annotation with an empty name. No sidecar has this name.
const noSidecar = "."

// fillAll returns the sidecars with the values of their parameters. Sidecars without parameters are
// unchanged.
func fillAll(policy *Policy, request *Request, sidecars []*conf.Sidecar) ([]*conf.Sidecar, error) {
	f := &parameterSource{policy: policy, request: request, sidecars: sidecars}
	if err := f.readSettings(); err != nil {
		return nil, err
	}
	filled := sidecars
	for i, s := range sidecars {
		if len(s.Parameters)+len(s.PodFields) == 0 {
			continue
		}
		next, err := f.fill(s)
		if err != nil {
			return nil, fmt.Errorf("sidecar %s: %w", s.Ref, err)
		}
		if next == s {
			continue
		}
		if &filled[0] == &sidecars[0] {
			filled = slices.Clone(sidecars)
		}
		filled[i] = next
	}
	return filled, nil
}

// readSettings reads the annotations that set parameters. Each must set a parameter of a requested
// sidecar.
func (f *parameterSource) readSettings() error {
	all := settingsOf(f.policy, f.request)
	if len(all) == 0 {
		return nil
	}
	f.settings = make(map[settable]*setting, len(all))
	declared := declaredBy(f.sidecars)
	for i := range all {
		s := &all[i]
		if f.settings[s.settable] != nil {
			return fmt.Errorf("annotation %s: duplicate, except for letter case", s.key(f.policy))
		}
		if !declared[s.settable] {
			return fmt.Errorf("annotation %s: %s", s.key(f.policy), parametersOf(f.sidecars))
		}
		f.settings[s.settable] = s
	}
	return nil
}

// settingsOf returns the annotations that set parameters, in the order of their keys.
func settingsOf(policy *Policy, request *Request) []setting {
	var all []setting
	prefix := policy.key(parameterKey)
	for key, value := range request.Object.metadata().Annotations {
		name, found := strings.CutPrefix(key, prefix)
		if !found {
			continue
		}
		next := setting{written: name, settable: settable{name: name}, value: value}
		if dot := strings.LastIndexByte(name, '.'); dot >= 0 { // only names of sidecars have dots
			next.settable = settable{cmp.Or(strings.ToLower(name[:dot]), noSidecar), name[dot+1:]}
		}
		all = append(all, next)
	}
	slices.SortFunc(all, func(a, b setting) int { return cmp.Compare(a.written, b.written) })
	return all
}

// declaredBy returns the parameters that annotations may set.
func declaredBy(sidecars []*conf.Sidecar) map[settable]bool {
	declared := make(map[settable]bool)
	for _, s := range sidecars {
		for i := range s.Parameters {
			name := s.Parameters[i].Name
			declared[settable{name: name}] = true
			declared[settable{s.Ref.Name, name}] = true
		}
	}
	return declared
}

func (s *setting) key(policy *Policy) string {
	return quoted(policy.key(parameterKey + s.written))
}

// parametersOf returns a message with the first few parameters of the sidecars.
func parametersOf(sidecars []*conf.Sidecar) string {
	const most = 10
	var have []string
	for _, sidecar := range sidecars {
		for i := range sidecar.Parameters {
			name := sidecar.Ref.Name + "." + sidecar.Parameters[i].Name
			if len(have) < most && !slices.Contains(have, name) {
				have = append(have, name)
			}
		}
	}
	if have == nil {
		return "the requested sidecars have no parameters"
	}
	return "no requested sidecar has this parameter; available: " + strings.Join(have, ", ")
}

// fill returns a sidecar with the values of its parameters. The error contains all invalid and missing
// values.
func (f *parameterSource) fill(s *conf.Sidecar) (*conf.Sidecar, error) {
	values := make([]string, 0, len(s.Parameters)+len(s.PodFields))
	var faults []string
	for i := range s.Parameters {
		p := &s.Parameters[i]
		value, fault := f.parameter(s, p)
		if fault != "" {
			faults = append(faults, fault)
		}
		values = append(values, value)
	}
	for _, field := range s.PodFields {
		value, found := f.podField(field)
		if !found {
			faults = append(faults, fmt.Sprintf("%s is not set%s", field, nameHint(field)))
		}
		values = append(values, value)
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
		return nil, f.explain(s, invalid)
	}
	return filled, err
}

// parameter returns the value of a parameter, and its fault if it has one. A default was checked when
// it was loaded.
func (f *parameterSource) parameter(s *conf.Sidecar, p *params.Parameter) (value, fault string) {
	value, found := f.valueOf(s, p)
	switch {
	case !found && p.Default != nil:
		return *p.Default, ""
	case !found:
		return "", fmt.Sprintf("parameter %s has no default: set annotation %s%s",
			p.Name, f.policy.key(parameterKey+p.Name), fromHint(p))
	}
	if f.steps += p.Steps(value); f.steps > maxSteps {
		return "", ""
	}
	if err := p.Check(value); err != nil {
		return "", fmt.Sprintf("%s %v", f.source(s, p), err)
	}
	return value, ""
}

// explain adds the sources of invalid values to an error.
func (f *parameterSource) explain(s *conf.Sidecar, invalid *conf.RenderError) error {
	var sources []string
	for _, number := range invalid.Values {
		if declared := len(s.Parameters); number >= declared {
			sources = append(sources, s.PodFields[number-declared].String())
		} else {
			sources = append(sources, f.source(s, &s.Parameters[number]))
		}
	}
	return fmt.Errorf("%s: %w", strings.Join(sources, ", "), invalid)
}

// fromHint describes the field of the pod that a parameter comes from.
func fromHint(p *params.Parameter) string {
	if p.From == (params.PodField{}) {
		return ""
	}
	return fmt.Sprintf(", or set %s in the pod%s", p.From, nameHint(p.From))
}

// nameHint explains why a pod may have no name.
func nameHint(f params.PodField) string {
	if f.Kind == params.PodName {
		return "; the API server names pods of controllers after admission, so use env with fieldRef metadata.name"
	}
	return ""
}

// valueOf returns the value that the pod sets. An annotation takes precedence over other fields.
func (f *parameterSource) valueOf(s *conf.Sidecar, p *params.Parameter) (value string, found bool) {
	if set := f.setting(s, p); set != nil {
		return set.value, true
	}
	if p.From == (params.PodField{}) {
		return "", false
	}
	return f.podField(p.From)
}

// setting returns the annotation that sets a parameter, or nil. An annotation for the sidecar takes
// precedence over one for all sidecars.
func (f *parameterSource) setting(s *conf.Sidecar, p *params.Parameter) *setting {
	if set := f.settings[settable{s.Ref.Name, p.Name}]; set != nil {
		return set
	}
	return f.settings[settable{"", p.Name}]
}

// source returns the source of a value, for messages.
func (f *parameterSource) source(s *conf.Sidecar, p *params.Parameter) string {
	if set := f.setting(s, p); set != nil {
		return "annotation " + set.key(f.policy)
	}
	if _, found := f.valueOf(s, p); found {
		return fmt.Sprintf("parameter %s, from %s", p.Name, p.From)
	}
	return fmt.Sprintf("parameter %s, by default", p.Name)
}

// podField returns a field of the pod. The service account is that of the resulting pod.
func (f *parameterSource) podField(field params.PodField) (string, bool) {
	metadata := f.request.Object.metadata()
	switch field.Kind {
	case params.PodName:
		return metadata.Name, metadata.Name != ""
	case params.PodNamespace:
		return f.request.Namespace, f.request.Namespace != ""
	case params.PodLabel:
		value, found := metadata.Labels[field.Key]
		return value, found
	case params.PodAnnotation:
		value, found := metadata.Annotations[field.Key]
		return value, found
	case params.PodServiceAccount:
		return f.request.account(f.sidecars), true
	}
	return "", false
}

// account returns the service account of the resulting pod.
func (r *Request) account(sidecars []*conf.Sidecar) string {
	own := defaultAccount
	if r.Object.Spec != nil {
		own = r.Object.Spec.account()
	}
	for _, s := range sidecars {
		if own == defaultAccount && s.ServiceAccountName != "" {
			own = s.ServiceAccountName
		}
	}
	return own
}
