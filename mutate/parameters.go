package mutate

import (
	"bytes"
	"cmp"
	"errors"
	"fmt"
	"slices"
	"strings"

	"k8s-sidecar-injector/conf"
)

// parameterKey begins the names of the annotations that set parameters: param.NAME for all
// sidecars that have it, param.SIDECAR.NAME for one.
const parameterKey = "param."

// setting is an annotation that sets a parameter.
type setting struct {
	settable
	written string // behind param.
	value   string
}

// settable is a parameter of one sidecar, or of all that have it.
type settable struct {
	sidecar string // empty: of all
	name    string
}

// filling is what the values of parameters are taken from.
type filling struct {
	policy   *Policy
	request  *Request
	settings map[settable]*setting
	sidecars []*conf.Sidecar
	size     int // of what is filled in, so far
	steps    int // of checking values, so far
}

// maxSteps bounds the time that the values of one pod take to check, to some tenths of a second.
const maxSteps = 500_000

// nobody is the sidecar of an annotation that names an empty one.
const nobody = "."

// fillAll returns the sidecars with the values of their parameters. The error is for the user.
func fillAll(policy *Policy, request *Request, sidecars []*conf.Sidecar) ([]*conf.Sidecar, error) {
	f := &filling{policy: policy, request: request, sidecars: sidecars}
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

// readSettings reads the annotations that set parameters. Each must set one that a sidecar of the
// request has.
func (f *filling) readSettings() error {
	all := settingsOf(f.policy, f.request)
	if len(all) == 0 {
		return nil
	}
	f.settings = make(map[settable]*setting, len(all))
	declared := declaredBy(f.sidecars)
	for i := range all {
		s := &all[i]
		if f.settings[s.settable] != nil {
			return fmt.Errorf("annotation %s: it is there twice, in other letter case", s.key(f.policy))
		}
		if !declared[s.settable] {
			return fmt.Errorf("annotation %s: %s", s.key(f.policy), parametersOf(f.sidecars))
		}
		f.settings[s.settable] = s
	}
	return nil
}

func settingsOf(policy *Policy, request *Request) []setting {
	var all []setting
	for key, value := range request.Object.metadata().Annotations.all() {
		rest, found := bytes.CutPrefix(key, []byte(policy.AnnotationNamespace))
		if !found || len(rest) == 0 || rest[0] != '/' {
			continue
		}
		name, found := bytes.CutPrefix(rest[1:], []byte(parameterKey))
		if !found {
			continue
		}
		next := setting{written: string(name), settable: settable{name: string(name)}, value: string(value)}
		if at := strings.LastIndexByte(next.name, '.'); at >= 0 { // names of sidecars may have dots, those of parameters have none
			next.sidecar, next.name = cmp.Or(strings.ToLower(next.name[:at]), nobody), next.name[at+1:]
		}
		all = append(all, next)
	}
	return all
}

// declaredBy returns what annotations may set.
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

// parametersOf lists the first of the parameters that there are.
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
		return "the sidecars of the request have no parameters"
	}
	return "no sidecar of the request has this parameter: there is " + strings.Join(have, ", ")
}

// fill returns one sidecar with its values. The error has all values that are not allowed or
// missing.
func (f *filling) fill(s *conf.Sidecar) (*conf.Sidecar, error) {
	values := make([]string, 0, len(s.Parameters)+len(s.PodFields))
	var wrong []string
	for i := range s.Parameters {
		p := &s.Parameters[i]
		value, why := f.parameter(s, p)
		if why != "" {
			wrong = append(wrong, why)
		}
		values = append(values, value)
	}
	for _, field := range s.PodFields {
		value, found := f.podField(field)
		if !found {
			wrong = append(wrong, fmt.Sprintf("it uses %s, which the pod does not have%s", field, nameLater(field)))
		}
		values = append(values, value)
	}
	if f.steps > maxSteps {
		return nil, errors.New("the values of its parameters take too long to check: use shorter values, or simpler patterns")
	}
	if wrong != nil {
		return nil, errors.New(strings.Join(wrong, "; "))
	}
	if f.size += s.FilledSize(values); f.size > mostAdded {
		return nil, fmt.Errorf("the values of parameters would take %d bytes in all places where they stand, more than an API server takes", f.size)
	}
	filled, err := s.Fill(values)
	if unfit, ok := errors.AsType[*conf.FillError](err); ok {
		return nil, f.explain(s, unfit)
	}
	return filled, err
}

// parameter returns the value of a parameter, and why the pod may not have it. A default was checked
// when it was loaded.
func (f *filling) parameter(s *conf.Sidecar, p *conf.Parameter) (value, wrong string) {
	source, value, found := f.valueOf(s, p)
	switch {
	case !found && p.Default != nil:
		return *p.Default, ""
	case !found:
		return "", fmt.Sprintf("parameter %s has no default: set annotation %s%s", p.Name, f.policy.key(parameterKey+p.Name), orFrom(p))
	}
	if f.steps += p.Steps(value); f.steps > maxSteps {
		return "", ""
	}
	if err := p.Check(value); err != nil {
		return "", fmt.Sprintf("%s %v", source, err)
	}
	return value, ""
}

// explain names what the values that do not fit came from.
func (f *filling) explain(s *conf.Sidecar, unfit *conf.FillError) error {
	var sources []string
	for _, number := range unfit.Values {
		if declared := len(s.Parameters); number >= declared {
			sources = append(sources, s.PodFields[number-declared].String())
		} else {
			sources = append(sources, f.source(s, &s.Parameters[number]))
		}
	}
	return fmt.Errorf("%s: %w", strings.Join(sources, ", "), unfit)
}

func orFrom(p *conf.Parameter) string {
	if p.From == (conf.PodField{}) {
		return ""
	}
	return fmt.Sprintf(", or give the pod what %s stands for%s", p.From, nameLater(p.From))
}

// nameLater explains why a pod may have no name.
func nameLater(f conf.PodField) string {
	if f.Kind == conf.PodName {
		return ": the API server names the pods of controllers later, so use env with fieldRef metadata.name"
	}
	return ""
}

// valueOf returns what a parameter is set to by the pod: by an annotation, for this sidecar before for
// all, or by something else of it. It is not found where the default applies.
func (f *filling) valueOf(s *conf.Sidecar, p *conf.Parameter) (source, value string, found bool) {
	for _, of := range []string{s.Ref.Name, ""} {
		if set := f.settings[settable{of, p.Name}]; set != nil {
			return "annotation " + set.key(f.policy), set.value, true
		}
	}
	if p.From == (conf.PodField{}) {
		return "", "", false
	}
	value, found = f.podField(p.From)
	return fmt.Sprintf("parameter %s, from %s", p.Name, p.From), value, found
}

// source names what the value of a parameter came from.
func (f *filling) source(s *conf.Sidecar, p *conf.Parameter) string {
	if source, _, found := f.valueOf(s, p); found {
		return source
	}
	return fmt.Sprintf("parameter %s, by default", p.Name)
}

// podField is something of the pod. Its service account is the one that it will have.
func (f *filling) podField(field conf.PodField) (string, bool) {
	metadata := f.request.Object.metadata()
	switch field.Kind {
	case conf.PodName:
		return metadata.Name, metadata.Name != ""
	case conf.PodNamespace:
		return f.request.Namespace, f.request.Namespace != ""
	case conf.PodLabel:
		return metadata.Labels.find(field.Key)
	case conf.PodAnnotation:
		return metadata.Annotations.find(field.Key)
	case conf.PodServiceAccount:
		return f.request.account(f.sidecars), true
	}
	return "", false
}

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
