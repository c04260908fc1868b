// Package docs_test checks the Markdown files of the repository: links, line width, paragraphs and words.
package docs_test

import (
	"io/fs"
	"os"
	"path"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
	"unicode/utf8"
)

const (
	maxColumns        = 100
	maxParagraphLines = 5
)

// avoided are words with a plainer alternative.
var avoided = map[string]*regexp.Regexp{
	"fix or correct":        regexp.MustCompile(`(?i)\bmend(s|ed|ing)?\b`),
	"again":                 regexp.MustCompile(`(?i)\banew\b`),
	"becomes":               regexp.MustCompile(`(?i)\bcom(e|es|ing) to be\b`),
	"does not change":       regexp.MustCompile(`(?i)\bleaves? alone\b`),
	"what, or repeat it":    regexp.MustCompile(`(?i)\b(that which|of which there)\b`),
	"the person":            regexp.MustCompile(`(?i)\b(whom|somebody|nobody)\b`),
	"if":                    regexp.MustCompile(`(?i)\b(lest|should (?:it|they|nothing))\b`),
	"so or therefore":       regexp.MustCompile(`(?i)\b(thus|hence|thereby|whereby)\b`),
	"use":                   regexp.MustCompile(`(?i)\butili[sz]e[sd]?\b`),
	"to":                    regexp.MustCompile(`(?i)\bin order to\b`),
	"for example, that is":  regexp.MustCompile(`\b(e\.g\.|i\.e\.|etc\.)`),
	"nothing: leave it out": regexp.MustCompile(`(?i)\b(simply|obviously|of course|please|note that)\b`),
}

// markdown is a Markdown file. Lines of code blocks and generated parts are empty.
type markdown struct {
	path  string // in the repository
	lines []string
}

var inlineCode = regexp.MustCompile("`[^`]*`")

func TestLinks(t *testing.T) {
	t.Parallel()
	link := regexp.MustCompile(`\]\(([^)\s]+)\)`)
	pages := readPages(t)
	for _, page := range pages {
		text := inlineCode.ReplaceAllString(strings.Join(page.lines, "\n"), "")
		for _, match := range link.FindAllStringSubmatch(text, -1) {
			target, anchor, _ := strings.Cut(match[1], "#")
			if strings.Contains(target, ":") {
				continue // another site
			}
			if target = path.Join(path.Dir(page.path), target); strings.HasPrefix(match[1], "#") {
				target = page.path
			}
			checkTarget(t, pages, page.path, target, anchor)
		}
	}
}

// TestReferences checks the paths of pages that code, manifests and messages contain.
func TestReferences(t *testing.T) {
	t.Parallel()
	reference := regexp.MustCompile(`(?:^|[^\w/])(?:\.\./)*(docs/[\w/-]+\.md)(?:#([\w-]+))?`)
	pages := readPages(t)
	for file, content := range readFiles(t, ".go", ".yaml", ".tpl", ".txtar", ".templ") {
		for _, match := range reference.FindAllStringSubmatch(content, -1) {
			checkTarget(t, pages, file, match[1], match[2])
		}
	}
}

// checkTarget requires that a file exists, and has the anchor unless it is empty.
func checkTarget(t *testing.T, pages map[string]*markdown, from, target, anchor string) {
	t.Helper()
	if _, err := os.Stat(filepath.Join("..", target)); err != nil {
		t.Errorf("%s: %s does not exist", from, target)
		return
	}
	if page := pages[target]; anchor != "" && (page == nil || !slices.Contains(page.anchors(), anchor)) {
		t.Errorf("%s: %s has no heading #%s", from, target, anchor)
	}
}

var (
	heading    = regexp.MustCompile(`^#+ (.*)$`)
	linkText   = regexp.MustCompile(`\[([^\]]*)\]\([^)]*\)`)
	noneOfSlug = regexp.MustCompile(`[^\p{L}\p{N}_ -]`)
)

// anchors returns the anchors of the headings, as GitHub makes them.
func (m *markdown) anchors() []string {
	var anchors []string
	for _, line := range m.lines {
		if match := heading.FindStringSubmatch(line); match != nil {
			text := noneOfSlug.ReplaceAllString(linkText.ReplaceAllString(strings.ToLower(match[1]), "$1"), "")
			anchors = append(anchors, strings.ReplaceAll(strings.TrimSpace(text), " ", "-"))
		}
	}
	return anchors
}

var listItem = regexp.MustCompile(`^\s*([-*]|\d+\.) `)

// TestProse checks the width of lines, except those of tables, images and links that cannot be broken, the length of
// paragraphs and list items, and words.
func TestProse(t *testing.T) {
	t.Parallel()
	for _, page := range readPages(t) {
		length := 0
		for i, line := range page.lines {
			switch {
			case line == "", strings.HasPrefix(line, "#"), strings.HasPrefix(line, "|"), strings.HasPrefix(line, "<"):
				length = 0
			case listItem.MatchString(line):
				length = 1
			default:
				length++
			}
			if length == maxParagraphLines+1 {
				t.Errorf("%s:%d: paragraph of more than %d lines", page.path, i+1, maxParagraphLines)
			}
			page.checkLine(t, i+1, line)
		}
	}
}

func (m *markdown) checkLine(t *testing.T, number int, line string) {
	t.Helper()
	_, unbroken := strings.CutPrefix(line, "![")
	unbroken = unbroken || strings.HasPrefix(line, "|") || !strings.Contains(strings.TrimSpace(line), " ")
	if width := utf8.RuneCountInString(line); width > maxColumns && !unbroken {
		t.Errorf("%s:%d: %d columns", m.path, number, width)
	}
	text := inlineCode.ReplaceAllString(line, "")
	for instead, words := range avoided {
		if word := words.FindString(text); word != "" {
			t.Errorf("%s:%d: %q; write %s", m.path, number, word, instead)
		}
	}
}

// readPages returns the Markdown files of the repository by path.
func readPages(t *testing.T) map[string]*markdown {
	t.Helper()
	pages := make(map[string]*markdown)
	for file, content := range readFiles(t, ".md") {
		page, inside := &markdown{path: file}, ""
		for line := range strings.Lines(content) {
			line = strings.TrimRight(line, "\n")
			trimmed := strings.TrimSpace(line)
			switch {
			case inside == "" && strings.HasPrefix(trimmed, "```"):
				inside, line = "```", ""
			case inside != "" && strings.HasPrefix(trimmed, inside):
				inside, line = "", ""
			case inside != "":
				line = ""
			}
			page.lines = append(page.lines, line)
		}
		if inside != "" {
			t.Errorf("%s: a code block has no end", file)
		}
		pages[file] = page
	}
	return pages
}

// readFiles returns the files of the repository with one of the endings, by path. Hidden directories except .github,
// and fixtures, are skipped.
func readFiles(t *testing.T, endings ...string) map[string]string {
	t.Helper()
	files := make(map[string]string)
	root := os.DirFS("..")
	err := fs.WalkDir(root, ".", func(name string, entry fs.DirEntry, err error) error {
		switch base := path.Base(name); {
		case err != nil:
			return err
		case entry.IsDir() && len(base) > 1 && base[0] == '.' && base != ".github", base == "fuzz":
			return fs.SkipDir
		case !entry.Type().IsRegular() || !slices.Contains(endings, path.Ext(name)):
			return nil
		}
		content, err := fs.ReadFile(root, name)
		files[name] = string(content)
		return err
	})
	if err != nil || len(files) == 0 {
		t.Fatal(endings, err)
	}
	return files
}
