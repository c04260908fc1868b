//go:build torture

package torture_test

import (
	"bytes"
	"cmp"
	"crypto/x509"
	"encoding/json"
	"fmt"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strconv"
	"strings"
	"sync/atomic"
	"syscall"
	"testing"
	"time"
)

// options configure the injector of a scenario. The zero value is the default.
type options struct {
	// files maps file names to definitions; nil means only logger.yaml.
	files map[string]string
	// flags are appended to the default flags. The last value of a repeated flag applies.
	flags []string
	// prelude is a line of sh that runs before the program in the same process, such as ulimit.
	prelude string
	// namespace runs the program in its own user namespace, for sysctls in the prelude.
	namespace bool
	// selfManaged makes the injector manage its certificates in a Secret.
	selfManaged bool
	// stalled makes stderr a pipe, and stops reading it once the process listens.
	stalled bool
	// quiet suppresses the line of figures and the log.
	quiet bool
}

// injector is a process of the real binary.
type injector struct {
	webhook, lifecycle string   // host:port
	config             string   // the directory of the definitions
	cert, key          string   // the files of the key pair
	log                string   // the file of the log
	output             *os.File // the stderr of the process
	written            []byte   // the part of output that was read
	roots              *x509.CertPool

	cmd  *exec.Cmd
	done chan struct{} // closed when the process has ended
	err  error         // the exit error; valid after done
	peak atomic.Int64  // the largest resident size so far, in bytes

	hostileHosts int64 // the number of hostile hosts; 0 means 1
	hosts        atomic.Int64

	// The figures of the scenario: the number of hostile requests, the numbers of honest reviews that
	// were answered and sent, and their median latency before and during the scenario.
	requests, answered, asked int
	before, during            time.Duration
	// note is printed after the figures.
	note string
}

// definition returns a sidecar that adds a container and an env variable to each container.
func definition(ref, image string) string {
	name, _, _ := strings.Cut(ref, ":")
	return fmt.Sprintf("name: %s\nenv: [{name: SIDECAR, value: %s}]\ncontainers: [{name: %s, image: %q}]\n",
		ref, name, name, image)
}

// launch starts an injector and does not wait until it listens.
func launch(t *testing.T, o options) *injector {
	t.Helper()
	dir := t.TempDir()
	i := &injector{
		done: make(chan struct{}), roots: lab.authority.pool(),
		config: filepath.Join(dir, "conf"), log: filepath.Join(dir, "log"),
		cert: filepath.Join(dir, "tls.crt"), key: filepath.Join(dir, "tls.key"),
	}
	if o.files == nil {
		o.files = map[string]string{"logger.yaml": definition(refLogger, "logger:1")}
	}
	must(t, os.MkdirAll(i.config, 0o700))
	for name, content := range o.files {
		must(t, os.WriteFile(filepath.Join(i.config, name), []byte(content), 0o600))
	}
	must(t, lab.authority.issue(i.cert, i.key))
	i.cmd = i.command(o)
	var err error
	var stderr *os.File
	if o.stalled {
		i.output, stderr, err = os.Pipe()
	} else {
		stderr, err = os.Create(i.log)
		must(t, err)
		i.output, err = os.Open(i.log)
	}
	must(t, err)
	defer func() { _ = stderr.Close() }()
	t.Cleanup(func() { _ = i.output.Close() })
	i.cmd.Stderr = stderr
	must(t, i.run())
	group := limit(i.cmd.Process.Pid)
	t.Cleanup(func() {
		_ = i.cmd.Process.Kill()
		<-i.done
		_ = os.Remove(group)
		target := int64(memoryTarget)
		if i.hostileHosts > 1 {
			target = memoryLimit
		}
		if peak := i.peak.Load(); peak > target {
			t.Errorf("the process used %d MiB", peak>>20)
		}
		if o.quiet {
			return
		}
		i.print(t)
		if t.Failed() {
			t.Logf("%s, log:\n%s", i.cmd.ProcessState, i.tail())
		}
	})
	go i.measure()
	return i
}

