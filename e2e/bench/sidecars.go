package bench

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
)

// perFile is the number of definitions in a file or ConfigMap.
const perFile = 10

// sidecarRef returns the ref of a generated sidecar.
func sidecarRef(n int) string { return fmt.Sprintf("sidecar-%d:v1", n) }

// definition returns a sidecar of 2.6 KB with one container, or more with several. Every tenth sidecar inherits from
// the base, which is in the first file.
func definition(n, containers int, image string) string {
	var text strings.Builder
	fmt.Fprintf(&text, "# Sidecar %d of the platform team: ships metrics and traces of the pod to the gateway.\n"+
		"# The application reaches it at SIDECAR_%d_ADDRESS.\nname: %s\n", n, n, sidecarRef(n))
	if n%perFile == 1 {
		text.WriteString("inherits: base:v1\n")
	}
	fmt.Fprintf(&text, `inJobs: native
labels:
  sidecar-%[1]d: enabled
annotations:
  example.com/sidecar-%[1]d: the platform team owns this sidecar
env:
- name: SIDECAR_%[1]d_ADDRESS
  value: http://127.0.0.1:15000
- name: SIDECAR_%[1]d_SOCKET
  value: /var/run/shared-%[1]d/sidecar.sock
volumeMounts:
- name: shared-%[1]d
  mountPath: /var/run/shared-%[1]d
volumes:
- name: shared-%[1]d
  emptyDir:
    sizeLimit: 64Mi
- name: config-%[1]d
  configMap:
    name: sidecar-config-%[1]d
containers:
`, n)
	for c := range containers {
		writeContainer(&text, n, c, image)
	}
	return text.String()
}

// writeContainer writes a container with env, mounts, a probe, resources and a security context.
func writeContainer(text *strings.Builder, sidecar, n int, image string) {
	fmt.Fprintf(text, `- name: sidecar-%[1]d-%[2]d
  image: %[3]s
  imagePullPolicy: IfNotPresent
  args:
  - --config=/etc/sidecar/config.yaml
  - --listen=127.0.0.1:15000
  - --gateway=http://telemetry.observability.svc:4317
  - --log-format=json
  env:
  - name: POD_NAME
    valueFrom:
      fieldRef:
        fieldPath: metadata.name
  - name: POD_IP
    valueFrom:
      fieldRef:
        fieldPath: status.podIP
`, sidecar, n, image)
	for setting := range 12 {
		fmt.Fprintf(text, "  - name: SIDECAR_SETTING_%[1]d\n"+
			"    value: https://setting-%[1]d.sidecar-%[2]d.example.svc:8443\n", setting, sidecar)
	}
	fmt.Fprintf(text, `  ports:
  - name: m-%[1]d-%[2]d
    containerPort: %[3]d
    protocol: TCP
  readinessProbe:
    httpGet:
      path: /ready
      port: 15021
    periodSeconds: 5
    failureThreshold: 3
  resources:
    requests:
      cpu: 20m
      memory: 32Mi
    limits:
      memory: 64Mi
  securityContext:
    allowPrivilegeEscalation: false
    readOnlyRootFilesystem: true
    runAsNonRoot: true
    capabilities:
      drop: [ALL]
    seccompProfile:
      type: RuntimeDefault
  volumeMounts:
  - name: shared-%[1]d
    mountPath: /var/run/shared
  - name: config-%[1]d
    mountPath: /etc/sidecar
    readOnly: true
`, sidecar, n, 15100+n)
}

// base is inherited by every tenth sidecar.
const base = `name: base:v1
labels: {telemetry: enabled}
env:
- {name: TELEMETRY_ENDPOINT, value: "http://telemetry.observability.svc:4317"}
- {name: TELEMETRY_CLUSTER, value: example}
hostAliases: [{ip: 10.96.0.50, hostnames: [telemetry.internal]}]
`

// define makes a definition with an image.
type define func(n int, image string) string

// long is a definition of 2.6 KB with one container.
func long(n int, image string) string { return definition(n, 1, image) }

// short is a definition of 0.3 KB with one container.
func short(n int, image string) string {
	return fmt.Sprintf(`name: %[1]s
containers:
- name: sidecar-%[2]d
  image: %[3]s
  env:
  - name: GATEWAY
    value: https://gateway-%[2]d.example.svc:8443
  volumeMounts:
  - name: shared-%[2]d
    mountPath: /var/run/shared
volumes:
- name: shared-%[2]d
  emptyDir: {}
`, sidecarRef(n), n, image)
}

// fileName returns the name of a generated file.
func fileName(file int) string { return fmt.Sprintf("%04d.yaml", file) }

// fileContent returns the content of a generated file: up to ten of count sidecars. The first sidecar of the file has
// the image.
func fileContent(file, count int, sidecar define, image string) string {
	var documents []string
	if file == 0 {
		documents = append(documents, base)
	}
	for n := file * perFile; n < min(count, (file+1)*perFile); n++ {
		documents = append(documents, sidecar(n, image))
		image = imageAtStart
	}
	return strings.Join(documents, "---\n")
}

const imageAtStart = "registry.example/team/sidecar:v1.0.0"

// writeSidecars writes count sidecars into a new directory, and returns the number of files.
func writeSidecars(dir string, count int, sidecar define) (files int, err error) {
	if err := os.Mkdir(dir, 0o700); err != nil {
		return 0, err
	}
	files = (count + perFile - 1) / perFile
	for file := range files {
		if err := writeFile(dir, fileName(file), fileContent(file, count, sidecar, imageAtStart)); err != nil {
			return 0, err
		}
	}
	return files, nil
}

// writeFile replaces a file by a rename, as editors do.
func writeFile(dir, name, content string) error {
	temporary := filepath.Join(dir, ".new")
	if err := os.WriteFile(temporary, []byte(content), 0o600); err != nil {
		return err
	}
	return os.Rename(temporary, filepath.Join(dir, name))
}
