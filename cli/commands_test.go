package cli_test

import (
	"bytes"
	"crypto/tls"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"sync"
	"syscall"
	"time"

	jsonpatch "github.com/evanphx/json-patch/v5"
	"github.com/rogpeppe/go-internal/testscript"
	admissionv1 "k8s.io/api/admission/v1"
	"sigs.k8s.io/yaml"
)

type command = func(ts *testscript.TestScript, neg bool, args []string)

// commands are what scripts can say beside the commands of testscript. Those that wait do so
// until a deadline that no healthy machine reaches.
//
//	serve ARG...            start the program; ports are free ones unless given; sets $PID and $TAKEN, its TLS port
//	logged REGEXP           wait until the log has such a line; with !, it has none now
//	ready                   wait until /readyz is 200
//	! ready REGEXP          wait until /readyz is 503 and says so
//	review FILE REGEXP      send the review until the pod that comes out matches; with !, until it does not
//	answer FILE             send the review once; the AdmissionReview is the standard output
//	metric REGEXP           wait until /metrics matches
//	signal NAME             send HUP, TERM or INT
//	stopped                 wait until the program has ended with 0; with !, with something else
//	keypair DIR NAME        write tls.crt and tls.key of a new certificate with that common name
//	certificate NAME        wait until handshakes give the certificate of that common name
//	mounted DIR FILE...     make DIR what a kubelet would, with these files, by a swap of ..data
//	load                    send reviews from many clients until /readyz fails
//	loaded                  wait for the clients: many reviews were answered, and all of them well
//	rename OLD NEW          rename(2), over whatever is there
func commands() map[string]command {
	return map[string]command{
		"serve":       serveCommand,
		"logged":      onDaemon((*daemon).logged),
		"ready":       onDaemon((*daemon).ready),
		"review":      onDaemon((*daemon).review),
		"answer":      onDaemon((*daemon).answer),
		"metric":      onDaemon((*daemon).metric),
		"signal":      onDaemon((*daemon).signal),
		"stopped":     onDaemon((*daemon).stopped),
		"certificate": onDaemon((*daemon).certificate),
		"load":        onDaemon((*daemon).load),
		"loaded":      onDaemon((*daemon).loaded),
		"keypair":     keyPairCommand,
		"mounted":     mountedCommand,
		"rename":      renameCommand,
	}
}

const deadline = 20 * time.Second

// until calls the condition until it holds. What it returns last explains a failure.
func until(ts *testscript.TestScript, what string, condition func() (bool, string)) {
	var last string
	for end := time.Now().Add(deadline); time.Now().Before(end); {
		var ok bool
		if ok, last = condition(); ok {
			return
		}
		// Polling another process leaves nothing to wait on.
		<-time.After(10 * time.Millisecond)
	}
	ts.Fatalf("%s: not within %s; last:\n%s", what, deadline, last)
}

func arguments(ts *testscript.TestScript, args []string, want int, usage string) {
	if len(args) != want {
		ts.Fatalf("usage: %s", usage)
	}
}

func (d *daemon) logged(ts *testscript.TestScript, neg bool, args []string) {
	arguments(ts, args, 1, "logged REGEXP")
	pattern := regexp.MustCompile(args[0])
	if neg {
		if log := d.log.String(); pattern.MatchString(log) {
			ts.Fatalf("logged %s:\n%s", args[0], log)
		}
		return
	}
	until(ts, "logged "+args[0], func() (bool, string) {
		log := d.log.String()
		return pattern.MatchString(log), log
	})
}

func (d *daemon) ready(ts *testscript.TestScript, neg bool, args []string) {
	want := http.StatusOK
	pattern := regexp.MustCompile("")
	if neg {
		arguments(ts, args, 1, "! ready REGEXP")
		want, pattern = http.StatusServiceUnavailable, regexp.MustCompile(args[0])
	}
	until(ts, "ready", func() (bool, string) {
		code, body := d.get("/readyz")
		return code == want && pattern.MatchString(body), body
	})
}

func (d *daemon) metric(ts *testscript.TestScript, _ bool, args []string) {
	arguments(ts, args, 1, "metric REGEXP")
	pattern := regexp.MustCompile("(?m)" + args[0])
	until(ts, "metric "+args[0], func() (bool, string) {
		_, body := d.get("/metrics")
		return pattern.MatchString(body), body
	})
}

func (d *daemon) get(path string) (int, string) {
	response, err := http.Get("http://" + d.lifecycle + path)
	if err != nil {
		return 0, err.Error()
	}
	defer response.Body.Close()
	body, _ := io.ReadAll(response.Body)
	return response.StatusCode, string(body)
}

func (d *daemon) review(ts *testscript.TestScript, neg bool, args []string) {
	arguments(ts, args, 2, "review FILE REGEXP")
	question := ts.ReadFile(args[0])
	pattern := regexp.MustCompile(args[1])
	until(ts, "review "+args[1], func() (bool, string) {
		pod, err := d.injected(question)
		if err != nil {
			return false, err.Error()
		}
		return pattern.MatchString(pod) != neg, pod
	})
}

