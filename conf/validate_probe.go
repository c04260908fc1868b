package conf

import (
	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/util/intstr"
	"k8s.io/apimachinery/pkg/util/validation"
	"k8s.io/apimachinery/pkg/util/validation/field"
)

// validateProbes checks the probes and lifecycle hooks of a container.
func validateProbes(path *field.Path, c *corev1.Container) field.ErrorList {
	faults := validateProbe(path.Child("livenessProbe"), c.LivenessProbe)
	faults = append(faults, validateOneSuccess(path.Child("livenessProbe"), c.LivenessProbe)...)
	faults = append(faults, validateProbe(path.Child("readinessProbe"), c.ReadinessProbe)...)
	faults = append(faults, validateProbe(path.Child("startupProbe"), c.StartupProbe)...)
	faults = append(faults, validateOneSuccess(path.Child("startupProbe"), c.StartupProbe)...)
	if c.ReadinessProbe != nil && c.ReadinessProbe.TerminationGracePeriodSeconds != nil {
		faults = append(faults, field.Forbidden(path.Child("readinessProbe", "terminationGracePeriodSeconds"), "not for a readiness probe"))
	}
	if c.Lifecycle != nil {
		faults = append(faults, validateHook(path.Child("lifecycle", "postStart"), c.Lifecycle.PostStart)...)
		faults = append(faults, validateHook(path.Child("lifecycle", "preStop"), c.Lifecycle.PreStop)...)
	}
	return faults
}

func validateProbe(path *field.Path, p *corev1.Probe) field.ErrorList {
	if p == nil {
		return nil
	}
	faults := oneOf(path, "handler", pointersSet(&p.ProbeHandler))
	faults = append(faults, validateHandler(path, p.Exec, p.HTTPGet, p.TCPSocket)...)
	if p.GRPC != nil {
		faults = append(faults, portNumber(path.Child("grpc", "port"), int(p.GRPC.Port))...)
	}
	for _, number := range []struct {
		name  string
		value int32
	}{
		{"initialDelaySeconds", p.InitialDelaySeconds},
		{"timeoutSeconds", p.TimeoutSeconds},
		{"periodSeconds", p.PeriodSeconds},
		{"successThreshold", p.SuccessThreshold},
		{"failureThreshold", p.FailureThreshold},
	} {
		if number.value < 0 {
			faults = append(faults, field.Invalid(path.Child(number.name), number.value, "must not be negative"))
		}
	}
	if grace := p.TerminationGracePeriodSeconds; grace != nil && *grace <= 0 {
		faults = append(faults, field.Invalid(path.Child("terminationGracePeriodSeconds"), *grace, "must be greater than 0"))
	}
	return faults
}

// validateOneSuccess holds liveness and startup probes to what the API allows them.
func validateOneSuccess(path *field.Path, p *corev1.Probe) field.ErrorList {
	if p != nil && p.SuccessThreshold > 1 {
		return field.ErrorList{field.Invalid(path.Child("successThreshold"), p.SuccessThreshold, "must be 1")}
	}
	return nil
}

func validateHook(path *field.Path, h *corev1.LifecycleHandler) field.ErrorList {
	if h == nil {
		return nil
	}
	faults := oneOf(path, "handler", pointersSet(h))
	if h.Sleep != nil && h.Sleep.Seconds < 0 {
		faults = append(faults, field.Invalid(path.Child("sleep", "seconds"), h.Sleep.Seconds, "must not be negative"))
	}
	return append(faults, validateHandler(path, h.Exec, h.HTTPGet, h.TCPSocket)...)
}

// validateHandler checks the handlers that probes and hooks share.
func validateHandler(path *field.Path, exec *corev1.ExecAction, get *corev1.HTTPGetAction, tcp *corev1.TCPSocketAction) field.ErrorList {
	var faults field.ErrorList
	if exec != nil && len(exec.Command) == 0 {
		faults = append(faults, field.Required(path.Child("exec", "command"), ""))
	}
	if get != nil {
		faults = append(faults, validateHTTPGet(path.Child("httpGet"), get)...)
	}
	if tcp != nil {
		faults = append(faults, portOrName(path.Child("tcpSocket", "port"), tcp.Port)...)
	}
	return faults
}

func validateHTTPGet(path *field.Path, get *corev1.HTTPGetAction) field.ErrorList {
	faults := portOrName(path.Child("port"), get.Port)
	for i, header := range get.HTTPHeaders {
		at := path.Child("httpHeaders").Index(i).Child("name")
		faults = append(faults, checked(at, header.Name, validation.IsHTTPHeaderName(header.Name))...)
	}
	if get.Protocol != nil && *get.Protocol == corev1.HTTPProtocolHTTP2 && (get.Scheme == corev1.URISchemeHTTPS || get.Host != "") {
		faults = append(faults, field.Forbidden(path.Child("protocol"), "HTTP2 only without scheme HTTPS and host"))
	}
	return faults
}

func portOrName(path *field.Path, port intstr.IntOrString) field.ErrorList {
	if port.Type == intstr.Int {
		return portNumber(path, port.IntValue())
	}
	return named(path, port.StrVal, validation.IsValidPortName)
}
