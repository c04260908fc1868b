package conf

import (
	"fmt"
	"reflect"
	"strings"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
)

// enum lists the values that the Kubernetes API allows for a string type, or nil when the
// type is free text. The empty string means unset, except behind a pointer, where only
// leaving the field out does. A test walks the format and fails on a string type of the API
// that nobody has sorted yet.
func enum(t reflect.Type) []string {
	switch t {
	case reflect.TypeFor[corev1.PullPolicy]():
		return values(corev1.PullAlways, corev1.PullIfNotPresent, corev1.PullNever)
	case reflect.TypeFor[corev1.ContainerRestartPolicy]():
		return values(corev1.ContainerRestartPolicyAlways, corev1.ContainerRestartPolicyNever, corev1.ContainerRestartPolicyOnFailure)
	case reflect.TypeFor[corev1.ContainerRestartRuleAction]():
		return values(corev1.ContainerRestartRuleActionRestart, corev1.ContainerRestartRuleActionRestartAllContainers)
	case reflect.TypeFor[corev1.ContainerRestartRuleOnExitCodesOperator]():
		return values(corev1.ContainerRestartRuleOnExitCodesOpIn, corev1.ContainerRestartRuleOnExitCodesOpNotIn)
	case reflect.TypeFor[corev1.TerminationMessagePolicy]():
		return values(corev1.TerminationMessageReadFile, corev1.TerminationMessageFallbackToLogsOnError)
	case reflect.TypeFor[corev1.ResourceResizeRestartPolicy]():
		return values(corev1.NotRequired, corev1.RestartContainer)
	case reflect.TypeFor[corev1.Protocol]():
		return values(corev1.ProtocolTCP, corev1.ProtocolUDP, corev1.ProtocolSCTP)
	case reflect.TypeFor[corev1.URIScheme]():
		return values(corev1.URISchemeHTTP, corev1.URISchemeHTTPS)
	case reflect.TypeFor[corev1.HTTPProtocol]():
		return values(corev1.HTTPProtocolHTTP1, corev1.HTTPProtocolHTTP2)
	case reflect.TypeFor[corev1.GRPCProbeMode]():
		return values(corev1.GRPCProbeModePlaintext, corev1.GRPCProbeModeTLS)
	case reflect.TypeFor[corev1.TaintEffect]():
		return values(corev1.TaintEffectNoSchedule, corev1.TaintEffectPreferNoSchedule, corev1.TaintEffectNoExecute)
	case reflect.TypeFor[corev1.TolerationOperator]():
		return values(corev1.TolerationOpExists, corev1.TolerationOpEqual)
	case reflect.TypeFor[ParameterType]():
		return values(StringParameter, IntParameter, BoolParameter, QuantityParameter)
	case reflect.TypeFor[corev1.Signal]():
		return signals()
	default:
		return volumeEnum(t)
	}
}

// volumeEnum is the part of enum for volumes, their mounts and security.
func volumeEnum(t reflect.Type) []string {
	switch t {
	case reflect.TypeFor[corev1.MountPropagationMode]():
		return values(corev1.MountPropagationNone, corev1.MountPropagationHostToContainer, corev1.MountPropagationBidirectional)
	case reflect.TypeFor[corev1.RecursiveReadOnlyMode]():
		return values(corev1.RecursiveReadOnlyDisabled, corev1.RecursiveReadOnlyIfPossible, corev1.RecursiveReadOnlyEnabled)
	case reflect.TypeFor[corev1.HostPathType]():
		return values(corev1.HostPathDirectoryOrCreate, corev1.HostPathDirectory, corev1.HostPathFileOrCreate,
			corev1.HostPathFile, corev1.HostPathSocket, corev1.HostPathCharDev, corev1.HostPathBlockDev)
	case reflect.TypeFor[corev1.AzureDataDiskCachingMode]():
		return values(corev1.AzureDataDiskCachingNone, corev1.AzureDataDiskCachingReadOnly, corev1.AzureDataDiskCachingReadWrite)
	case reflect.TypeFor[corev1.AzureDataDiskKind]():
		return values(corev1.AzureSharedBlobDisk, corev1.AzureDedicatedBlobDisk, corev1.AzureManagedDisk)
	case reflect.TypeFor[corev1.PersistentVolumeMode]():
		return values(corev1.PersistentVolumeBlock, corev1.PersistentVolumeFilesystem)
	case reflect.TypeFor[corev1.PersistentVolumeAccessMode]():
		return values(corev1.ReadWriteOnce, corev1.ReadOnlyMany, corev1.ReadWriteMany, corev1.ReadWriteOncePod)
	case reflect.TypeFor[metav1.LabelSelectorOperator]():
		return values(metav1.LabelSelectorOpIn, metav1.LabelSelectorOpNotIn, metav1.LabelSelectorOpExists, metav1.LabelSelectorOpDoesNotExist)
	case reflect.TypeFor[corev1.ProcMountType]():
		return values(corev1.DefaultProcMount, corev1.UnmaskedProcMount)
	case reflect.TypeFor[corev1.SeccompProfileType]():
		return values(corev1.SeccompProfileTypeUnconfined, corev1.SeccompProfileTypeRuntimeDefault, corev1.SeccompProfileTypeLocalhost)
	case reflect.TypeFor[corev1.AppArmorProfileType]():
		return values(corev1.AppArmorProfileTypeUnconfined, corev1.AppArmorProfileTypeRuntimeDefault, corev1.AppArmorProfileTypeLocalhost)
	default:
		return nil
	}
}

// emptyAllowed tells the one pointer to an enum that may point to the empty string.
func emptyAllowed(t reflect.Type) bool {
	return t == reflect.TypeFor[corev1.HostPathType]()
}

// signals are the stop signals of a container (KEP-4960).
func signals() []string {
	list := strings.Fields(`SIGABRT SIGALRM SIGBUS SIGCHLD SIGCLD SIGCONT SIGFPE SIGHUP SIGILL SIGINT SIGIO
		SIGIOT SIGKILL SIGPIPE SIGPOLL SIGPROF SIGPWR SIGQUIT SIGSEGV SIGSTKFLT SIGSTOP SIGSYS SIGTERM SIGTRAP
		SIGTSTP SIGTTIN SIGTTOU SIGURG SIGUSR1 SIGUSR2 SIGVTALRM SIGWINCH SIGXCPU SIGXFSZ SIGRTMIN SIGRTMAX`)
	for i := 1; i <= 15; i++ {
		list = append(list, fmt.Sprintf("SIGRTMIN+%d", i))
	}
	for i := 1; i <= 14; i++ {
		list = append(list, fmt.Sprintf("SIGRTMAX-%d", i))
	}
	return list
}

func values[T ~string](allowed ...T) []string {
	texts := make([]string, len(allowed))
	for i, value := range allowed {
		texts[i] = string(value)
	}
	return texts
}
