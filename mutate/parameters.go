package mutate

import (
	"bytes"
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
	sidecar string // empty: of all
	name    string
	value   string
}

// fillAll gives the sidecars with the values of their parameters. The error is for the user.
func fillAll(policy *Policy, request *Request, sidecars []*conf.Sidecar) ([]*conf.Sidecar, error) {
	settings := settingsOf(policy, request)
	if err := declared(policy, settings, sidecars); err != nil {
		return nil, err
	}
	filled := sidecars
	for i, s := range sidecars {
		if len(s.Parameters)+len(s.PodFields) == 0 {
			continue
		}
		next, err := fill(policy, request, settings, s, sidecars)
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
		next := setting{name: string(name), value: string(value)}
		if at := strings.LastIndexByte(next.name, '.'); at >= 0 { // names of sidecars may have dots, those of parameters have none
			next.sidecar, next.name = strings.ToLower(next.name[:at]), next.name[at+1:]
		}
		all = append(all, next)
	}
	return all
}

// declared wants every setting to be of a parameter that a sidecar of the request has.
func declared(policy *Policy, settings []setting, sidecars []*conf.Sidecar) error {
	for i := range settings {
		s := &settings[i]
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
	name := parameterKey + s.name
	if s.sidecar != "" {
		name = parameterKey + s.sidecar + "." + s.name
	}
	return quoted(policy.key(name))
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

// fill gives one sidecar with its values.
func fill(policy *Policy, request *Request, settings []setting, s *conf.Sidecar, all []*conf.Sidecar) (*conf.Sidecar, error) {
	values := make([]string, 0, len(s.Parameters)+len(s.PodFields))
	for i := range s.Parameters {
		p := &s.Parameters[i]
		set := findSetting(settings, s, p)
		value, found := valueOf(request, set, p, all)
		if !found {
			return nil, fmt.Errorf("parameter %s has no default: set annotation %s%s", p.Name, policy.key(parameterKey+p.Name), orFrom(p))
		}
		if err := p.Check(value); err != nil {
			return nil, fmt.Errorf("parameter %s: %s, by %s, %w", p.Name, quoted(value), source(policy, set, p), err)
		}
		values = append(values, value)
	}
	for _, f := range s.PodFields {
		value, found := request.podField(f, all)
		if !found {
			return nil, fmt.Errorf("it uses %s, which the pod does not have%s", f, nameLater(f))
		}
		values = append(values, value)
	}
	return s.Fill(values)
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
func valueOf(request *Request, set *setting, p *conf.Parameter, all []*conf.Sidecar) (string, bool) {
	if set != nil {
		return set.value, true
	}
	if p.From != (conf.PodField{}) {
		if value, found := request.podField(p.From, all); found {
			return value, true
		}
	}
	if p.Default != nil {
		return *p.Default, true
	}
	return "", false
}

// source tells what a value that is not allowed came from. Defaults are allowed.
func source(policy *Policy, set *setting, p *conf.Parameter) string {
	if set != nil {
		return "annotation " + set.key(policy)
	}
	return p.From.String()
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
