//go:build torture

package torture_test

import (
	"context"
	"crypto/tls"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"sync/atomic"
	"syscall"
	"testing"
	"time"
)

// image returns the n-th image of a sidecar.
func image(n int) string { return fmt.Sprintf("logger:%d", n) }

// TestEdits edits one file in quick succession while other files are created and removed.
func TestEdits(t *testing.T) {
	i := start(t, options{})
	edits := sized(1000, 300)
	i.under(t, func(context.Context) int {
		ticker := time.NewTicker(4 * time.Millisecond)
		defer ticker.Stop()
		for n := range edits {
			i.write(t, "logger.yaml", definition(refLogger, image(n)))
			other := filepath.Join(i.config, fmt.Sprintf("other%d.yaml", n%10))
			switch n % 3 {
			case 0:
				must(t, os.WriteFile(other, []byte(definition(fmt.Sprintf("other%d:v1", n%10), "other:1")), 0o600))
			case 1:
				must(t, os.WriteFile(other, []byte("name: [broken"), 0o600))
			default:
				_ = os.Remove(other)
			}
			<-ticker.C
		}
		i.expect(t, patience, refLogger, image(edits-1))
		return edits
	})
}

// TestDataSwaps swaps ..data as the kubelet does. Each response must contain a single version.
func TestDataSwaps(t *testing.T) {
	i := start(t, options{})
	swap := func(n int) {
		dir := fmt.Sprintf("..%d", n)
		must(t, os.Mkdir(filepath.Join(i.config, dir), 0o700))
		for _, name := range []string{"one", "two"} {
			must(t, os.WriteFile(filepath.Join(i.config, dir, name+".yaml"), []byte(definition(name+":v1", image(n))), 0o600))
		}
		must(t, os.Symlink(dir, filepath.Join(i.config, "..data_tmp")))
		must(t, os.Rename(filepath.Join(i.config, "..data_tmp"), filepath.Join(i.config, "..data")))
		if n > 0 {
			must(t, os.RemoveAll(filepath.Join(i.config, fmt.Sprintf("..%d", n-1))))
		}
	}
	swap(0)
	for _, name := range []string{"one.yaml", "two.yaml"} {
		must(t, os.Symlink(filepath.Join("..data", name), filepath.Join(i.config, name)))
	}
	i.expect(t, patience, "two:v1", image(0))
	swaps := sized(950, 200)
	i.under(t, func(ctx context.Context) int {
		reading, stop := context.WithCancel(ctx)
		read := make(chan struct{})
		seen := make(map[string]bool)
		go func() {
			defer close(read)
			client := i.honest(t)
			for reading.Err() == nil {
				images, err := i.images(ctx, client, "one:v1,two:v1")
				if err != nil || len(images) != 2 || images[0] != images[1] {
					t.Errorf("mixed response: %v, %v", images, err)
					return
				}
				seen[images[0]] = true
			}
		}()
		ticker := time.NewTicker(10 * time.Millisecond)
		defer ticker.Stop()
		for n := 1; n <= swaps; n++ {
			swap(n)
			<-ticker.C
		}
		i.expect(t, patience, "two:v1", image(swaps))
		stop()
		<-read
		if len(seen) < 2 {
			t.Errorf("the responses contained %d versions, want at least 2", len(seen))
		}
		return swaps
	})
}

