package verify

import (
	"bytes"
	"container/heap"
	"context"
	"fmt"

	"github.com/go-git/go-git/v5/plumbing"
)

// history is which commit has which parents. A parent has a lower index than
// its children, whatever dates are written in them, so that walking down by
// index is exact.
type history struct {
	ctx     context.Context
	objects Objects
	index   map[plumbing.Hash]int
	nodes   []node
}

type node struct {
	hash    plumbing.Hash
	parents []int
}

func newHistory(ctx context.Context, objects Objects) *history {
	return &history{ctx: ctx, objects: objects, index: map[plumbing.Hash]int{}}
}

// load adds a commit and all before it, and gives its index. After an error
// the history is still good, but does not have the commit.
func (h *history) load(tip plumbing.Hash) (int, error) {
	type visit struct {
		hash    plumbing.Hash
		parents []plumbing.Hash
		next    int
	}
	enter := func(hash plumbing.Hash) (*visit, error) {
		if err := h.ctx.Err(); err != nil {
			return nil, context.Cause(h.ctx)
		}
		data, err := h.objects.Object(plumbing.CommitObject, hash)
		if err != nil {
			return nil, fmt.Errorf("commit %s: %w", short(hash), err)
		}
		parents, err := parentsOf(data)
		if err != nil {
			return nil, fmt.Errorf("commit %s: %w", short(hash), err)
		}
		return &visit{hash: hash, parents: parents}, nil
	}
	if i, ok := h.index[tip]; ok {
		return i, nil
	}
	first, err := enter(tip)
	if err != nil {
		return 0, err
	}
	stack := []*visit{first}
	for len(stack) > 0 {
		top := stack[len(stack)-1]
		if top.next < len(top.parents) {
			parent := top.parents[top.next]
			top.next++
			if _, ok := h.index[parent]; ok {
				continue
			}
			if len(h.nodes)+len(stack) >= MaxHistory {
				return 0, fmt.Errorf("more than %d commits: begin the site's repository anew", MaxHistory)
			}
			v, err := enter(parent)
			if err != nil {
				return 0, fmt.Errorf("before %s: %w (all of the history is needed: git fetch --unshallow)", short(top.hash), err)
			}
			stack = append(stack, v)
			continue
		}
		stack = stack[:len(stack)-1]
		if _, ok := h.index[top.hash]; ok {
			continue
		}
		n := node{hash: top.hash}
		for _, p := range top.parents {
			n.parents = append(n.parents, h.index[p])
		}
		h.index[top.hash] = len(h.nodes)
		h.nodes = append(h.nodes, n)
	}
	return h.index[tip], nil
}

// parentsOf reads the parents of a commit as git does, without holding the
// rest to anything: old commits are as they are.
func parentsOf(data []byte) ([]plumbing.Hash, error) {
	if _, rest, ok := cutHash(data, "tree "); ok {
		data = rest
	} else {
		return nil, fmt.Errorf("does not begin with a tree: run git fsck on the repository")
	}
	var parents []plumbing.Hash
	for bytes.HasPrefix(data, []byte("parent ")) {
		p, rest, ok := cutHash(data, "parent ")
		if !ok {
			return nil, fmt.Errorf("has a parent that is no commit id: run git fsck on the repository")
		}
		parents, data = append(parents, p), rest
	}
	return parents, nil
}

// cutHash takes "NAME <40 hex digits>\n" off data.
func cutHash(data []byte, name string) (hash plumbing.Hash, rest []byte, ok bool) {
	value, ok := bytes.CutPrefix(data, []byte(name))
	if !ok || len(value) < 41 || value[40] != '\n' {
		return hash, nil, false
	}
	for _, c := range value[:40] {
		if (c < '0' || c > '9') && (c < 'a' || c > 'f') {
			return hash, nil, false
		}
	}
	return plumbing.NewHash(string(value[:40])), value[41:], true
}

// reachable says of each index up to the commit's whether it is the commit or
// comes before it.
func (h *history) reachable(from int) []bool {
	in := make([]bool, from+1)
	in[from] = true
	for i := from; i >= 0; i-- {
		if in[i] {
			for _, p := range h.nodes[i].parents {
				in[p] = true
			}
		}
	}
	return in
}

// contains says whether a commit is from, or comes before it.
func (h *history) contains(from, commit int) bool {
	return commit <= from && h.reachable(from)[commit]
}

// subtract takes out of set what can be reached from the commit.
func (h *history) subtract(set []bool, from int) {
	for i, in := range h.reachable(from) {
		if in && i < len(set) {
			set[i] = false
		}
	}
}

// bases gives the best common ancestors of two commits: those from which no
// other common ancestor descends.
func (h *history) bases(a, b int) []int {
	const one, two, both, stale = 1, 2, 3, 4
	flags := map[int]int{}
	var queue indexHeap
	lively := 0 // in the queue and not stale
	mark := func(i, f int) {
		old, seen := flags[i]
		if seen && old|f == old {
			return
		}
		if !seen {
			heap.Push(&queue, i)
			lively++
		}
		if old&stale == 0 && f&stale != 0 {
			lively--
		}
		flags[i] = old | f
	}
	mark(a, one)
	mark(b, two)
	var found []int
	// A commit leaves the queue after all its descendants, so nothing is
	// marked that has left it.
	for lively > 0 {
		i := heap.Pop(&queue).(int)
		f := flags[i]
		if f&stale == 0 {
			lively--
			if f&both == both {
				found = append(found, i)
				f |= stale
			}
		}
		for _, p := range h.nodes[i].parents {
			mark(p, f)
		}
	}
	return found
}

// indexHeap gives the highest index first.
type indexHeap []int

func (q indexHeap) Len() int           { return len(q) }
func (q indexHeap) Less(i, j int) bool { return q[i] > q[j] }
func (q indexHeap) Swap(i, j int)      { q[i], q[j] = q[j], q[i] }
func (q *indexHeap) Push(x any)        { *q = append(*q, x.(int)) }
func (q *indexHeap) Pop() any {
	last := (*q)[len(*q)-1]
	*q = (*q)[:len(*q)-1]
	return last
}
