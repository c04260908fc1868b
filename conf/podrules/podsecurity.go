package podrules

import (
	"cmp"
	"fmt"
	"regexp"
	"strings"

	"k8s.io/pod-security-admission/api"
	"k8s.io/pod-security-admission/policy"
)

// Level is a level of the Pod Security Standards.
type Level string

// The levels, the strictest first.
const (
	Restricted Level = Level(api.LevelRestricted)
	Baseline   Level = Level(api.LevelBaseline)
	Privileged Level = Level(api.LevelPrivileged)
)

// maxDetail bounds a detail, which lists every container.
const maxDetail = 300

// violation returns a text such as `host namespaces (hostPID=true)`.
func violation(reason, detail string) string {
	switch {
	case detail == "":
		return reason
	case len(detail) > maxDetail:
		detail = strings.ToValidUTF8(detail[:maxDetail], "") + "..."
	}
	return fmt.Sprintf("%s (%s)", reason, detail)
}

// What a detail quotes may be any text of the definition, such as the host of a probe. Names of
// containers, volumes and capabilities are shown.
var (
	quotedText = regexp.MustCompile(`"[^"]*"`)
	shownText  = regexp.MustCompile(`^"([a-z0-9][a-z0-9-]{0,62}|[A-Z][A-Za-z_]{0,30})"$`)
)

func withoutTexts(detail string) string {
	return quotedText.ReplaceAllStringFunc(detail, func(text string) string {
		if shownText.MatchString(text) {
			return text
		}
		return `"?"`
	})
}

// Standards are the newest version of the Pod Security Standards. They are safe for concurrent use.
type Standards struct {
	evaluator policy.Evaluator
}

// NewStandards panics if the library rejects its own checks.
func NewStandards() *Standards {
	evaluator, err := policy.NewEvaluator(policy.DefaultChecks(), nil)
	if err != nil {
		panic(err)
	}
	return &Standards{evaluator: evaluator}
}

// Level returns the strictest level that a pod with only the definition meets. A pod that sets a
// securityContext for all its containers may meet a stricter one. If the level is Privileged, the
// violations are the checks of Baseline that the definition fails.
func (s *Standards) Level(d *Definition) (level Level, violations []string) {
	if violations := s.violations(api.LevelBaseline, d); len(violations) > 0 {
		return Privileged, violations
	}
	if len(s.violations(api.LevelRestricted, d)) > 0 {
		return Baseline, nil
	}
	return Restricted, nil
}

// violations returns the checks of a level that the definition fails. Annotations that a container runtime
// interprets fail each level.
func (s *Standards) violations(level api.Level, d *Definition) []string {
	pod := d.pod()
	spec := &pod.Spec
	spec.Containers = spec.Containers[:len(spec.Containers)-1] // without the carrier
	spec.HostUsers, spec.OS = nil, nil                         // the standards relax some checks for them
	var violations []string
	against := api.LevelVersion{Level: level, Version: api.LatestVersion()}
	for _, result := range s.evaluator.EvaluatePod(against, &pod.ObjectMeta, spec) {
		if !result.Allowed {
			reason := cmp.Or(result.ForbiddenReason, policy.UnknownForbiddenReason)
			violations = append(violations, violation(reason, withoutTexts(result.ForbiddenDetail)))
		}
	}
	if keys := runtimeAnnotations(d.Annotations); keys != nil {
		violations = append(violations, violation("container runtime annotations", strings.Join(keys, ", ")))
	}
	return violations
}
