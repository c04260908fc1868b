package mutate_test

import "strings"

// page is a page of Markdown, read from one fenced block to the next.
type page struct {
	pieces     []string // what is between blocks and what is in them, in turn
	blocks     []*block // those that were not read yet
	definition *block   // the last one
	examples   int
	changed    bool
}

// block is what is between two fences.
type block struct {
	kind    string // what the first line of a block of YAML says, or else the language
	content string
	line    int // of the page, counted from 1
	piece   int
}

// newPage reads a page on which no block is within another or in a list.
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
		p.add("without an end", piece.String(), line)
	}
	return p
}

// add notes the block that ends at a line.
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

// peek gives the next block, of which there must be one.
func (p *page) peek() *block {
	return p.blocks[0]
}

// next is peek that goes on.
func (p *page) next() *block {
	b := p.peek()
	p.blocks = p.blocks[1:]
	return b
}

// replace gives a block another content.
func (p *page) replace(b *block, content string) {
	p.pieces[b.piece] = content
	p.changed = true
}

// text is the page with all that was replaced.
func (p *page) text() string {
	return strings.Join(p.pieces, "")
}
