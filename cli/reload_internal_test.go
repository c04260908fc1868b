package cli

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/hashicorp/go-multierror"
	"github.com/rs/zerolog"

	"k8s-sidecar-injector/store"
)

// newProc creates a /proc with "self" and a process of this executable for each command line. The process IDs begin at
// 1000.
func newProc(t *testing.T, lines ...[]string) string {
	t.Helper()
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	proc := t.TempDir()
	if err := os.Mkdir(filepath.Join(proc, "self"), 0o700); err != nil {
		t.Fatal(err)
	}
	for i, line := range lines {
		directory := filepath.Join(proc, strconv.Itoa(1000+i))
		if err := os.Mkdir(directory, 0o700); err != nil {
			t.Fatal(err)
		}
		if err := os.Symlink(self, filepath.Join(directory, "exe")); err != nil {
			t.Fatal(err)
		}
		text := strings.Join(append([]string{programName}, line...), "\x00") + "\x00"
		if err := os.WriteFile(filepath.Join(directory, "cmdline"), []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	return proc
}

func testStreams() IOStreams {
	return IOStreams{In: strings.NewReader(""), Out: io.Discard, ErrOut: io.Discard, Getenv: os.Getenv}
}

// TestFindDaemonIgnoresCommands verifies that no process with a command is found, because SIGHUP would end it. This
// includes commands that are added later.
func TestFindDaemonIgnoresCommands(t *testing.T) {
	t.Parallel()
	lines := [][]string{
		{"--dev"}, {"help"}, {"completion", "bash"}, {"__complete", ""}, {"unknown"}, {"--help"}, {"--no-such-flag"},
	}
	root := newRoot(programName, testStreams())
	root.InitDefaultHelpCmd()
	root.InitDefaultCompletionCmd()
	commands := root.Commands()
	if len(commands) < 7 {
		t.Errorf("got %d commands, want at least 7", len(commands))
	}
	for _, command := range commands {
		lines = append(lines,
			[]string{command.Name()}, []string{command.Name(), "x"}, []string{"--dev", command.Name()},
			[]string{"--config-directory", "conf", command.Name(), "--help"})
	}
	if pid, err := findDaemon(newProc(t, lines...), testStreams()); pid != 1000 || err != nil {
		t.Errorf("got process %d, %v, want 1000", pid, err)
	}
}

// TestFindDaemon covers values of flags that equal the name of a command.
func TestFindDaemon(t *testing.T) {
	t.Parallel()
	for _, line := range [][]string{
		{},
		{"--config-directory", "explain"},
		{"--config-directory=explain", "--tls-port", "9000"},
		{"--dev", "--log-level", "debug"},
	} {
		if pid, err := findDaemon(newProc(t, line), testStreams()); pid != 1000 || err != nil {
			t.Errorf("%q: got process %d, %v, want 1000", line, pid, err)
		}
	}
	pid, err := findDaemon(newProc(t, []string{"--dev"}, nil), testStreams())
	if err == nil || !strings.Contains(err.Error(), "[1000 1001]") {
		t.Errorf("two daemons: got process %d, %v", pid, err)
	}
}

// wantError fails unless the error contains the text; an empty text means no error.
func wantError(t *testing.T, err error, want string) {
	t.Helper()
	if (err == nil) != (want == "") || err != nil && !strings.Contains(err.Error(), want) {
		t.Errorf("got error %v, want %q", err, want)
	}
}

// relink replaces the executable of a process. A link to itself cannot be inspected, like the process of another user.
func relink(t *testing.T, proc, pid, executable string) {
	t.Helper()
	link := filepath.Join(proc, pid, "exe")
	if err := os.Remove(link); err != nil {
		t.Fatal(err)
	}
	if err := os.Symlink(executable, link); err != nil {
		t.Fatal(err)
	}
}

func TestFindDaemonOfAnotherUser(t *testing.T) {
	t.Parallel()
	proc := newProc(t, []string{"--dev"}, []string{"explain"})
	relink(t, proc, "1000", "exe")
	relink(t, proc, "1001", "exe")
	_, err := findDaemon(proc, testStreams())
	wantError(t, err, "cannot inspect process 1000: ")
	wantError(t, err, "run reload as the user of the daemon")
}

// TestCheckDaemon verifies that --pid of another program is an error, because SIGHUP would end it.
func TestCheckDaemon(t *testing.T) {
	t.Parallel()
	proc := newProc(t, []string{"--dev"}, []string{"--dev"}, []string{"explain"}, nil)
	relink(t, proc, "1001", "/usr/bin/k8s-sidecar-injector (deleted)")
	relink(t, proc, "1003", "/bin/sh")
	for pid, want := range map[int]string{
		1000: "",
		1001: "",
		1002: "--pid 1002: the process is not a k8s-sidecar-injector that serves",
		1003: "--pid 1003: the process is not a k8s-sidecar-injector that serves",
		1004: "--pid 1004: there is no such process",
	} {
		wantError(t, checkDaemon(proc, pid, testStreams()), want)
	}
	wantError(t, checkDaemon(t.TempDir(), 1, testStreams()), "")
}

func TestLifecyclePortOf(t *testing.T) {
	t.Parallel()
	for name, test := range map[string]struct {
		arguments   []string
		environment string
		want        int
		err         string
	}{
		"default":     {[]string{"--dev"}, "A=b\x00", 9000, ""},
		"flag":        {[]string{"--dev", "--lifecycle-port", "9100"}, "LIFECYCLE_PORT=9200\x00", 9100, ""},
		"variable":    {nil, "A=b\x00LIFECYCLE_PORT=9200\x00", 9200, ""},
		"incremented": {[]string{"--tls-port=9000", "-v=5"}, "A=b\x00", 9001, ""},
		"any":         {[]string{"--lifecycle-port=0"}, "A=b\x00", 0, "set --lifecycle-port"},
		"invalid":     {nil, "LIFECYCLE_PORT=x\x00", 0, "--lifecycle-port (from LIFECYCLE_PORT)"},
		"unreadable":  {nil, "", 9300, ""},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			proc := newProc(t, test.arguments)
			file := filepath.Join(proc, "1000", "environ")
			if err := os.WriteFile(file, []byte(test.environment), 0o600); err != nil {
				t.Fatal(err)
			}
			port, err := lifecyclePortOf(proc, 1000, func(variable string) string {
				return map[string]string{"LIFECYCLE_PORT": "9300"}[variable]
			})
			wantError(t, err, test.err)
			if port != test.want {
				t.Errorf("got port %d, want %d", port, test.want)
			}
		})
	}
}

