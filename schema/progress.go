package schema

import (
	"context"
	"fmt"
	"sync"
	"time"
)

// notice is how long an evaluation may take to see that its context has ended.
const notice = 50 * time.Millisecond

// late says that the context ended, and what CUE was at.
func (c *Compiler) late(ctx context.Context) Diagnostics {
	d := Diagnostic{Severity: Error, Pos: Position{File: "."}, Message: fmt.Sprintf("gave up: %v", context.Cause(ctx))}
	if files := c.doing.list(); len(files) > 0 {
		d.Pos.File = files[0]
		d.Message += "; CUE is still evaluating this"
		if len(files) > 1 {
			d.Message += fmt.Sprintf(" and %d more files", len(files)-1)
		}
		d.Message += ": look for long chains of alternatives (a | b) & (c | d) and for large comprehensions"
	}
	return Diagnostics{d}
}

// A progress knows which files are being evaluated, and how many times.
type progress struct {
	mu    sync.Mutex
	files map[string]int
}

// add counts the files of a batch, n being 1 or -1: its leaves, or else its
// library.
func (p *progress) add(batch []*unit, n int) {
	var files []*sourceFile
	for _, u := range batch {
		files = append(files, u.leaves...)
	}
	if len(files) == 0 {
		files = batch[0].library
	}

	p.mu.Lock()
	defer p.mu.Unlock()
	if p.files == nil {
		p.files = map[string]int{}
	}
	for _, f := range files {
		if p.files[f.name] += n; p.files[f.name] == 0 {
			delete(p.files, f.name)
		}
	}
}

func (p *progress) list() []string {
	p.mu.Lock()
	defer p.mu.Unlock()
	return sortedKeys(p.files)
}
