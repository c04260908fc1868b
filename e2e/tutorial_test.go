package e2e_test

import (
	"bufio"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"runtime"
	"strings"
	"syscall"
	"testing"
	"time"
)

// tutorial is the page whose commands TestTutorial runs.
const tutorial = "../docs/tutorial.md"

// TestTutorial follows the tutorial on the cluster of make cluster. It saves each YAML block under the name in its
// first line, runs every command, and compares the output with the page.
func TestTutorial(t *testing.T) {
	t.Parallel()
	session := tutorialSession{T: t, dir: t.TempDir()}
	blocks := parseBlocks(t, tutorial)
	equal(t, "the first block", blocks[0], block{"console", "$ make cluster\n"})
	session.startCluster()
	for _, b := range blocks[1:] {
		switch b.language {
		case "yaml":
			session.save(b.text)
		case "console":
			session.console(b.text)
		default:
			t.Errorf("the test does not run this block:\n%s", b.text)
		}
	}
}

// block is a fenced block of a page.
type block struct{ language, text string }

func parseBlocks(t *testing.T, page string) []block {
	t.Helper()
	content, err := os.ReadFile(page)
	must(t, err)
	var blocks []block
	for _, m := range regexp.MustCompile("(?ms)^```(\\w*)\n(.*?)^```$").FindAllStringSubmatch(string(content), -1) {
		blocks = append(blocks, block{m[1], m[2]})
	}
	if 2*len(blocks) != strings.Count(string(content), "```") {
		t.Fatalf("%s has a block that the test does not find", page)
	}
	return blocks
}

// tutorialSession is a terminal of a reader.
type tutorialSession struct {
	*testing.T
	dir     string
	exports string // the lines that make cluster prints
}

// startCluster starts what make cluster starts, until the test ends.
func (s *tutorialSession) startCluster() {
	s.Helper()
	program := filepath.Join(s.TempDir(), "cluster")
	build := exec.CommandContext(s.Context(), "go", "build", "-o", program, "./cmd/cluster")
	if output, err := build.CombinedOutput(); err != nil {
		s.Fatalf("%v\n%s", err, output)
	}
	command := exec.Command(program)
	command.Stderr = os.Stderr
	// The kernel sends Pdeathsig when the thread that started the process ends, so keep this thread until the test ends.
	runtime.LockOSThread()
	command.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGTERM}
	stdout, err := command.StdoutPipe()
	must(s.T, err)
	must(s.T, command.Start())
	s.Cleanup(func() {
		_ = command.Process.Signal(os.Interrupt)
		_ = command.Wait()
	})
	lines := bufio.NewScanner(stdout)
	for lines.Scan() && !strings.Contains(lines.Text(), "Ctrl-C") {
		if line := strings.TrimSpace(lines.Text()); strings.HasPrefix(line, "export ") {
			s.exports += line + "\n"
		}
	}
	if s.exports == "" {
		s.Fatal("make cluster prints no exports")
	}
}

// save saves a file. Its first line is its name, as a comment.
func (s *tutorialSession) save(text string) {
	s.Helper()
	name, isComment := strings.CutPrefix(strings.SplitN(text, "\n", 2)[0], "# ")
	if !isComment || name != filepath.Base(name) {
		s.Fatalf("this file has no name:\n%s", text)
	}
	must(s.T, os.WriteFile(filepath.Join(s.dir, name), []byte(text), 0o600))
}

// console runs the commands of a block, and compares their output.
func (s *tutorialSession) console(text string) {
	s.Helper()
	prompt := regexp.MustCompile(`(?m)^\$ (.*(?:\\\n.*)*)\n`)
	starts := prompt.FindAllStringSubmatchIndex(text, -1)
	if len(starts) == 0 || starts[0][0] != 0 {
		s.Fatalf("this block does not begin with a command:\n%s", text)
	}
	for n, start := range starts {
		end := len(text)
		if n+1 < len(starts) {
			end = starts[n+1][0]
		}
		s.expect(text[start[2]:start[3]], normalize(text[start[1]:end]))
	}
}

// expect runs a command until its output is as expected. A command that changes something runs only once.
func (s *tutorialSession) expect(command, want string) {
	s.Helper()
	reads := regexp.MustCompile(`^(kubectl get|k8s-sidecar-injector) |--dry-run=server`).MatchString(command) &&
		!strings.HasSuffix(command, "| sh")
	for end := time.Now().Add(deadline); ; {
		got := normalize(s.run(command))
		if got == want {
			return
		}
		if !reads || time.Now().After(end) || s.Context().Err() != nil {
			s.Fatalf("$ %s\n%s\nthe page has:\n%s", command, got, want)
		}
	}
}

func (s *tutorialSession) run(command string) string {
	s.Helper()
	shell := exec.CommandContext(s.Context(), "bash", "-c", s.exports+command)
	shell.Dir = s.dir
	output, _ := shell.CombinedOutput() // the page has commands that fail
	return string(output)
}

// normalize replaces what differs between runs: ages, digests, the end of names of pods, and spaces between columns.
func normalize(output string) string {
	for _, r := range []struct{ pattern, text string }{
		{`\bweb-[0-9a-z]{8,10}-[0-9a-z]{5}\b`, "web-POD"},
		{`\b[0-9a-f]{12}\b`, "DIGEST"},
		{`\b(\d+[smh])+\b`, "AGE"},
		{`[ \t]+`, " "},
		{` *\n`, "\n"},
	} {
		output = regexp.MustCompile(r.pattern).ReplaceAllString(output, r.text)
	}
	return output
}
