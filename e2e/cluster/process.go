package cluster

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strings"
	"syscall"
	"time"
)

// stopTimeout bounds the exit of a process after SIGTERM. Then it is killed.
const stopTimeout = 40 * time.Second

// Process is a background process with its output in a file.
type Process struct {
	// Log is the file with the output.
	Log string

	name string
	cmd  *exec.Cmd
	done chan struct{}
	err  error // exit status; valid after done
}

// start runs a program and appends its output to the file.
func start(log, program string, args ...string) (*Process, error) {
	output, err := os.OpenFile(log, os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o600)
	if err != nil {
		return nil, err
	}
	defer output.Close()
	p := &Process{Log: log, name: filepath.Base(program), cmd: exec.Command(program, args...), done: make(chan struct{})}
	p.cmd.Stdout, p.cmd.Stderr = output, output
	p.cmd.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL, Setpgid: true}
	started := make(chan error)
	go func() {
		// For the kernel, the parent ends when the thread that started the process ends.
		runtime.LockOSThread()
		err := p.cmd.Start()
		started <- err
		if err == nil {
			p.err = p.cmd.Wait()
			close(p.done)
		}
	}()
	if err := <-started; err != nil {
		return nil, fmt.Errorf("start %s: %w", program, err)
	}
	return p, nil
}

// PID returns the process ID.
func (p *Process) PID() int { return p.cmd.Process.Pid }

// Signal sends a signal.
func (p *Process) Signal(signal os.Signal) error {
	return p.cmd.Process.Signal(signal)
}

// Kill kills the process and waits for it.
func (p *Process) Kill() {
	_ = p.cmd.Process.Kill()
	<-p.done
}

// Stop sends SIGTERM and waits. The error is nil if the process exits with 0.
func (p *Process) Stop() error {
	_ = p.Signal(syscall.SIGTERM)
	select {
	case <-p.done:
		return p.err
	case <-time.After(stopTimeout):
		p.Kill()
		return fmt.Errorf("%s did not exit within %s\n%s", p.name, stopTimeout, p.tail())
	}
}

// Wait waits until the process exits by itself. That is an error, even with exit code 0.
func (p *Process) Wait() error {
	<-p.done
	return fmt.Errorf("%s exited unexpectedly: %s\n%s", p.name, p.cmd.ProcessState, p.tail())
}

// await polls until the function returns nil, the process exits, or ctx ends.
func (p *Process) await(ctx context.Context, what string, ready func(context.Context) error) error {
	ticker := time.NewTicker(50 * time.Millisecond)
	defer ticker.Stop()
	err := errors.New("not tried yet")
	for {
		select {
		case <-p.done:
			return p.Wait()
		case <-ctx.Done():
			return fmt.Errorf("waiting for %s: %w; last error: %w\n%s", what, context.Cause(ctx), err, p.tail())
		case <-ticker.C:
		}
		if err = ready(ctx); err == nil {
			return nil
		}
	}
}

// tail returns the last lines of the output.
func (p *Process) tail() string {
	const most = 15
	content, err := os.ReadFile(p.Log)
	if err != nil {
		return err.Error()
	}
	lines := strings.Split(strings.TrimSpace(string(content)), "\n")
	return strings.Join(lines[max(0, len(lines)-most):], "\n")
}