func (d *daemon) answer(ts *testscript.TestScript, _ bool, args []string) {
	arguments(ts, args, 1, "answer FILE")
	answer, err := d.post(d.client(true), ts.ReadFile(args[0]))
	ts.Check(err)
	_, err = ts.Stdout().Write(append(answer, '\n'))
	ts.Check(err)
}

// injected is the pod as YAML after the webhook's answer to the review.
func (d *daemon) injected(question string) (string, error) {
	answer, err := d.post(d.client(true), question)
	if err != nil {
		return "", err
	}
	var asked, answered admissionv1.AdmissionReview
	if err := json.Unmarshal([]byte(question), &asked); err != nil {
		return "", err
	}
	if err := json.Unmarshal(answer, &answered); err != nil {
		return "", fmt.Errorf("%w: %s", err, answer)
	}
	pod := asked.Request.Object.Raw
	if answered.Response.Patch != nil {
		patch, err := jsonpatch.DecodePatch(answered.Response.Patch)
		if err != nil {
			return "", err
		}
		if pod, err = patch.Apply(pod); err != nil {
			return "", err
		}
	}
	text, err := yaml.JSONToYAML(pod)
	return string(text), err
}

// client trusts any certificate: which one it is, certificate checks.
func (d *daemon) client(http2 bool) *http.Client {
	return &http.Client{Timeout: deadline, Transport: &http.Transport{
		TLSClientConfig:   &tls.Config{InsecureSkipVerify: true},
		ForceAttemptHTTP2: http2,
	}}
}

func (d *daemon) post(client *http.Client, question string) ([]byte, error) {
	response, err := client.Post("https://"+d.webhook+"/mutate?timeout=10s", "application/json", strings.NewReader(question))
	if err != nil {
		return nil, err
	}
	defer response.Body.Close()
	answer, err := io.ReadAll(response.Body)
	if err == nil && response.StatusCode != http.StatusOK {
		err = fmt.Errorf("status %d: %s", response.StatusCode, answer)
	}
	return answer, err
}

func (d *daemon) signal(ts *testscript.TestScript, _ bool, args []string) {
	arguments(ts, args, 1, "signal NAME")
	signals := map[string]os.Signal{"HUP": syscall.SIGHUP, "TERM": syscall.SIGTERM, "INT": syscall.SIGINT}
	ts.Check(d.process.Signal(signals[args[0]]))
}

func (d *daemon) stopped(ts *testscript.TestScript, neg bool, _ []string) {
	select {
	case <-d.ended:
	case <-time.After(deadline):
		ts.Fatalf("the program still runs:\n%s", d.log.String())
	}
	if d.code == 0 == neg {
		ts.Fatalf("exit code %d:\n%s", d.code, d.log.String())
	}
}

func (d *daemon) certificate(ts *testscript.TestScript, _ bool, args []string) {
	arguments(ts, args, 1, "certificate NAME")
	until(ts, "certificate "+args[0], func() (bool, string) {
		connection, err := tls.Dial("tcp", d.webhook, &tls.Config{InsecureSkipVerify: true})
		if err != nil {
			return false, err.Error()
		}
		defer connection.Close()
		name := connection.ConnectionState().PeerCertificates[0].Subject.CommonName
		return name == args[0], name
	})
}

func renameCommand(ts *testscript.TestScript, _ bool, args []string) {
	arguments(ts, args, 2, "rename OLD NEW")
	ts.Check(os.Rename(ts.MkAbs(args[0]), ts.MkAbs(args[1])))
}

// mountedCommand follows the kubelet's AtomicWriter: the files are in a directory of their
// own, ..data is a link to it, and each visible name is a link through ..data.
func mountedCommand(ts *testscript.TestScript, _ bool, args []string) {
	directory := ts.MkAbs(args[0])
	ts.Check(os.MkdirAll(directory, 0o700))
	versioned, err := os.MkdirTemp(directory, "..2026_")
	ts.Check(err)
	for _, file := range args[1:] {
		content, err := os.ReadFile(ts.MkAbs(file))
		ts.Check(err)
		ts.Check(os.WriteFile(filepath.Join(versioned, filepath.Base(file)), content, 0o600))
	}
	previous, _ := os.Readlink(filepath.Join(directory, "..data"))
	temporary := filepath.Join(directory, "..data_tmp")
	ts.Check(os.Symlink(filepath.Base(versioned), temporary))
	ts.Check(os.Rename(temporary, filepath.Join(directory, "..data")))
	for _, file := range args[1:] {
		link := filepath.Join(directory, filepath.Base(file))
		if _, err := os.Lstat(link); err != nil {
			ts.Check(os.Symlink(filepath.Join("..data", filepath.Base(file)), link))
		}
	}
	if previous != "" {
		ts.Check(os.RemoveAll(filepath.Join(directory, previous)))
	}
}

// logBuffer collects what the program writes, while others look.
type logBuffer struct {
	lock   sync.Mutex
	buffer bytes.Buffer
}

func (l *logBuffer) Write(p []byte) (int, error) {
	l.lock.Lock()
	defer l.lock.Unlock()
	return l.buffer.Write(p)
}

func (l *logBuffer) String() string {
	l.lock.Lock()
	defer l.lock.Unlock()
	return l.buffer.String()
}
