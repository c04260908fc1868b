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
	written string // behind param.
	sidecar string // empty: of all
	name    string
	value   string
}

// filling is what the values of parameters are taken from.
type filling struct {
	policy   *Policy
	request  *Request
	settings []setting
	sidecars []*conf.Sidecar
	size     int // of what is filled in, so far
}

// nobody is the sidecar of an annotation that names an empty one.
const nobody = "."

// fillAll gives the sidecars with the values of their parameters. The error is for the user.
func fillAll(policy *Policy, request *Request, sidecars []*conf.Sidecar) ([]*conf.Sidecar, error) {
	f := &filling{policy: policy, request: request, settings: settingsOf(policy, request), sidecars: sidecars}
	if err := declared(policy, f.settings, sidecars); err != nil {
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
		next := setting{written: string(name), name: string(name), value: string(value)}
		if at := strings.LastIndexByte(next.name, '.'); at >= 0 { // names of sidecars may have dots, those of parameters have none
			next.sidecar, next.name = cmp.Or(strings.ToLower(next.name[:at]), nobody), next.name[at+1:]
		}
		all = append(all, next)
	}
	return all
}

// declared wants every setting to be of a parameter that a sidecar of the request has.
func declared(policy *Policy, settings []setting, sidecars []*conf.Sidecar) error {
	for i := range settings {
		s := &settings[i]
		if slices.ContainsFunc(settings[:i], func(other setting) bool { return other.sidecar == s.sidecar && other.name == s.name }) {
			return fmt.Errorf("annotation %s: it is there twice, in other letter case", s.key(policy))
		}
		if !slices.ContainsFunc(sidecars, s.isOf) {
			return fmt.Errorf("annotation %s: %s", s.key(policy), s.alternatives(sidecars))
		}
	}
	return nil
}

// isOf tells whether the sidecar has the parameter.
func (s *setting) isOf(sidecar *conf.Sidecar) bool {
	return (s.sidecar == "" || s.sidecar == sidecar.Ref.Name) &&
		slices.ContainsFunc(sidecar.Parameters, func(p conf.Parameter) bool { return p.Name == s.name })
}

func (s *setting) key(policy *Policy) string {
	return quoted(policy.key(parameterKey + s.written))
}

// alternatives tells which parameters there are.
func (s *setting) alternatives(sidecars []*conf.Sidecar) string {
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

// fill gives one sidecar with its values. The error has all values that are not allowed or
// missing.
func (f *filling) fill(s *conf.Sidecar) (*conf.Sidecar, error) {
	values := make([]string, 0, len(s.Parameters)+len(s.PodFields))
	var wrong []string
	for i := range s.Parameters {
		p := &s.Parameters[i]
		set := findSetting(f.settings, s, p)
		value, found := f.valueOf(set, p)
		if !found {
			wrong = append(wrong, fmt.Sprintf("parameter %s has no default: set annotation %s%s", p.Name, f.policy.key(parameterKey+p.Name), orFrom(p)))
		} else if err := p.Check(value); err != nil {
			wrong = append(wrong, fmt.Sprintf("%s: %s %v", f.source(set, p), briefly(value), err))
		}
		values = append(values, value)
	}
	for _, field := range s.PodFields {
		value, found := f.request.podField(field, f.sidecars)
		if !found {
			wrong = append(wrong, fmt.Sprintf("it uses %s, which the pod does not have%s", field, nameLater(field)))
		}
		values = append(values, value)
	}
	if wrong != nil {
		return nil, errors.New(strings.Join(wrong, "; "))
	}
	if f.size += s.FilledSize(values); f.size > mostAdded {
		return nil, fmt.Errorf("the values of parameters would take %d bytes in all places where they stand, more than an API server takes", f.size)
	}
	filled, err := s.Fill(values)
	if unfit, ok := errors.AsType[*conf.FillError](err); ok {
		return nil, f.explain(s, values, unfit)
	}
	return filled, err
}

// explain names the values that do not fit, and what they came from.
func (f *filling) explain(s *conf.Sidecar, values []string, unfit *conf.FillError) error {
	var text strings.Builder
	for _, number := range unfit.Values {
		var from string
		if declared := len(s.Parameters); number >= declared {
			from = s.PodFields[number-declared].String()
		} else {
			p := &s.Parameters[number]
			from = f.source(findSetting(f.settings, s, p), p)
		}
		fmt.Fprintf(&text, "%s: %s; ", from, briefly(values[number]))
	}
	return fmt.Errorf("%s%w", text.String(), unfit)
}

// briefly quotes a value so that what is said behind it is not lost where messages are cut.
func briefly(value string) string {
	const most = 40
	if len(value) > most {
		value = strings.ToValidUTF8(value[:most], "") + "…"
	}
	return quoted(value)
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

// findSetting gives the annotation that sets a parameter, that for this sidecar before that for all; nil
// if there is none.
func findSetting(settings []setting, s *conf.Sidecar, p *conf.Parameter) *setting {
	var all *setting
	for i := range settings {
		switch set := &settings[i]; {
		case set.name != p.Name:
		case set.sidecar == s.Ref.Name:
			return set
		case set.sidecar == "":
			all = set
		}
	}
	return all
}

// valueOf is what a parameter is set to: by an annotation, by something of the pod, or by its
// default.
func (f *filling) valueOf(set *setting, p *conf.Parameter) (string, bool) {
	if set != nil {
		return set.value, true
	}
	if p.From != (conf.PodField{}) {
		if value, found := f.request.podField(p.From, f.sidecars); found {
			return value, true
		}
	}
	if p.Default != nil {
		return *p.Default, true
	}
	return "", false
}

// source tells what the value of a parameter came from.
func (f *filling) source(set *setting, p *conf.Parameter) string {
	if set != nil {
		return "annotation " + set.key(f.policy)
	}
	if p.From != (conf.PodField{}) {
		if _, found := f.request.podField(p.From, f.sidecars); found {
			return fmt.Sprintf("parameter %s, from %s", p.Name, p.From)
		}
	}
	return fmt.Sprintf("parameter %s, by default", p.Name)
}

// podField is something of the pod. Its service account is the one that it will have.
func (r *Request) podField(f conf.PodField, sidecars []*conf.Sidecar) (string, bool) {
	metadata := r.Object.metadata()
	switch f.Kind {
	case conf.PodName:
		return metadata.Name, metadata.Name != ""
	case conf.PodNamespace:
		return r.Namespace, r.Namespace != ""
	case conf.PodLabel:
		return metadata.Labels.find(f.Key)
	case conf.PodAnnotation:
		return metadata.Annotations.find(f.Key)
	case conf.PodServiceAccount:
		return r.account(sidecars), true
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
