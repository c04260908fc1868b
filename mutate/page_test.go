package mutate_test

import "strings"

// page is a Markdown page that is read from one fenced block to the next.
type page struct {
	pieces     []string // alternately the text between blocks and the content of a block
	blocks     []*block // not read yet
	definition *block   // the last one read
	changed    bool
}

// block is the content between two fences.
type block struct {
	kind    string // the comment in the first line of a YAML block, otherwise the language
	content string
	line    int // in the page, starting at 1
	piece   int
}

// newPage parses a page. Blocks must not be nested or in lists.
func newPage(text []byte) *page {
	p := &page{definition: new(block)}
	inside, language, line := false, "", 0
	var piece strings.Builder
	for next := range strings.Lines(string(text)) {
		line++
		rest, fence := strings.CutPrefix(strings.TrimSpace(next), "```")
		if fence && inside {
			p.add(language, piece.String(), line)
		}
		if fence && !inside {
			piece.WriteString(next)
			language, next = rest, ""
		}
		if fence {
			p.pieces = append(p.pieces, piece.String())
			piece.Reset()
			inside = !inside
		}
		piece.WriteString(next)
	}
	p.pieces = append(p.pieces, piece.String())
	if inside {
		p.add("unclosed", piece.String(), line)
	}
	return p
}

// add adds the block that ends at a line.
func (p *page) add(language, content string, end int) {
	b := &block{kind: language, content: content, line: end - strings.Count(content, "\n"), piece: len(p.pieces)}
	if first, _, _ := strings.Cut(content, "\n"); language == "yaml" {
		b.kind = strings.TrimPrefix(first, "# ")
	}
	p.blocks = append(p.blocks, b)
}

func (p *page) more() bool {
	return len(p.blocks) > 0
}

// peek returns the next block. There must be one.
func (p *page) peek() *block {
	return p.blocks[0]
}

// next returns the next block and advances.
func (p *page) next() *block {
	b := p.peek()
	p.blocks = p.blocks[1:]
	return b
}

// replace replaces the content of a block.
func (p *page) replace(b *block, content string) {
	p.pieces[b.piece] = content
	p.changed = true
}

// text returns the page with all replacements.
func (p *page) text() string {
	return strings.Join(p.pieces, "")
}
