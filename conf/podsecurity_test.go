package conf_test

import (
	"fmt"
	"path/filepath"
	"reflect"
	"slices"
	"strings"
	"testing"

	"k8s-sidecar-injector/conf"
	"k8s-sidecar-injector/conf/podrules"
)

// To add a definition that needs the level privileged, add testdata/podsecurity/NAME.yaml and run
// go test ./conf -update. By default, it is allowed in a file and rejected in a ConfigMap.
func TestPrivileged(t *testing.T) {
	t.Parallel()
	dir := filepath.Join("testdata", "podsecurity")
	for _, name := range inputs(t, dir, ".yaml", ".txt") {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			content := readFile(t, filepath.Join(dir, name+".yaml"))
			origin := conf.Origin{Kind: conf.ConfigMap, Root: "sidecars/team", Name: name + ".yaml"}
			inMap := conf.Split(origin, content)
			inFile := conf.Split(file(name+".yaml", 0), content)
			refused := conf.Load(inMap, nil)
			if len(refused.Sidecars) > 0 {
				t.Errorf("a ConfigMap is served: %s", show(refused))
			}
			compareGolden(t, filepath.Join(dir, name+".txt"), show(refused))
			checkPrivileged(t, "file", conf.Load(inFile, nil))
			checkPrivileged(t, "ConfigMap", load(t, conf.Consent(conf.ConfigMap), inMap, nil))
			if set := load(t, conf.Consent(conf.ConfigMap), inFile, nil); len(set.Sidecars) > 0 {
				t.Errorf("an unprivileged file is served: %s", show(set))
			}
		})
	}
}

func checkPrivileged(t *testing.T, from string, set *conf.Set) {
	t.Helper()
	if len(set.Sidecars) != 1 || len(set.Rejections) > 0 || set.Sidecars[0].Level != podrules.Privileged {
		t.Errorf("from a %s: %s, want one sidecar that needs the level privileged", from, show(set))
	}
}

func TestLevel(t *testing.T) {
	t.Parallel()
	const tight = "runAsNonRoot: true, allowPrivilegeEscalation: false, capabilities: {drop: [ALL]}, " +
		"seccompProfile: {type: RuntimeDefault}"
	container := func(securityContext string) string {
		return "containers: [{name: c, image: i, securityContext: {" + securityContext + "}}]\n"
	}
	for name, test := range map[string]struct {
		definition string
		want       podrules.Level
	}{
		"nothing": {"", podrules.Restricted},
		"env":     {"env: [{name: A}]\n", podrules.Restricted},
		"volumes": {
			"volumes: [{name: a, emptyDir: {}}, {name: b, secret: {secretName: s}}]\n", podrules.Restricted,
		},
		"tight container": {container(tight), podrules.Restricted},
		"tight, one more": {
			container(strings.Replace(tight, "{drop: [ALL]}", "{drop: [ALL], add: [NET_BIND_SERVICE]}", 1)), podrules.Restricted,
		},
		"tight pod": {
			container("allowPrivilegeEscalation: false, capabilities: {drop: [ALL]}") +
				"podSecurityContext: {runAsNonRoot: true, seccompProfile: {type: RuntimeDefault}}\n", podrules.Restricted,
		},
		"user of all containers": {"podSecurityContext: {runAsUser: 1, fsGroup: 0}\n", podrules.Restricted},
		"user of Windows": {
			"os: windows\npodSecurityContext: {windowsOptions: {runAsUserName: containeruser}}\n", podrules.Restricted,
		},
		"administrator of Windows": {
			"os: windows\npodSecurityContext: {windowsOptions: {runAsUserName: ContainerAdministrator}}\n", podrules.Privileged,
		},
		"runAsNonRoot: false": {"podSecurityContext: {runAsNonRoot: false}\n", podrules.Baseline},
		"plain container":     {container(""), podrules.Baseline},
		"root":                {container("runAsUser: 0"), podrules.Baseline},
		"user of the pod": {
			"parameters: {u: {type: int, from: pod.securityContext.runAsUser, min: 1, max: 9}}\n" +
				container(tight+", runAsUser: '${u}'"), podrules.Restricted,
		},
		"usual capability":  {container("capabilities: {add: [CHOWN]}"), podrules.Baseline},
		"init container":    {"initContainers: [{name: c, image: i}]\n", podrules.Baseline},
		"NFS":               {"volumes: [{name: a, nfs: {server: s, path: /}}]\n", podrules.Baseline},
		"false host fields": {"hostNetwork: false\nhostPID: false\n", podrules.Restricted},
		"privileged: false": {container("privileged: false"), podrules.Baseline},
		"host port 0": {
			"containers: [{name: c, image: i, ports: [{containerPort: 80, hostPort: 0}]}]\n", podrules.Baseline,
		},
		"host port": {
			"containers: [{name: c, image: i, ports: [{containerPort: 80, hostPort: 80}]}]\n", podrules.Privileged,
		},
		"null": {"volumes: [{name: a, hostPath: null, emptyDir: {}}]\nhostPID: null\n", podrules.Restricted},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			set := conf.Load(documents("a.yaml", "name: x\n"+test.definition), nil)
			if len(set.Sidecars) != 1 || set.Sidecars[0].Level != test.want {
				t.Errorf("got %+v %s, want the level %s", set.Sidecars, show(set), test.want)
			}
			rejected := len(conf.Load(inMap("m", "name: x\n"+test.definition), nil).Rejections) > 0
			if rejected != (test.want == podrules.Privileged) {
				t.Errorf("from a ConfigMap, rejected is %t at level %s", rejected, test.want)
			}
		})
	}
}

