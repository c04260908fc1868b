package cli_test

import (
	"bytes"
	"crypto/tls"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/url"
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

// commands returns the commands that scripts can use in addition to those of testscript. Commands that wait fail after
// a deadline.
//
//	serve ARG...            start the program, on free ports by default; set $PID, and $TAKEN and $LIFECYCLE to its ports
//	logged REGEXP           wait until the log matches; with !, fail if it matches now
//	ready                   wait until /readyz is 200
//	! ready REGEXP          wait until /readyz is 503 and matches
//	review FILE REGEXP      send the review until the resulting pod matches; with !, until it does not match
//	answer FILE             send the review and print the AdmissionReview
//	metric REGEXP           wait until /metrics matches
//	page PATH REGEXP        wait until the response of the lifecycle port to GET PATH matches
//	submit FILE REGEXP      send manifests to the playground until the page matches
//	signal NAME             send HUP, TERM or INT
//	stopped                 wait until the exit code is 0; with !, another code
//	keypair DIR NAME        write tls.crt and tls.key of a new certificate with that common name
//	certificate NAME        wait until the server presents the certificate with that common name
//	mounted DIR FILE...     update DIR as the kubelet updates a volume with these files, by a swap of ..data
//	load                    send reviews from many clients until /readyz fails
//	loaded                  wait for the clients; fail if any review failed
//	apiserver FILE ARG...   start an API server with the objects of a file, and set $KUBECONFIG; see apiServerCommand
//	rename OLD NEW          rename(2), which overwrites files
//	documented PAGE         compare the generated parts of a page of docs
func commands() map[string]command {
	return map[string]command{
		"serve":       serveCommand,
		"logged":      onDaemon((*daemon).logged),
		"ready":       onDaemon((*daemon).ready),
		"review":      onDaemon((*daemon).review),
		"answer":      onDaemon((*daemon).answer),
		"metric":      onDaemon((*daemon).metric),
		"page":        onDaemon((*daemon).page),
		"submit":      onDaemon((*daemon).submit),
		"signal":      onDaemon((*daemon).signal),
		"stopped":     onDaemon((*daemon).stopped),
		"certificate": onDaemon((*daemon).certificate),
		"load":        onDaemon((*daemon).load),
		"loaded":      onDaemon((*daemon).loaded),
		"documented":  onDaemon((*daemon).documented),
		"keypair":     keyPairCommand,
		"mounted":     mountedCommand,
		"rename":      renameCommand,
		"apiserver":   apiServerCommand,
	}
}

const deadline = 20 * time.Second

// until calls the condition until it is true. The last string that it returns is part of the error.
func until(ts *testscript.TestScript, name string, condition func() (bool, string)) {
	var last string
	for end := time.Now().Add(deadline); time.Now().Before(end); {
		var ok bool
		if ok, last = condition(); ok {
			return
		}
		// Another process can only be polled.
		<-time.After(10 * time.Millisecond)
	}
	ts.Fatalf("%s: not within %s; last:\n%s", name, deadline, last)
}

func checkArguments(ts *testscript.TestScript, args []string, want int, usage string) {
	if len(args) != want {
		ts.Fatalf("usage: %s", usage)
	}
}

func (d *daemon) logged(ts *testscript.TestScript, neg bool, args []string) {
	checkArguments(ts, args, 1, "logged REGEXP")
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
		checkArguments(ts, args, 1, "! ready REGEXP")
		want, pattern = http.StatusServiceUnavailable, regexp.MustCompile(args[0])
	}
	until(ts, "ready", func() (bool, string) {
		code, body := d.get("/readyz")
		return code == want && pattern.MatchString(body), body
	})
}

func (d *daemon) metric(ts *testscript.TestScript, _ bool, args []string) {
	checkArguments(ts, args, 1, "metric REGEXP")
	d.page(ts, false, []string{"/metrics", args[0]})
}

func (d *daemon) page(ts *testscript.TestScript, _ bool, args []string) {
	checkArguments(ts, args, 2, "page PATH REGEXP")
	pattern := regexp.MustCompile("(?m)" + args[1])
	until(ts, strings.Join(args, " "), func() (bool, string) {
		_, body := d.get(args[0])
		return pattern.MatchString(body), body
	})
}

