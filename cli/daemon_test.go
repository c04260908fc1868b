package cli_test

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/json"
	"encoding/pem"
	"fmt"
	"math/big"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/rogpeppe/go-internal/testscript"
)

// daemon is a running program.
type daemon struct {
	process   *os.Process
	log       *logBuffer
	webhook   string
	lifecycle string
	ended     chan struct{}
	code      int // set before ended is closed

	clients  sync.WaitGroup
	answered atomic.Int64
	failures logBuffer
}

// running contains the daemon of each script by the directory of the script.
var running sync.Map

// onDaemon returns a command that calls a method of the daemon of the script.
func onDaemon(method func(*daemon, *testscript.TestScript, bool, []string)) command {
	return func(ts *testscript.TestScript, neg bool, args []string) {
		found, ok := running.Load(ts.Getenv("WORK"))
		if !ok {
			ts.Fatalf("no program was started")
		}
		method(found.(*daemon), ts, neg, args)
	}
}

func serveCommand(ts *testscript.TestScript, _ bool, args []string) {
	if !strings.Contains(strings.Join(args, " "), "-port") {
		args = append(args, "--tls-port=0", "--lifecycle-port=0")
	}
	process := exec.Command(ts.Getenv("INJECTOR"), append(args, "--log-format=json")...)
	process.Dir = ts.MkAbs(".")
	process.Env = programEnv()
	for _, variable := range []string{
		"CONFIG_DIR", "CONFIGMAP_LABELS", "CONFIGMAP_NAMESPACE", "DRAIN_DELAY", "LOG_LEVEL", "SIDECAR_INJECTOR_DEV",
		"SIDECAR_INJECTOR_STATUS_PAGE", "TLS_CERT_FILE", "TLS_KEY_FILE",
	} {
		process.Env = append(process.Env, variable+"="+ts.Getenv(variable))
	}
	d := &daemon{log: new(logBuffer), ended: make(chan struct{})}
	process.Stderr = d.log
	ts.Check(process.Start())
	d.process = process.Process
	ts.Setenv("PID", strconv.Itoa(d.process.Pid))
	go func() {
		_ = process.Wait()
		d.code = process.ProcessState.ExitCode()
		close(d.ended)
	}()
	ts.Defer(func() {
		_ = d.process.Kill()
		<-d.ended
		d.clients.Wait()
		ts.Logf("log of the program:\n%s", d.log.String())
	})
	running.Store(ts.Getenv("WORK"), d)
	until(ts, "serving", func() (bool, string) {
		select {
		case <-d.ended:
			ts.Fatalf("the program has ended with exit code %d:\n%s", d.code, d.log.String())
		default:
		}
		return d.findPorts()
	})
	_, port, err := net.SplitHostPort(d.webhook)
	ts.Check(err)
	ts.Setenv("TAKEN", port)
	_, port, err = net.SplitHostPort(d.lifecycle)
	ts.Check(err)
	ts.Setenv("LIFECYCLE", port)
}

// portsFree implements the condition ports-free: no other program uses the ports 9000 and 9001.
func portsFree(condition string) (bool, error) {
	if condition != "ports-free" {
		return false, fmt.Errorf("unknown condition %s", condition)
	}
	return free9000(), nil
}

// free9000 is evaluated once, because a script then uses the ports.
var free9000 = sync.OnceValue(func() bool { return free(":9000") && free(":9001") })

func free(address string) bool {
	listener, err := net.Listen("tcp", address)
	return err == nil && listener.Close() == nil
}

// findPorts reads the addresses from the log. It reports whether they were logged.
func (d *daemon) findPorts() (bool, string) {
	log := d.log.String()
	for line := range strings.Lines(log) {
		var event struct{ Message, Webhook, Lifecycle string }
		if json.Unmarshal([]byte(line), &event) == nil && event.Message == "serving" {
			d.webhook, d.lifecycle = local(event.Webhook), local(event.Lifecycle)
			return true, ""
		}
	}
	return false, log
}

// local returns the address on loopback with the same port.
func local(address string) string {
	_, port, _ := net.SplitHostPort(address)
	return net.JoinHostPort("127.0.0.1", port)
}

// load starts clients that send reviews while the program is ready, as a Service does. Half of them use HTTP/2, as API
// servers do, the others HTTP/1.1.
func (d *daemon) load(ts *testscript.TestScript, _ bool, _ []string) {
	review := ts.ReadFile("review.json")
	for i := range 8 {
		client := newClient(i%2 == 0)
		d.clients.Go(func() {
			defer client.CloseIdleConnections()
			for d.isReady() {
				if _, err := d.post(client, review); err != nil {
					_, _ = d.failures.Write([]byte(err.Error() + "\n"))
				}
				d.answered.Add(1)
			}
		})
	}
	until(ts, "load", func() (bool, string) { return d.answered.Load() > 100, d.failures.String() })
}

func (d *daemon) isReady() bool {
	code, _ := d.get("/readyz")
	return code == http.StatusOK
}

func (d *daemon) loaded(ts *testscript.TestScript, _ bool, _ []string) {
	d.clients.Wait()
	if failures := d.failures.String(); failures != "" {
		ts.Fatalf("of %d reviews, some failed:\n%s", d.answered.Load(), failures)
	}
	ts.Logf("%d reviews answered", d.answered.Load())
}

func keyPairCommand(ts *testscript.TestScript, _ bool, args []string) {
	checkArguments(ts, args, 2, "keypair DIR NAME")
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	ts.Check(err)
	template := &x509.Certificate{
		SerialNumber: big.NewInt(time.Now().UnixNano()),
		Subject:      pkix.Name{CommonName: args[1]},
		NotBefore:    time.Now().Add(-time.Hour),
		NotAfter:     time.Now().Add(time.Hour),
		IPAddresses:  []net.IP{net.IPv4(127, 0, 0, 1)},
	}
	certificate, err := x509.CreateCertificate(rand.Reader, template, template, key.Public(), key)
	ts.Check(err)
	private, err := x509.MarshalPKCS8PrivateKey(key)
	ts.Check(err)
	directory := ts.MkAbs(args[0])
	ts.Check(os.MkdirAll(directory, 0o700))
	for name, block := range map[string]*pem.Block{
		"tls.crt": {Type: "CERTIFICATE", Bytes: certificate},
		"tls.key": {Type: "PRIVATE KEY", Bytes: private},
	} {
		ts.Check(os.WriteFile(filepath.Join(directory, name), pem.EncodeToMemory(block), 0o600))
	}
}