// Inherited fields count.
func TestLevelOfHeirs(t *testing.T) {
	t.Parallel()
	set := conf.Load(slices.Concat(
		documents("a.yaml", "name: base\nhostPID: true\n"),
		documents("b.yaml", "name: middle\ninherits: base\n"),
		inMap("m", "name: heir\ninherits: middle\n---\nname: weaker\ninherits: middle\nhostPID: false\n"),
	), nil)
	levels := make(map[string]podrules.Level)
	for _, s := range set.Sidecars {
		levels[s.Ref.Name] = s.Level
	}
	want := map[string]podrules.Level{
		"base":   podrules.Privileged,
		"middle": podrules.Privileged,
		"weaker": podrules.Restricted,
	}
	if !reflect.DeepEqual(levels, want) {
		t.Errorf("got %v, want %v", levels, want)
	}
	expect(t, "heir", set.Rejections, []string{
		"configmap sidecars/m[k]:1: needs the Pod Security level privileged",
		`configmap sidecars/m[k]:2: inherits: Forbidden: with what it inherits from "middle": host namespaces`,
	})
}

// Annotations that a container runtime interprets need the level privileged, and others do not.
func TestRuntimeAnnotations(t *testing.T) {
	t.Parallel()
	for key, want := range map[string]podrules.Level{
		"io.kubernetes.cri-o.Devices":                    podrules.Privileged,
		"io.kubernetes.cri-o.userns-mode":                podrules.Privileged,
		"io.kubernetes.cri-o.UnifiedCgroup.app":          podrules.Privileged,
		"cpu-quota.crio.io":                              podrules.Privileged,
		"cpu-shared.crio.io/app":                         podrules.Privileged,
		"devices.crio.io":                                podrules.Privileged,
		"seccomp-profile.kubernetes.cri-o.io":            podrules.Privileged,
		"seccomp-profile.kubernetes.cri-o.io/POD":        podrules.Privileged,
		"io.containers.trace-syscall":                    podrules.Privileged,
		"io.containerd.cri.runtime-handler":              podrules.Privileged,
		"io.kubernetes.cri.blockio-class":                podrules.Privileged,
		"containerd.io/restart.loguri":                   podrules.Privileged,
		"ulimits.nri.containerd.io/container.app":        podrules.Privileged,
		"cdi.k8s.io/gpu":                                 podrules.Privileged,
		"nvidia.cdi.k8s.io/container.app":                podrules.Privileged,
		"devices.nri.io/container.app":                   podrules.Privileged,
		"mounts.nri.io/pod":                              podrules.Privileged,
		"cdi-devices.noderesource.dev/pod":               podrules.Privileged,
		"cpu.resource-policy.nri.io/container.app":       podrules.Privileged,
		"blockio.resources.beta.kubernetes.io/pod":       podrules.Privileged,
		"rdt.resources.beta.kubernetes.io/container.app": podrules.Privileged,
		"io.katacontainers.config.hypervisor.path":       podrules.Privileged,
		"IO.KataContainers.config_path":                  podrules.Privileged,
		"dev.gvisor.flag.network":                        podrules.Privileged,
		"io.microsoft.virtualmachine.lcow.privileged":    podrules.Privileged,
		"run.oci.handler":                                podrules.Privileged,
		"module.wasm.image/variant":                      podrules.Privileged,
		"org.systemd.property.SuccessAction":             podrules.Privileged,
		"org.criu.config":                                podrules.Privileged,
		"example.com/scrape":                             podrules.Restricted,
		"io.kubernetes":                                  podrules.Restricted,
		"example.com/io.kubernetes.cri-o.Devices":        podrules.Restricted,
		"notcrio.io/x":                                   podrules.Restricted,
		"mynri.io":                                       podrules.Restricted,
		"crio.io.example.com/x":                          podrules.Restricted,
		"k8s.v1.cni.cncf.io/networks":                    podrules.Restricted,
		"kubectl.kubernetes.io/default-container":        podrules.Restricted,
		"cluster-autoscaler.kubernetes.io/safe-to-evict": podrules.Restricted,
		"sidecar.istio.io/inject":                        podrules.Restricted,
		"prometheus.io/scrape":                           podrules.Restricted,
		"batch.kubernetes.io/job-completion-index":       podrules.Restricted,
		"kubernetes.io/ingress-bandwidth":                podrules.Restricted,
	} {
		t.Run(key, func(t *testing.T) {
			t.Parallel()
			base := documents("base.yaml", "name: base\nannotations: {'"+key+"': x}\n")
			set := conf.Load(append(base, inMap("m", "name: heir\ninherits: base\nannotations: {'"+key+"': }\n")...), nil)
			if set.Sidecars[0].Level != want || want == podrules.Restricted && len(set.Rejections) > 0 {
				t.Fatalf("got %+v %s, want the level %s", set.Sidecars, show(set), want)
			}
			if want == podrules.Privileged {
				expect(t, "a ConfigMap that inherits it", set.Rejections, []string{
					"needs the Pod Security level privileged", "container runtime annotations (\"" + key + "\")",
				})
			}
		})
	}
}

