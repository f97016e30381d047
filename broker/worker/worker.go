// Package worker compiles the CUE files of sites in a process of its own.
//
// CUE cannot be interrupted, and a small mistake in a reviewed commit can make
// it run for hours or take all memory. Here that costs one process, which is
// killed at the deadline of the call or beyond its memory, and started anew for
// the next one. The process lives on between calls, with all that the compiler
// remembers, and is sent what has changed only.
//
// It has no need of anything but its pipes: where the kernel can do it, the
// process gives up the network, all files, and starting programs, before it
// reads the first byte of a site. [Confinement] says what holds.
package worker

import (
	"bytes"
	"context"
	"encoding/gob"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"log/slog"
	"maps"
	"os"
	"os/exec"
	"strings"
	"sync"
	"syscall"
	"time"

	"github.com/x2broker/x2broker/broker/source"
	"github.com/x2broker/x2broker/schema"
)

// DefaultMemory is what the process may take, in bytes: a site of 10,000
// profiles takes 450 MB.
const DefaultMemory = 1 << 30

// Options say how the process is run.
type Options struct {
	Command []string // that calls [Serve], with its arguments
	Memory  int64    // bytes that it may have in memory, 0 for [DefaultMemory]
	Log     *slog.Logger
}

// Compiler compiles sites in its process. It is safe for concurrent use; calls
// wait for each other.
type Compiler struct {
	command []string
	memory  int64
	log     *slog.Logger

	turn    chan struct{} // holds a token for whoever uses what follows
	process *process      // nil: to be started
	cache   []byte        // for the next process

	mu       sync.Mutex
	confined *Confinement
	starts   int
}

// New returns a Compiler whose process starts with the first call.
func New(opts Options) *Compiler {
	c := &Compiler{command: opts.Command, memory: opts.Memory, log: opts.Log, turn: make(chan struct{}, 1)}
	if c.memory <= 0 {
		c.memory = DefaultMemory
	}
	if c.log == nil {
		c.log = slog.New(slog.DiscardHandler)
	}
	return c
}

// Close ends the process. A later call starts another one.
func (c *Compiler) Close() {
	c.turn <- struct{}{}
	defer func() { <-c.turn }()
	c.end()
}

// Confinement says what the process has given up, nil before the first call.
func (c *Compiler) Confinement() *Confinement {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.confined
}

// Starts says how often the process was started; more than once after it was
// killed or ended.
func (c *Compiler) Starts() int {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.starts
}

// Compile does what [schema.Compiler.Compile] does. When the context ends the
// process is killed, if it does not answer at once.
func (c *Compiler) Compile(ctx context.Context, files fs.FS) (*schema.Catalog, schema.Diagnostics) {
	tree, err := asTree(files)
	if err != nil {
		return nil, failed("cannot read the site: %v", err)
	}
	select {
	case c.turn <- struct{}{}:
		defer func() { <-c.turn }()
	case <-ctx.Done():
		return nil, failed("gave up: %v", context.Cause(ctx))
	}
	for again := true; ; again = false {
		catalog, diags, err := c.compile(ctx, tree)
		if err == nil {
			return catalog, diags
		}
		c.end()
		switch tooLarge := new(memoryError); {
		case ctx.Err() != nil:
			return nil, failed("gave up: %v", context.Cause(ctx))
		case errors.As(err, &tooLarge):
			return nil, failed("%v: look for large comprehensions", err)
		case !again:
			return nil, failed("the process that evaluates CUE failed: %v", err)
		}
		c.log.Warn("the process that evaluates CUE ended, starting another", "err", err)
	}
}

func failed(format string, args ...any) schema.Diagnostics {
	return schema.Diagnostics{{Severity: schema.Error, Pos: schema.Position{File: "."}, Message: fmt.Sprintf(format, args...)}}
}

// asTree gives the site as a tree; other file systems are read into one.
func asTree(files fs.FS) (*source.Tree, error) {
	if tree, is := files.(*source.Tree); is {
		return tree, nil
	}
	return source.FromFS(files)
}