// TestReloadReport covers responses of a lifecycle port.
func TestReloadReport(t *testing.T) {
	t.Parallel()
	for name, test := range map[string]struct {
		code int
		body string
		err  string
	}{
		"report":    {200, `{"started":3,"finished":2}`, ""},
		"older":     {404, "404 page not found\n", "not found; the daemon is an older version"},
		"forbidden": {403, "only\n", "403 Forbidden: only"},
		"other":     {200, "<html>", "the response is not a report of a reload"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
				w.WriteHeader(test.code)
				_, _ = io.WriteString(w, test.body)
			}))
			defer server.Close()
			_, err := (&reloadClient{server.URL, server.Client()}).report(t.Context())
			wantError(t, err, test.err)
		})
	}
}

// A reload that was running before the signal is not the result.
func TestReloadAwaitsTheNextResult(t *testing.T) {
	t.Parallel()
	var requests atomic.Int64
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		switch n := requests.Add(1); n {
		case 1: // the limits of the port are transient
			w.WriteHeader(http.StatusServiceUnavailable)
		default:
			fmt.Fprintf(w, `{"started":4,"finished":%d}`, n)
		}
	}))
	defer server.Close()
	o := &reloadOptions{pid: os.Getpid()}
	report, err := o.await(t.Context(), &reloadClient{server.URL, server.Client()}, 3)
	wantError(t, err, "")
	if report.Finished != 4 {
		t.Errorf("got %v", report)
	}
}

// A port that accepts connections and does not answer costs no more than the timeout.
func TestReloadWithoutResponse(t *testing.T) {
	t.Parallel()
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer listener.Close()
	o := &reloadOptions{pid: os.Getpid(), timeout: 20 * time.Millisecond}
	ctx, cancel := context.WithTimeout(t.Context(), o.timeout)
	defer cancel()
	_, err = o.await(ctx, &reloadClient{"http://" + listener.Addr().String(), http.DefaultClient}, 2)
	wantError(t, err, "no result within 20ms")
}

// TestReloader verifies that a report has the errors of all parts, in lines, and only of reloads that have ended.
func TestReloader(t *testing.T) {
	t.Parallel()
	r := newReloader(new(store.Store), zerolog.Nop())
	report := func() (report reloadReport) {
		w := httptest.NewRecorder()
		r.ServeHTTP(w, httptest.NewRequest(http.MethodGet, reloadPath, nil))
		if err := json.Unmarshal(w.Body.Bytes(), &report); err != nil {
			t.Fatal(err)
		}
		return report
	}
	failure := errors.New("first")
	r.parts = []func(context.Context) error{
		func(context.Context) error { return multierror.Append(failure, errors.New("second")) },
		func(context.Context) error { return nil },
		func(context.Context) error {
			if during := report(); during.Started != during.Finished+1 {
				t.Errorf("during a reload, the report is %v", during)
			}
			return errors.New(strings.Repeat("x", maxReportBytes))
		},
	}
	for n := range uint64(2) {
		r.reload(t.Context())
		want := reloadReport{Started: n + 1, Finished: n + 1, Errors: []string{"first", "second", "and 1 more errors"}}
		if diff := cmp.Diff(want, report()); diff != "" {
			t.Errorf("report (-want +got):\n%s", diff)
		}
	}
}