// oddFiles creates unusual files and directories of many kinds.
func oddFiles(t *testing.T, dir string) {
	t.Helper()
	at := func(name string) string { return filepath.Join(dir, name) }
	must(t, syscall.Mkfifo(at("fifo.yaml"), 0o600))
	socket, err := net.Listen("unix", at("s.yaml"))
	must(t, err)
	t.Cleanup(func() { _ = socket.Close() })
	for name, target := range map[string]string{
		"dangling.yaml": "nowhere",
		"self.yaml":     "self.yaml",
		"loop":          ".",
		"zero.yaml":     "/dev/zero",
		"random.yaml":   "/dev/urandom",
		"memory.yaml":   "/proc/self/mem",
		"terminal.yaml": "/dev/tty",
		"root":          "/",
	} {
		must(t, os.Symlink(target, at(name)))
	}
	must(t, os.MkdirAll(at("directory.yaml/"+strings.Repeat("d/", 100)), 0o700))
	for name, content := range map[string]string{
		"empty.yaml":                       "",
		"binary.yaml":                      "\x00\x01\xff",
		"bom.yaml":                         "\xef\xbb\xbf",
		"\xff\xfe.yaml":                    "name: x",
		".hidden.yaml":                     "name: [",
		strings.Repeat("l", 250) + ".yaml": "name: x",
		"new\nline.yaml":                   "name: x",
		".yaml":                            "name: x",
		"large.yaml":                       strings.Repeat("#", 16<<20),
	} {
		must(t, os.WriteFile(at(name), []byte(content), 0o600))
	}
	must(t, os.WriteFile(at("sparse.yaml"), nil, 0o600))
	must(t, os.Truncate(at("sparse.yaml"), 1<<40))
	must(t, os.WriteFile(at("unreadable.yaml"), nil, 0o000))
	many := at("many")
	must(t, os.Mkdir(many, 0o700))
	for n := range 5000 {
		must(t, os.WriteFile(filepath.Join(many, fmt.Sprint(n)), nil, 0o600))
	}
}

// TestOddFiles checks that unusual files and directories neither block reloads nor exhaust memory.
func TestOddFiles(t *testing.T) {
	i := start(t, options{})
	i.under(t, func(context.Context) int {
		oddFiles(t, i.config)
		i.write(t, "logger.yaml", definition(refLogger, image(2)))
		i.expect(t, patience, refLogger, image(2))
		i.signal(t, syscall.SIGHUP)
		i.write(t, "logger.yaml", definition(refLogger, image(3)))
		i.expect(t, patience, refLogger, image(3))
		return 2
	})
	i.terminate(t, patience)
}

// TestRotations rotates the key pair, with broken pairs in between, while clients connect.
func TestRotations(t *testing.T) {
	i := start(t, options{})
	rotations := sized(201, 51)
	var handshakes atomic.Int64
	i.under(t, func(ctx context.Context) int {
		shaking, stop := context.WithCancel(ctx)
		shaken := make(chan struct{})
		go func() {
			defer close(shaken)
			repeat(shaking, 4, func(context.Context) {
				if _, err := i.serial(ctx); err != nil {
					t.Errorf("handshake: %v", err)
				}
				handshakes.Add(1)
			})
		}()
		ticker := time.NewTicker(20 * time.Millisecond)
		defer ticker.Stop()
		for n := range rotations {
			if n%3 == 1 {
				must(t, os.WriteFile(i.cert, []byte("broken"), 0o600))
			} else {
				must(t, lab.authority.issue(i.cert, i.key))
			}
			<-ticker.C
		}
		must(t, lab.authority.issue(i.cert, i.key))
		pair, err := tls.LoadX509KeyPair(i.cert, i.key)
		must(t, err)
		i.await(t, "the last certificate", patience, func() bool {
			serial, err := i.serial(ctx)
			return err == nil && serial == pair.Leaf.SerialNumber.String()
		})
		stop()
		<-shaken
		return int(handshakes.Load())
	})
}

// serial connects and returns the serial number of the serving certificate.
func (i *injector) serial(ctx context.Context) (string, error) {
	dialer := tls.Dialer{Config: &tls.Config{RootCAs: i.roots, MinVersion: tls.VersionTLS12}}
	c, err := dialer.DialContext(ctx, "tcp", i.webhook)
	if err != nil {
		return "", err
	}
	defer func() { _ = c.Close() }()
	secure, _ := c.(*tls.Conn)
	return secure.ConnectionState().PeerCertificates[0].SerialNumber.String(), nil
}

// TestHangups sends SIGHUPs faster than the injector can reload.
func TestHangups(t *testing.T) {
	i := start(t, options{})
	i.under(t, func(context.Context) int {
		const count = 1000
		ticker := time.NewTicker(time.Millisecond)
		defer ticker.Stop()
		for range count {
			i.signal(t, syscall.SIGHUP)
			<-ticker.C
		}
		i.write(t, "logger.yaml", definition(refLogger, image(2)))
		i.expect(t, patience, refLogger, image(2))
		return count
	})
}

