package cluster

import (
	"bytes"
	"context"
	"crypto/rand"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
	"strconv"
	"strings"
	"syscall"
)

// Injector is a process of the injector, with a serving certificate of the cluster's CA.
type Injector struct {
	// Process is the running process.
	*Process
	// CA is the CA of the certificate.
	CA []byte
	// TLSPort and LifecyclePort do not change when it is restarted.
	TLSPort, LifecyclePort int

	program string
	args    []string
	offset  int64 // of the log at the last start
}

// StartInjector starts the injector with additional flags, and waits until it listens. It may not be
// ready.
func (c *Cluster) StartInjector(ctx context.Context, flags ...string) (*Injector, error) {
	i, err := c.NewInjector(flags...)
	if err != nil {
		return nil, err
	}
	return i, i.Start(ctx)
}

// NewInjector returns an injector with additional flags that is not started.
func (c *Cluster) NewInjector(flags ...string) (*Injector, error) {
	ports, err := FreePorts(2)
	if err != nil {
		return nil, err
	}
	name := "injector-" + strings.ToLower(rand.Text()[:6])
	cert, key, err := c.authority.issue(c.dir, name)
	if err != nil {
		return nil, err
	}
	i := &Injector{
		CA:            c.authority.pem,
		TLSPort:       ports[0],
		LifecyclePort: ports[1],
		program:       c.program("k8s-sidecar-injector"),
	}
	i.Process = &Process{Log: c.file(name + ".log")}
	i.args = append([]string{
		"--tls-cert-file=" + cert, "--tls-key-file=" + key,
		"--tls-port=" + strconv.Itoa(ports[0]), "--lifecycle-port=" + strconv.Itoa(ports[1]),
		"--drain-delay=0s", "--log-format=json",
	}, flags...)
	return i, nil
}

// Start starts or restarts the injector with the same flags, ports and certificate, and waits until it listens.
func (i *Injector) Start(ctx context.Context) error {
	if err := i.Launch(); err != nil {
		return err
	}
	ctx, cancel := context.WithTimeout(ctx, startTimeout)
	defer cancel()
	return i.await(ctx, "the injector to listen", func(ctx context.Context) error {
		_, _, err := i.get(ctx, "/healthz")
		return err
	})
}

// Launch is Start without the wait.
func (i *Injector) Launch() error {
	if info, err := os.Stat(i.Log); err == nil {
		i.offset = info.Size()
	}
	process, err := start(i.Log, i.program, i.args...)
	if err == nil {
		i.Process = process
	}
	return err
}

// AwaitReady waits until /readyz returns 200.
func (i *Injector) AwaitReady(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, startTimeout)
	defer cancel()
	return i.await(ctx, "the injector to be ready", func(ctx context.Context) error {
		ready, reasons, err := i.Ready(ctx)
		if err == nil && !ready {
			return errors.New(reasons)
		}
		return err
	})
}

// Ready gets /readyz, and the reasons if it fails.
func (i *Injector) Ready(ctx context.Context) (ready bool, reasons string, err error) {
	code, body, err := i.get(ctx, "/readyz")
	return code == http.StatusOK, string(body), err
}

// URL returns the URL of a path on the TLS port.
func (i *Injector) URL(path string) string {
	return fmt.Sprintf("https://127.0.0.1:%d%s", i.TLSPort, path)
}

// Reload sends SIGHUP.
func (i *Injector) Reload() error { return i.Signal(syscall.SIGHUP) }

// Lines returns the complete lines of the log since the last start.
func (i *Injector) Lines() ([]map[string]any, error) {
	file, err := os.Open(i.Log)
	if err != nil {
		return nil, err
	}
	defer file.Close()
	if _, err := file.Seek(i.offset, io.SeekStart); err != nil {
		return nil, err
	}
	content, err := io.ReadAll(file)
	if err != nil {
		return nil, err
	}
	return parseLines(content)
}

// parseLines parses complete lines of JSON of any length.
func parseLines(content []byte) ([]map[string]any, error) {
	var lines []map[string]any
	for text := range bytes.Lines(content) {
		if !bytes.HasSuffix(text, []byte("\n")) {
			break
		}
		var line map[string]any
		if err := json.Unmarshal(text, &line); err != nil {
			return nil, fmt.Errorf("log line is not JSON: %q", text)
		}
		lines = append(lines, line)
	}
	return lines, nil
}

// Metric returns the value of a series, named as in /metrics with its labels, or 0 if it does not exist.
func (i *Injector) Metric(ctx context.Context, series string) (float64, error) {
	_, body, err := i.get(ctx, "/metrics")
	if err != nil {
		return 0, err
	}
	for line := range bytes.Lines(body) {
		if value, found := strings.CutPrefix(string(line), series+" "); found {
			return strconv.ParseFloat(strings.TrimSpace(value), 64)
		}
	}
	return 0, nil
}

// get sends a request to the lifecycle port.
func (i *Injector) get(ctx context.Context, path string) (code int, body []byte, err error) {
	url := fmt.Sprintf("http://127.0.0.1:%d%s", i.LifecyclePort, path)
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, url, nil)
	if err != nil {
		return 0, nil, err
	}
	response, err := http.DefaultClient.Do(request)
	if err != nil {
		return 0, nil, err
	}
	defer response.Body.Close()
	body, err = io.ReadAll(response.Body)
	return response.StatusCode, body, err
}