// Annotations cannot avoid the check: keys have no placeholders, and values cannot add keys.
func TestAnnotationKeys(t *testing.T) {
	t.Parallel()
	for name, test := range map[string]struct{ definition, want string }{
		"parameter in a key": {
			"parameters: {k: {default: cri-o.Devices}}\nannotations: {'io.kubernetes.${k}': x}\n", "annotations",
		},
		"parameter as a key": {
			"parameters: {k: {default: cdi.k8s.io/gpu}}\nannotations: {'${k}': x}\n", "annotations",
		},
		"field of the pod": {"annotations: {'${pod.labels.k}': x}\n", "annotations"},
		"parameter as all": {"parameters: {k: {default: x}}\nannotations: ${k}\n", "annotations"},
		"white space":      {"annotations: {' cdi.k8s.io/gpu': x}\n", "annotations"},
		"merged by an alias": {
			"hostAliases: &a []\nannotations: {<<: &b {cdi.k8s.io/gpu: x}}\n", "container runtime annotations",
		},
		"null is a value":        {"annotations: {cdi.k8s.io/gpu: }\n", "container runtime annotations"},
		"an invalid key of null": {"annotations: {'a b': }\n", "annotations"},
		"of a kubelet":           {"annotations: {kubernetes.io/config.seen: x}\n", "reserved for the kubelet"},
		"of AppArmor, in capital letters": {
			"annotations: {Container.AppArmor.security.beta.kubernetes.io/c: unconfined}\n", "securityContext.appArmorProfile",
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			set := conf.Load(inMap("m", "name: x\n"+test.definition), nil)
			if got := show(set); len(set.Sidecars) > 0 || !strings.Contains(got, test.want) {
				t.Errorf("got %s, want a rejection with %q", got, test.want)
			}
		})
	}
}

func TestRules(t *testing.T) {
	t.Parallel()
	const strong = "name: x\nhostPID: true\n"
	const level = "needs the Pod Security level privileged, which a definition in a "
	for name, test := range map[string]struct {
		rules conf.Rules
		kind  conf.Kind
		want  string // the rejection; empty if there is none
	}{
		"files by default": {conf.Rules{}, conf.File, ""},
		"ConfigMaps by default": {
			conf.Rules{},
			conf.ConfigMap,
			"ConfigMap may not: move it to a file, or have the operator start with --privileged-sources=files,configmaps",
		},
		"files": {
			conf.Consent(conf.File), conf.ConfigMap,
			"ConfigMap may not: move it to a file, or have the operator start with --privileged-sources=files,configmaps",
		},
		"both, a file":      {conf.Consent(conf.ConfigMap, conf.File), conf.File, ""},
		"both, a ConfigMap": {conf.Consent(conf.ConfigMap, conf.File), conf.ConfigMap, ""},
		"ConfigMaps":        {conf.Consent(conf.ConfigMap), conf.ConfigMap, ""},
		"ConfigMaps, a file": {
			conf.Consent(conf.ConfigMap), conf.File,
			"file may not: have the operator start with --privileged-sources=files,configmaps",
		},
		"none, a file": {
			conf.Consent(), conf.File, "file may not: have the operator start with --privileged-sources=files",
		},
		"none, a ConfigMap": {
			conf.Consent(), conf.ConfigMap, "ConfigMap may not: have the operator start with --privileged-sources=configmaps",
		},
		"an unknown kind": {conf.Consent(conf.File, conf.ConfigMap), conf.Kind(7), level},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			set := load(t, test.rules, conf.Split(conf.Origin{Kind: test.kind, Root: "p", Name: "k"}, []byte(strong)), nil)
			got := show(set)
			if test.want == "" && len(set.Sidecars) != 1 || test.want != "" && !strings.Contains(got, level) ||
				!strings.Contains(got, test.want) {
				t.Errorf("got %s, want %q", got, test.want)
			}
		})
	}
}