func (c *Compiler) compile(ctx context.Context, tree *source.Tree) (*schema.Catalog, schema.Diagnostics, error) {
	p, err := c.running()
	if err != nil {
		return nil, nil, err
	}
	changed, removed, now := changes(p.sent, tree)
	req := request{Changed: changed, Removed: removed, Limit: -1}
	if deadline, ok := ctx.Deadline(); ok {
		req.Limit = time.Until(deadline)
	}
	res, err := p.ask(ctx, c.memory, req)
	if err != nil {
		return nil, nil, err
	}
	p.sent = now
	catalog, err := p.merge(res)
	if res.Busy {
		// CUE is still at it; what is known of the site is worth less than a
		// process that works.
		c.end()
	}
	return catalog, res.Diagnostics, err
}

// running gives the process, and starts it if need be.
func (c *Compiler) running() (*process, error) {
	if c.process != nil {
		return c.process, nil
	}
	p, err := start(c.command, c.memory)
	if err != nil {
		return nil, err
	}
	c.process = p
	var hello Confinement
	if err := p.receive(&hello); err != nil {
		return nil, err
	}
	c.mu.Lock()
	c.confined = &hello
	c.starts++
	c.mu.Unlock()
	c.log.Info("process that evaluates CUE started", "pid", p.cmd.Process.Pid, "confinement", hello.String())
	if c.cache != nil {
		if _, err := p.ask(context.Background(), c.memory, request{UseCache: c.cache}); err != nil {
			c.cache = nil // perhaps it is to blame
			return nil, err
		}
	}
	return p, nil
}

func (c *Compiler) end() {
	if c.process != nil {
		c.process.kill()
		c.process = nil
	}
}

// Cache gives what [schema.Compiler.Cache] of the process gives.
func (c *Compiler) Cache() ([]byte, error) {
	c.turn <- struct{}{}
	defer func() { <-c.turn }()
	if c.process == nil {
		return nil, nil
	}
	res, err := c.process.ask(context.Background(), c.memory, request{GiveCache: true})
	if err != nil {
		c.end()
		return nil, err
	}
	if res.Cache != nil {
		c.cache = res.Cache
	}
	return res.Cache, nil
}

// UseCache gives every process that is started from now on what Cache gave.
func (c *Compiler) UseCache(data []byte) error {
	c.turn <- struct{}{}
	defer func() { <-c.turn }()
	c.cache = data
	c.end()
	return nil
}

// changes compares a tree with what was sent before. Files that CUE does not
// read are left out.
func changes(before map[string]source.Entry, tree *source.Tree) (changed map[string]source.Entry, removed []string, now map[string]source.Entry) {
	changed = map[string]source.Entry{}
	now = make(map[string]source.Entry, len(before))
	for name, e := range tree.Entries() {
		if e.Mode.IsRegular() && !strings.HasSuffix(name, ".cue") {
			continue
		}
		now[name] = e
		if b, known := before[name]; !known || b.Mode != e.Mode || !bytes.Equal(b.Data, e.Data) {
			changed[name] = e
		}
	}
	for name := range before {
		if _, there := now[name]; !there {
			removed = append(removed, name)
		}
	}
	return changed, removed, now
}

// A process is one life of the child.
type process struct {
	cmd     *exec.Cmd
	stdin   io.WriteCloser
	enc     *gob.Encoder
	dec     *gob.Decoder
	stderr  *lastWords
	sent    map[string]source.Entry
	catalog *schema.Catalog // the last one that it gave
}

func start(command []string, memory int64) (*process, error) {
	cmd := exec.Command(command[0], command[1:]...)
	cmd.Env = []string{fmt.Sprintf("%s=%d", memoryVariable, memory)}
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true} // signals to the broker are for the broker
	stderr := &lastWords{}
	cmd.Stderr = stderr
	stdin, err := cmd.StdinPipe()
	if err != nil {
		return nil, err
	}
	stdout, err := cmd.StdoutPipe()
	if err != nil {
		return nil, err
	}
	if err := cmd.Start(); err != nil {
		return nil, err
	}
	return &process{cmd: cmd, stdin: stdin, enc: gob.NewEncoder(stdin), dec: gob.NewDecoder(stdout), stderr: stderr}, nil
}