// get sends a request on a connection of its own. Shutdown waits five seconds for an idle connection without requests.
func (d *daemon) get(path string) (int, string) {
	client := &http.Client{Transport: &http.Transport{DisableKeepAlives: true}}
	response, err := client.Get("http://" + d.lifecycle + path)
	if err != nil {
		return 0, err.Error()
	}
	defer response.Body.Close()
	body, _ := io.ReadAll(response.Body)
	return response.StatusCode, string(body)
}

func (d *daemon) submit(ts *testscript.TestScript, _ bool, args []string) {
	checkArguments(ts, args, 2, "submit FILE REGEXP")
	form := url.Values{"manifests": {ts.ReadFile(args[0])}}
	pattern := regexp.MustCompile(args[1])
	client := &http.Client{Transport: &http.Transport{DisableKeepAlives: true}}
	until(ts, "submit "+args[1], func() (bool, string) {
		response, err := client.PostForm("http://"+d.lifecycle+"/playground", form)
		if err != nil {
			return false, err.Error()
		}
		defer response.Body.Close()
		body, _ := io.ReadAll(response.Body)
		return pattern.Match(body), string(body)
	})
}

func (d *daemon) review(ts *testscript.TestScript, neg bool, args []string) {
	checkArguments(ts, args, 2, "review FILE REGEXP")
	review := ts.ReadFile(args[0])
	pattern := regexp.MustCompile(args[1])
	until(ts, "review "+args[1], func() (bool, string) {
		pod, err := d.injected(review)
		if err != nil {
			return false, err.Error()
		}
		return pattern.MatchString(pod) != neg, pod
	})
}

func (d *daemon) answer(ts *testscript.TestScript, _ bool, args []string) {
	checkArguments(ts, args, 1, "answer FILE")
	response, err := d.send(ts.ReadFile(args[0]))
	ts.Check(err)
	_, err = ts.Stdout().Write(append(response, '\n'))
	ts.Check(err)
}

// injected sends a review and returns the resulting pod as YAML.
func (d *daemon) injected(review string) (string, error) {
	body, err := d.send(review)
	if err != nil {
		return "", err
	}
	var request, response admissionv1.AdmissionReview
	if err := json.Unmarshal([]byte(review), &request); err != nil {
		return "", err
	}
	if err := json.Unmarshal(body, &response); err != nil {
		return "", fmt.Errorf("%w: %s", err, body)
	}
	pod := request.Request.Object.Raw
	if response.Response.Patch != nil {
		patch, err := jsonpatch.DecodePatch(response.Response.Patch)
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

// newClient returns a client that trusts any certificate.
func newClient(http2 bool) *http.Client {
	return &http.Client{Timeout: deadline, Transport: &http.Transport{
		TLSClientConfig:   &tls.Config{InsecureSkipVerify: true},
		ForceAttemptHTTP2: http2,
	}}
}

// send posts a review on a connection of its own.
func (d *daemon) send(review string) ([]byte, error) {
	client := newClient(true)
	defer client.CloseIdleConnections() // which would delay the shutdown of the server
	return d.post(client, review)
}

func (d *daemon) post(client *http.Client, review string) ([]byte, error) {
	address := "https://" + d.webhook + "/mutate?timeout=10s"
	response, err := client.Post(address, "application/json", strings.NewReader(review))
	if err != nil {
		return nil, err
	}
	defer response.Body.Close()
	body, err := io.ReadAll(response.Body)
	if err == nil && response.StatusCode != http.StatusOK {
		err = fmt.Errorf("status %d: %s", response.StatusCode, body)
	}
	return body, err
}

func (d *daemon) signal(ts *testscript.TestScript, _ bool, args []string) {
	checkArguments(ts, args, 1, "signal NAME")
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
	checkArguments(ts, args, 1, "certificate NAME")
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
	checkArguments(ts, args, 2, "rename OLD NEW")
	ts.Check(os.Rename(ts.MkAbs(args[0]), ts.MkAbs(args[1])))
}

// mountedCommand follows the kubelet's AtomicWriter: each version of the files has its own directory, ..data is a link
// to the current one, and each visible name is a link through ..data.
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

// logBuffer is a buffer that is safe for concurrent use.
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