// TestHangupAtStart checks that SIGHUP does not end a process that is starting. The signals are spread over the usual
// time from the handler of the Go runtime until the process listens. Only the first ones, which arrive before the
// program's own code runs, may end the process. If the program handled them only in main, nearly all would.
func TestHangupAtStart(t *testing.T) {
	const starts = 60
	begin := func(n int) (i *injector, handling time.Time) {
		i = launch(t, options{quiet: n < starts-1})
		for !i.ended() && !i.catches(syscall.SIGHUP) {
			<-time.After(100 * time.Microsecond)
		}
		return i, time.Now()
	}
	listens := func(i *injector) bool {
		for !i.ended() && !i.listens() {
			<-time.After(100 * time.Microsecond)
		}
		_ = i.cmd.Process.Kill()
		return !i.ended()
	}
	durations := make([]time.Duration, 15)
	for n := range durations {
		i, handling := begin(n)
		if !listens(i) {
			t.Fatal("a process ended without a signal")
		}
		durations[n] = time.Since(handling)
	}
	slices.Sort(durations)
	usual := durations[len(durations)/2]
	killed := 0
	for n := range starts {
		i, _ := begin(n)
		<-time.After(usual * time.Duration(n) / starts)
		_ = i.cmd.Process.Signal(syscall.SIGHUP)
		if !listens(i) {
			killed++
		}
		i.requests = n + 1
		i.note = fmt.Sprintf("%d ended", killed)
	}
	if killed > starts/2 {
		t.Errorf("SIGHUP ended %d of %d processes that were starting", killed, starts)
	}
}

// TestStop checks that a process that was stopped for a while answers all pending reviews.
func TestStop(t *testing.T) {
	i := start(t, options{})
	i.under(t, func(context.Context) int {
		i.signal(t, syscall.SIGSTOP)
		<-time.After(3 * time.Second)
		i.signal(t, syscall.SIGCONT)
		i.write(t, "logger.yaml", definition(refLogger, image(2)))
		i.expect(t, patience, refLogger, image(2))
		return 1
	})
}

// TestFewDescriptors checks that the process recovers after a hostile client uses up its 64 file descriptors.
func TestFewDescriptors(t *testing.T) {
	i := start(t, options{prelude: "ulimit -n 64"})
	var ends []func()
	for range 200 {
		c, err := i.dialPlain(t.Context(), i.webhook)
		must(t, err)
		ends = append(ends, func() { _ = c.Close() })
	}
	i.write(t, "logger.yaml", definition(refLogger, image(2)))
	for _, end := range ends {
		end()
	}
	i.expect(t, patience, refLogger, image(2))
	i.under(t, func(context.Context) int {
		i.write(t, "logger.yaml", definition(refLogger, image(3)))
		i.expect(t, patience, refLogger, image(3))
		return len(ends)
	})
}

// noInotify is a prelude that sets the limit of inotify instances in a user namespace to 0.
const noInotify = "echo 0 >/proc/sys/user/max_inotify_instances || exit 1"

// TestNoInotify checks that SIGHUP and the slow poll reload without inotify.
func TestNoInotify(t *testing.T) {
	t.Parallel()
	probe := exec.Command("/bin/sh", "-c", noInotify)
	probe.SysProcAttr = inNamespace()
	if err := probe.Run(); err != nil {
		t.Skip("user namespaces are not available: ", err)
	}
	i := start(t, options{prelude: noInotify, namespace: true})
	i.under(t, func(context.Context) int {
		i.write(t, "logger.yaml", definition(refLogger, image(2)))
		i.signal(t, syscall.SIGHUP)
		i.expect(t, 5*time.Second, refLogger, image(2))
		if !testing.Short() { // the slow poll
			i.write(t, "logger.yaml", definition(refLogger, image(3)))
			i.expect(t, 45*time.Second, refLogger, image(3))
		}
		return 2
	})
}