func (i *injector) command(o options) *exec.Cmd {
	args := append([]string{
		"--tls-port=0", "--lifecycle-port=0", "--config-directory=" + i.config,
		"--drain-delay=0s", "--log-format=json",
	}, o.flags...)
	if o.selfManaged {
		args = append(args, "--self-managed-tls", "--tls-secret="+sidecars+"/tls")
	} else {
		args = append(args, "--tls-cert-file="+i.cert, "--tls-key-file="+i.key)
	}
	cmd := exec.Command(lab.binary, args...)
	if o.prelude != "" {
		cmd = exec.Command("/bin/sh", append([]string{"-c", o.prelude + `; exec "$0" "$@"`, lab.binary}, args...)...)
	}
	cmd.SysProcAttr = new(syscall.SysProcAttr)
	if o.namespace {
		cmd.SysProcAttr = inNamespace()
	}
	cmd.SysProcAttr.Pdeathsig = syscall.SIGKILL
	return cmd
}

// inNamespace starts a process as root of its own user namespace.
func inNamespace() *syscall.SysProcAttr {
	return &syscall.SysProcAttr{
		Cloneflags:  syscall.CLONE_NEWUSER,
		UidMappings: []syscall.SysProcIDMap{{HostID: os.Getuid(), Size: 1}},
		GidMappings: []syscall.SysProcIDMap{{HostID: os.Getgid(), Size: 1}},
	}
}

// run starts the command and waits for it in the background.
func (i *injector) run() error {
	started := make(chan error)
	go func() {
		// The kernel sends Pdeathsig when the thread that started the process ends.
		runtime.LockOSThread()
		err := i.cmd.Start()
		started <- err
		if err == nil {
			i.err = i.cmd.Wait()
			close(i.done)
		}
	}()
	return <-started
}

// start starts an injector and waits until it is ready.
func start(t *testing.T, o options) *injector {
	t.Helper()
	i := launch(t, o)
	i.listen(t)
	i.await(t, "readiness", 4*patience, i.ready)
	return i
}

// listen waits until the process listens.
func (i *injector) listen(t *testing.T) {
	t.Helper()
	i.await(t, "a log line with the addresses", patience, i.listens)
}

// listens reads the output of the process and reports whether it contains the addresses.
func (i *injector) listens() bool {
	piece := make([]byte, 4096)
	n, _ := i.output.Read(piece)
	i.written = append(i.written, piece[:n]...)
	for line := range bytes.Lines(i.written) {
		var serving struct{ Message, Webhook, Lifecycle string }
		if json.Unmarshal(line, &serving) == nil && serving.Message == "serving" {
			i.webhook, i.lifecycle = local(serving.Webhook), local(serving.Lifecycle)
			return true
		}
	}
	return false
}

// catches reports whether the process has a handler for a signal.
func (i *injector) catches(signal syscall.Signal) bool {
	mask, _ := strconv.ParseUint(i.status("SigCgt"), 16, 64)
	return mask&(1<<(signal-1)) != 0
}

// local returns the loopback address with the port of another address.
func local(address string) string {
	_, port, _ := net.SplitHostPort(address)
	return net.JoinHostPort("127.0.0.1", port)
}

// await polls a condition while the process runs.
func (i *injector) await(t *testing.T, what string, within time.Duration, condition func() bool) {
	t.Helper()
	ticker := time.NewTicker(5 * time.Millisecond)
	defer ticker.Stop()
	over := time.After(within)
	for !condition() {
		select {
		case <-ticker.C:
		case <-i.done:
			t.Fatalf("waiting for %s: the process ended: %s", what, i.cmd.ProcessState)
		case <-over:
			t.Fatalf("waiting for %s: timed out after %s", what, within)
		}
	}
}

// ready reports whether /readyz answers 200.
func (i *injector) ready() bool {
	client := http.Client{Timeout: 5 * time.Second, Transport: &http.Transport{DisableKeepAlives: true}}
	response, err := client.Get("http://" + i.lifecycle + "/readyz")
	if err != nil {
		return false
	}
	_ = response.Body.Close()
	return response.StatusCode == http.StatusOK
}

// ended reports whether the process has ended.
func (i *injector) ended() bool {
	select {
	case <-i.done:
		return true
	default:
		return false
	}
}

// terminate sends SIGTERM and returns the time until the process ends. The exit code must be 0.
func (i *injector) terminate(t *testing.T, within time.Duration) time.Duration {
	t.Helper()
	begin := time.Now()
	must(t, i.cmd.Process.Signal(syscall.SIGTERM))
	select {
	case <-i.done:
		if i.err != nil {
			t.Errorf("the process ended with an error after SIGTERM: %v", i.err)
		}
	case <-time.After(within):
		t.Errorf("the process still runs %s after SIGTERM", within)
	}
	return time.Since(begin)
}

