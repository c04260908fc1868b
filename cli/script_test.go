package cli_test

import (
	"os"
	"path/filepath"
	"testing"

	"github.com/rogpeppe/go-internal/testscript"

	"k8s-sidecar-injector/cli"
)

// programEnv makes the test binary behave as the program, so that the tests need no second binary. By default, the race
// detector delays each exit by a second.
func programEnv() []string {
	return []string{"TEST_RUN_PROGRAM=1", "GORACE=atexit_sleep_ms=0"}
}

// binary is the path of the test binary.
var binary string

func TestMain(m *testing.M) {
	if os.Getenv("TEST_RUN_PROGRAM") != "" {
		streams := cli.IOStreams{In: os.Stdin, Out: os.Stdout, ErrOut: os.Stderr, Getenv: os.Getenv}
		os.Exit(cli.Run(os.Args, streams))
	}
	var err error
	if binary, err = os.Executable(); err != nil {
		panic(err)
	}
	m.Run()
}

// TestScripts runs testdata/script. commands_test.go describes the additional commands.
func TestScripts(t *testing.T) {
	t.Parallel()
	directory := t.TempDir()
	for _, name := range []string{"k8s-sidecar-injector", "kubectl-sidecars", "kubectl_complete-sidecars"} {
		if err := os.Symlink(binary, filepath.Join(directory, name)); err != nil {
			t.Fatal(err)
		}
	}
	testscript.Run(t, testscript.Params{
		Dir:                 "testdata/script",
		RequireExplicitExec: true,
		RequireUniqueNames:  true,
		Cmds:                commands(),
		Condition:           portsFree,
		Setup: func(env *testscript.Env) error {
			env.Vars = append(env.Vars, programEnv()...)
			env.Setenv("DRAIN_DELAY", "0s")
			env.Setenv("LOG_FORMAT", "console") // errors of the start are text; the command serve logs JSON
			env.Setenv("PATH", directory+string(filepath.ListSeparator)+env.Getenv("PATH"))
			env.Setenv("INJECTOR", binary)
			review, err := os.ReadFile("sample-review.json")
			if err != nil {
				return err
			}
			return os.WriteFile(filepath.Join(env.WorkDir, "review.json"), review, 0o600)
		},
	})
}
