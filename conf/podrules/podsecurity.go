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

// The levels, strictest first.
const (
	Restricted Level = Level(api.LevelRestricted)
	Baseline   Level = Level(api.LevelBaseline)
	Privileged Level = Level(api.LevelPrivileged)
)

// Standards evaluates definitions by the latest version of the Pod Security Standards. It is safe for
// concurrent use.
type Standards struct {
	evaluator policy.Evaluator
}

// NewStandards returns the Standards. It panics if the library rejects its own checks.
func NewStandards() *Standards {
	evaluator, err := policy.NewEvaluator(policy.DefaultChecks(), nil)
	if err != nil {
		panic(err)
	}
	return &Standards{evaluator: evaluator}
}

// Level returns the strictest level that a pod with only the definition meets. If a pod sets a
// securityContext for all containers, it may meet a stricter level. The violations are the checks of the
// next stricter level that the definition fails.
func (s *Standards) Level(d *Definition) (level Level, violations []string) {
	if violations := s.violations(api.LevelBaseline, d); len(violations) > 0 {
		return Privileged, violations
	}
	if violations := s.violations(api.LevelRestricted, d); len(violations) > 0 {
		return Baseline, violations
	}
	return Restricted, nil
}

// violations returns the checks of a level that the definition fails. Annotations that a container
// runtime interprets violate both Baseline and Restricted.
func (s *Standards) violations(level api.Level, d *Definition) []string {
	pod := d.pod()
	spec := &pod.Spec
	spec.Containers = spec.Containers[:len(spec.Containers)-1] // without the target container
	spec.HostUsers, spec.OS = nil, nil                         // set by provide; some checks depend on them
	var violations []string
	against := api.LevelVersion{Level: level, Version: api.LatestVersion()}
	for _, result := range s.evaluator.EvaluatePod(against, &pod.ObjectMeta, spec) {
		if !result.Allowed {
			reason := cmp.Or(result.ForbiddenReason, policy.UnknownForbiddenReason)
			violations = append(violations, violation(reason, onlyNames(result.ForbiddenDetail)))
		}
	}
	if field := d.privilegedUser(); level == api.LevelBaseline && field != "" {
		violations = append(violations, violation("privileged user for all containers", "podSecurityContext."+field))
	}
	if keys := runtimeAnnotations(pod.Annotations); keys != nil {
		violations = append(violations, violation("container runtime annotations", strings.Join(keys, ", ")))
	}
	return violations
}

// unprivilegedWindowsUser is the user of Windows images without administrator rights.
const unprivilegedWindowsUser = "ContainerUser"

// privilegedUser returns the field with which the definition makes other containers of the pod run as root, or as a
// user of Windows that may be an administrator. It is empty if there is none. The library allows that at Baseline,
// because it assumes that the pod is its author's own.
func (d *Definition) privilegedUser() string {
	c := d.PodSecurityContext
	if c == nil {
		return ""
	}
	if c.RunAsUser != nil && *c.RunAsUser == 0 {
		return "runAsUser=0"
	}
	w := c.WindowsOptions
	if w != nil && w.RunAsUserName != nil && !strings.EqualFold(*w.RunAsUserName, unprivilegedWindowsUser) {
		return "windowsOptions.runAsUserName"
	}
	return ""
}

// maxDetail limits the detail of a violation, which may list many containers.
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

// A detail may quote any text of the definition, such as the host of a probe. Only text that may be the
// name of a container, a volume or a capability is shown.
var (
	quotedText = regexp.MustCompile(`"[^"]*"`)
	nameText   = regexp.MustCompile(`^"([a-z0-9][a-z0-9-]{0,62}|[A-Z][A-Za-z_]{0,30})"$`)
)

// onlyNames replaces quoted text in the detail that is not a name.
func onlyNames(detail string) string {
	return quotedText.ReplaceAllStringFunc(detail, func(text string) string {
		if nameText.MatchString(text) {
			return text
		}
		return `"?"`
	})
}