// kill ends the process and waits for it.
func (p *process) kill() {
	_ = p.cmd.Process.Kill() // gone already: nothing to do
	_ = p.stdin.Close()
	_ = p.cmd.Wait() // it was killed, so that its status says nothing
}

// receive reads a message, and says what the process said last if there is none.
func (p *process) receive(message any) error {
	err := p.dec.Decode(message)
	if err == nil {
		return nil
	}
	_ = p.cmd.Process.Kill()
	_ = p.cmd.Wait() // stderr is complete then
	if words := p.stderr.String(); words != "" {
		return fmt.Errorf("%s", words)
	}
	return fmt.Errorf("it ended: %s", p.cmd.ProcessState)
}

// ask sends a request and waits for the answer. It kills the process when the
// context ends and when it takes more memory than it may.
func (p *process) ask(ctx context.Context, memory int64, req request) (response, error) {
	var res response
	done := make(chan error, 1)
	go func() {
		if err := p.enc.Encode(req); err != nil && !errors.Is(err, syscall.EPIPE) && !errors.Is(err, os.ErrClosed) {
			done <- err
			return
		}
		done <- p.receive(&res)
	}()
	tick := time.NewTicker(memoryInterval)
	defer tick.Stop()
	over := ctx.Done()
	grace := (<-chan time.Time)(nil)
	for {
		select {
		case err := <-done:
			return res, err
		case <-over:
			over, grace = nil, time.After(answerTime)
		case <-grace:
			_ = p.cmd.Process.Kill()
			<-done
			return res, context.Cause(ctx)
		case <-tick.C:
			if used := resident(p.cmd.Process.Pid); used > memory {
				_ = p.cmd.Process.Kill()
				<-done
				return res, &memoryError{memory}
			}
		}
	}
}

const (
	memoryInterval = 50 * time.Millisecond
	// answerTime is how long the process may take to say what it was at when the
	// context ended.
	answerTime = 500 * time.Millisecond
)

type memoryError struct{ limit int64 }

func (e *memoryError) Error() string {
	return fmt.Sprintf("evaluating the site takes more than %d MB of memory", e.limit>>20)
}

// resident is the memory that the process has now, in bytes; 0 if it cannot be
// told.
func resident(pid int) int64 {
	data, err := os.ReadFile(fmt.Sprintf("/proc/%d/statm", pid))
	if err != nil {
		return 0
	}
	var size, pages int64
	if _, err := fmt.Sscan(string(data), &size, &pages); err != nil {
		return 0
	}
	return pages * int64(os.Getpagesize())
}

// merge makes the catalog of an answer, which has the profiles that are not as
// before. Profiles that are keep their pointers.
func (p *process) merge(res response) (*schema.Catalog, error) {
	switch {
	case res.Diagnostics.HasErrors():
		return nil, nil
	case res.Same:
		return p.catalog, nil
	}
	catalog := &schema.Catalog{}
	if err := catalog.UnmarshalBinary(res.Catalog); err != nil {
		return nil, err
	}
	if p.catalog != nil && !res.Whole {
		profiles := maps.Clone(p.catalog.Profiles)
		for _, id := range res.Gone {
			delete(profiles, id)
		}
		maps.Copy(profiles, catalog.Profiles)
		catalog.Profiles = profiles
	}
	p.catalog = catalog
	return catalog, nil
}

// lastWords keeps the first part of what a process says: of a Go program that
// dies, the reason comes first.
type lastWords struct {
	mu   sync.Mutex
	text []byte
}

func (w *lastWords) Write(b []byte) (int, error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	const most = 400
	w.text = append(w.text, b[:min(len(b), most-min(len(w.text), most))]...)
	return len(b), nil
}

// String gives the first line.
func (w *lastWords) String() string {
	w.mu.Lock()
	defer w.mu.Unlock()
	line, _, _ := strings.Cut(strings.TrimSpace(string(w.text)), "\n")
	return line
}