// signal sends a signal.
func (i *injector) signal(t *testing.T, signal os.Signal) {
	t.Helper()
	must(t, i.cmd.Process.Signal(signal))
}

// write replaces a definition file by a rename, as editors do.
func (i *injector) write(t *testing.T, name, content string) {
	t.Helper()
	temporary := filepath.Join(filepath.Dir(i.config), "new")
	must(t, os.WriteFile(temporary, []byte(content), 0o600))
	must(t, os.Rename(temporary, filepath.Join(i.config, name)))
}

// logged returns how many lines of the log contain a text.
func (i *injector) logged(text string) int {
	content, _ := os.ReadFile(i.log)
	count := 0
	for line := range bytes.Lines(content) {
		if bytes.Contains(line, []byte(text)) {
			count++
		}
	}
	return count
}

// warned reports whether a line of level warn or error contains a text.
func (i *injector) warned(text string) bool {
	content, _ := os.ReadFile(i.log)
	for line := range strings.Lines(string(content)) {
		if strings.Contains(line, text) &&
			(strings.Contains(line, `"level":"warn"`) || strings.Contains(line, `"level":"error"`)) {
			return true
		}
	}
	return false
}

// tail returns the last lines of the log that are not about reviews, shortened.
func (i *injector) tail() string {
	content, _ := os.ReadFile(i.log)
	var lines []string
	for line := range strings.Lines(string(content)) {
		if !strings.Contains(line, `"message":"review"`) {
			lines = append(lines, line[:min(len(line), 300)])
		}
	}
	return strings.Join(lines[max(0, len(lines)-4):], "")
}

// measure records the peak resident size of the process. It kills the process above the limit, in case no
// cgroup enforces it.
func (i *injector) measure() {
	ticker := time.NewTicker(10 * time.Millisecond)
	defer ticker.Stop()
	for {
		select {
		case <-i.done:
			return
		case <-ticker.C:
			size := i.memory("VmHWM")
			i.peak.Store(max(size, i.peak.Load()))
			if size > memoryLimit {
				_ = i.cmd.Process.Kill()
			}
		}
	}
}

// memory returns a size of /proc/PID/status in bytes, 0 if the process has ended.
func (i *injector) memory(name string) int64 {
	kilobytes, _ := strconv.ParseInt(strings.TrimSuffix(i.status(name), " kB"), 10, 64)
	return kilobytes << 10
}

// status returns the value of a line of /proc/PID/status.
func (i *injector) status(name string) string {
	status, _ := os.ReadFile(fmt.Sprintf("/proc/%d/status", i.cmd.Process.Pid))
	for line := range strings.Lines(string(status)) {
		if value, found := strings.CutPrefix(line, name+":"); found {
			return strings.TrimSpace(value)
		}
	}
	return ""
}

// cpu returns the processor time that the process has used.
func (i *injector) cpu() time.Duration {
	const perTick = 10 * time.Millisecond
	stat, _ := os.ReadFile(fmt.Sprintf("/proc/%d/stat", i.cmd.Process.Pid))
	_, rest, _ := strings.Cut(string(stat), ") ")
	fields := strings.Fields(rest)
	if len(fields) < 13 {
		return 0
	}
	user, _ := strconv.Atoi(fields[11])
	system, _ := strconv.Atoi(fields[12])
	return time.Duration(user+system) * perTick
}

// limit moves a process into its own memory cgroup and returns the directory of the cgroup. It returns "" if
// the test cannot create one.
func limit(pid int) (group string) {
	for _, c := range []struct{ root, file string }{
		{"/sys/fs/cgroup/memory", "memory.limit_in_bytes"}, // version 1
		{"/sys/fs/cgroup", "memory.max"},
	} {
		group = filepath.Join(c.root, fmt.Sprintf("torture-%d", pid))
		if _, err := os.Stat(filepath.Join(c.root, "cgroup.procs")); err != nil || os.Mkdir(group, 0o700) != nil {
			continue
		}
		if set(filepath.Join(group, c.file), memoryLimit) == nil && set(filepath.Join(group, "cgroup.procs"), pid) == nil {
			return group
		}
		_ = os.Remove(group)
	}
	return ""
}

// set writes a number to an existing file.
func set(file string, number int) error {
	f, err := os.OpenFile(file, os.O_WRONLY, 0)
	if err != nil {
		return err
	}
	_, err = fmt.Fprint(f, number)
	return cmp.Or(err, f.Close())
}