// Documents are loaded again if the rules change, and Try uses the rules of the set.
func TestRulesOfTheSet(t *testing.T) {
	t.Parallel()
	documents := inMap("m", "name: x\nhostPID: true\n")
	strict := conf.Load(documents, nil)
	lax := load(t, conf.Consent(conf.File, conf.ConfigMap), documents, strict)
	checkPrivileged(t, "ConfigMap", lax)
	if again := conf.Load(documents, lax); len(again.Rejections) != 1 {
		t.Errorf("strict again: %s", show(again))
	}
	fresh := inMap("new", "name: new\nhostPID: true\n")
	expect(t, "strict", try(t, strict, "sidecars", "new", fresh).Rejected, []string{
		"configmap sidecars/new[k]:1: needs the Pod Security level privileged",
		"[k]:1: violates the Pod Security level baseline: host namespaces (hostPID=true)",
	})
	expect(t, "lax", try(t, lax, "sidecars", "new", fresh).Rejected, nil)
}

// A base-only file is rejected like any other.
func TestUnprivilegedBaseByPath(t *testing.T) {
	t.Parallel()
	heir := slices.Concat(
		documents("heir.yaml", "name: heir\ninherits: sub/base.yaml\nhostPID: false\n"),
		baseOnly("sub/base.yaml", "name: base\nhostPID: true\n"),
	)
	expect(t, "files", conf.Load(heir, nil).Rejections, nil)
	expect(t, "none", load(t, conf.Consent(), heir, nil).Rejections, []string{
		`inherits: Invalid value: its base "sub/base.yaml" (file conf/sub/base.yaml) is rejected`,
		"file conf/sub/base.yaml:1: needs the Pod Security level privileged",
		"file conf/sub/base.yaml:1: violates the Pod Security level baseline: host namespaces (hostPID=true)",
	})
}

// Thousands of violations are one short fault.
func TestManyViolationsAreOneFault(t *testing.T) {
	t.Parallel()
	var text strings.Builder
	text.WriteString("name: x\nvolumes:\n")
	for i := range 5000 {
		fmt.Fprintf(&text, "- {name: v%d, hostPath: {path: /}}\n", i)
	}
	got := conf.Load(inMap("m", text.String()), nil).Rejections[0].Errors.Errors
	if len(got) != 2 || len(got[1].Error()) > 500 ||
		!strings.Contains(got[1].Error(), "[k]:1: violates the Pod Security level baseline: hostPath volumes (") {
		t.Errorf("got %d faults: %.600v", len(got), got)
	}
}

func TestParseKind(t *testing.T) {
	t.Parallel()
	for text, want := range map[string]conf.Kind{"files": conf.File, "configmaps": conf.ConfigMap} {
		if got, err := conf.ParseKind(text); got != want || err != nil {
			t.Errorf("%q: got %d, %v", text, got, err)
		}
	}
	for _, text := range []string{"", "Files", "file", "secrets"} {
		if _, err := conf.ParseKind(text); err == nil || !strings.Contains(err.Error(), "neither files nor configmaps") {
			t.Errorf("%q: got %v", text, err)
		}
	}
}

// BenchmarkPodSecurity loads 1000 definitions of one container: when all are new, and when one is added. Heirs are
// evaluated at each load, and other documents when they are parsed.
func BenchmarkPodSecurity(b *testing.B) {
	sidecar := func(i int) string {
		return fmt.Sprintf("name: c%d\ncontainers:\n- name: c\n  image: i:%d\n  ports: [{containerPort: 80}]\n"+
			"  securityContext: {runAsNonRoot: true, capabilities: {drop: [ALL]}}\nvolumes:\n- {name: v, emptyDir: {}}\n", i, i)
	}
	heir := func(i int) string {
		if i == 0 {
			return sidecar(0)
		}
		return fmt.Sprintf("name: c%d\ninherits: c0\nenv: [{name: A, value: a}]\n", i)
	}
	for name, text := range map[string]func(int) string{"plain": sidecar, "heirs": heir} {
		all := heap(1000, text)
		loaded := conf.Load(all, nil)
		changed := append(slices.Clone(all), inMap("other", "name: other\n")...)
		b.Run(name+"/new", func(b *testing.B) {
			for b.Loop() {
				conf.Load(all, nil)
			}
		})
		b.Run(name+"/one more", func(b *testing.B) {
			for b.Loop() {
				conf.Load(changed, loaded)
			}
		})
	}
}
