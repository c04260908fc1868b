package cli

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"strconv"
	"strings"
	"syscall"
	"time"

	"github.com/spf13/cobra"
)

const (
	// reloadPollInterval is how often reload requests the result.
	reloadPollInterval = 50 * time.Millisecond
	// maxReloadResponse exceeds every response of the daemon.
	maxReloadResponse = 1 << 20
)

// reloadOptions are the options of the reload command.
type reloadOptions struct {
	pid           int
	lifecyclePort int
	timeout       time.Duration
}

func newReload(streams IOStreams) *cobra.Command {
	o := new(reloadOptions)
	command := &cobra.Command{
		Use:   "reload",
		Short: "Make the daemon reload the definitions and the certificate, and print the errors",
		Long: "Sends SIGHUP to the daemon, waits for the result, and prints it. If a document is rejected, or a source or\n" +
			"the certificate cannot be read, the exit code is 1. The daemon is found in /proc by its executable, and the\n" +
			"result comes from its lifecycle port. This works in a container without a shell.",
		Example: `  # In a pod
  kubectl exec deploy/sidecar-injector -- k8s-sidecar-injector reload

  # One of several daemons
  k8s-sidecar-injector reload --pid 1234 --timeout 5s`,
		Args: cobra.NoArgs,
		RunE: func(command *cobra.Command, _ []string) error {
			if err := o.Complete(streams); err != nil {
				return err
			}
			return o.run(command.Context(), streams)
		},
	}
	flags := command.Flags()
	flags.IntVar(&o.pid, "pid", 0, "process ID of the daemon, if several run or there is no /proc")
	flags.IntVar(&o.lifecyclePort, "lifecycle-port", 0,
		"lifecycle port of the daemon (default the one in its arguments or environment)")
	flags.DurationVar(&o.timeout, "timeout", 30*time.Second, "how long to wait for the result")
	return command
}

// Complete validates the flags and finds the process.
func (o *reloadOptions) Complete(streams IOStreams) (err error) {
	switch {
	case o.pid < 0:
		return fmt.Errorf("--pid %d: want a process ID", o.pid)
	case o.timeout <= 0:
		return fmt.Errorf("--timeout %s: must be positive", o.timeout)
	case validatePort(o.lifecyclePort) != nil:
		return fmt.Errorf("--lifecycle-port: %w", validatePort(o.lifecyclePort))
	case o.pid > 0:
		return checkDaemon("/proc", o.pid, streams)
	}
	o.pid, err = findDaemon("/proc", streams)
	return err
}

func (o *reloadOptions) run(ctx context.Context, streams IOStreams) error {
	ctx, cancel := context.WithTimeout(ctx, o.timeout)
	defer cancel()
	// Errors before the signal are returned after it: it is the result that is missing, not the reload.
	client, err := o.newClient(streams)
	var before reloadReport
	if err == nil {
		before, err = client.report(ctx)
	}
	if err := signalProcess(o.pid, syscall.SIGHUP); err != nil {
		return fmt.Errorf("send SIGHUP to process %d: %w", o.pid, err)
	}
	var report reloadReport
	if err == nil {
		report, err = o.await(ctx, client, before.Started)
	}
	if err != nil {
		return fmt.Errorf("sent SIGHUP to process %d, but the result is unknown: %w; its log contains the result", o.pid, err)
	}
	return o.print(report, streams)
}

func (o *reloadOptions) print(report reloadReport, streams IOStreams) error {
	if len(report.Errors) == 0 {
		fmt.Fprintf(streams.Out, "process %d reloaded; sidecars: %d, generation: %d\n",
			o.pid, report.Sidecars, report.Generation)
		return nil
	}
	for _, line := range report.Errors {
		fmt.Fprintln(streams.ErrOut, printable(line))
	}
	return fmt.Errorf("process %d reloaded; errors: %d, sidecars: %d, generation: %d; "+
		"the last valid versions, if any, stay in service", o.pid, len(report.Errors), report.Sidecars, report.Generation)
}

func signalProcess(pid int, signal os.Signal) error {
	process, err := os.FindProcess(pid)
	if err != nil {
		return err
	}
	return process.Signal(signal)
}

// await polls until a reload has finished that began after so many others.
func (o *reloadOptions) await(ctx context.Context, client *reloadClient, started uint64) (reloadReport, error) {
	poll := time.NewTicker(reloadPollInterval)
	defer poll.Stop()
	for {
		report, err := client.report(ctx)
		switch {
		case err == nil && report.Finished > started:
			return report, nil
		case err != nil && errors.Is(signalProcess(o.pid, syscall.Signal(0)), os.ErrProcessDone):
			return report, errors.New("the process has ended")
		}
		select {
		case <-ctx.Done():
			if err != nil && !errors.Is(err, context.DeadlineExceeded) {
				return report, err
			}
			return report, fmt.Errorf("no result within %s", o.timeout)
		case <-poll.C:
		}
	}
}

// reloadClient requests the reports of a daemon from its lifecycle port.
type reloadClient struct {
	url  string
	http *http.Client
}

func (o *reloadOptions) newClient(streams IOStreams) (*reloadClient, error) {
	port := o.lifecyclePort
	if port == 0 {
		var err error
		if port, err = lifecyclePortOf("/proc", o.pid, streams.Getenv); err != nil {
			return nil, err
		}
	}
	// No proxy, and no idle connection that delays the shutdown of the daemon.
	return &reloadClient{
		url:  "http://" + net.JoinHostPort("127.0.0.1", strconv.Itoa(port)) + reloadPath,
		http: &http.Client{Transport: &http.Transport{DisableKeepAlives: true}},
	}, nil
}

func (c *reloadClient) report(ctx context.Context) (report reloadReport, err error) {
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, c.url, nil)
	if err != nil {
		return report, err
	}
	response, err := c.http.Do(request)
	if err != nil {
		return report, err
	}
	defer response.Body.Close()
	body, err := io.ReadAll(io.LimitReader(response.Body, maxReloadResponse))
	switch {
	case err != nil:
		return report, fmt.Errorf("%s: %w", c.url, err)
	case response.StatusCode == http.StatusNotFound:
		return report, fmt.Errorf("%s: not found; the daemon is an older version, or this is not its lifecycle port", c.url)
	case response.StatusCode != http.StatusOK:
		line, _, _ := strings.Cut(string(body), "\n")
		return report, fmt.Errorf("%s: %s: %s", c.url, response.Status, printable(line))
	case json.Unmarshal(body, &report) != nil:
		return report, fmt.Errorf("%s: the response is not a report of a reload; set --lifecycle-port", c.url)
	}
	return report, nil
}
