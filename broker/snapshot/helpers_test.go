package snapshot_test

import (
	"context"
	"fmt"
	"io/fs"
	"log/slog"
	"maps"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/x2broker/x2broker/broker/snapshot"
	"github.com/x2broker/x2broker/broker/source"
	"github.com/x2broker/x2broker/broker/source/gittest"
	"github.com/x2broker/x2broker/schema"
)

// site gives the files of a site that compiles, and some more.
func site(name string, more ...string) map[string]string {
	files := map[string]string{
		"site.cue": fmt.Sprintf(`package site

site: name: %q
servers: ts01: labels: pool: "a"
profiles: office: {name: "Office", hosts: ids: ["ts01"], access: groups: ["staff"]}
`, name),
	}
	for i := 0; i < len(more); i += 2 {
		files[more[i]] = more[i+1]
	}
	return files
}

func tree(tb testing.TB, files map[string]string) *source.Tree {
	tb.Helper()
	data := map[string][]byte{}
	for path, content := range files {
		data[path] = []byte(content)
	}
	t, err := source.FromFiles(data)
	if err != nil {
		tb.Fatal(err)
	}
	return t
}

func openGit(tb testing.TB, repo *gittest.Repo) source.Source {
	tb.Helper()
	src, err := source.Open(source.Config{URL: repo.URL(), StoreDir: tb.TempDir()})
	if err != nil {
		tb.Fatal(err)
	}
	return src
}

func newKeeper(src source.Source, log *logs, change ...func(*snapshot.Options)) *snapshot.Keeper {
	opts := snapshot.Options{Source: src, Compiler: schema.NewCompiler(), Poll: time.Millisecond, Log: slog.New(log)}
	for _, f := range change {
		f(&opts)
	}
	return snapshot.New(opts)
}

func stateDir(dir string) func(*snapshot.Options) {
	return func(o *snapshot.Options) { o.StateDir = dir }
}

func compiler(c snapshot.Compiler) func(*snapshot.Options) {
	return func(o *snapshot.Options) { o.Compiler = c }
}

func poll(d time.Duration) func(*snapshot.Options) {
	return func(o *snapshot.Options) { o.Poll = d }
}

// run runs a keeper until the test ends or stop is called, and waits for it.
func run(t *testing.T, k *snapshot.Keeper) (stop func()) {
	t.Helper()
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan struct{})
	go func() {
		k.Run(ctx)
		close(done)
	}()
	stop = func() {
		cancel()
		<-done
	}
	t.Cleanup(stop)
	return stop
}

func wait(t *testing.T, k *snapshot.Keeper) *snapshot.Snapshot {
	t.Helper()
	snap, err := k.Wait(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	return snap
}

func refresh(t *testing.T, k *snapshot.Keeper) {
	t.Helper()
	if err := k.Refresh(t.Context()); err != nil {
		t.Fatal(err)
	}
}

// serves checks which site serves; "" for none.
func serves(t *testing.T, k *snapshot.Keeper, want string) {
	t.Helper()
	got := ""
	if snap := k.Current(); snap != nil {
		got = snap.Catalog.Site.Name
	}
	if got != want {
		t.Errorf("serves %q, want %q", got, want)
	}
}

// fake is a source that a test moves by hand.
type fake struct {
	mu    sync.Mutex
	rev   source.Revision
	trees map[string]*source.Tree
	err   error
	hook  func(context.Context) // at the start of each Fetch
}

func (f *fake) String() string { return "fake" }

func (f *fake) Fetch(ctx context.Context) (source.Revision, error) {
	f.mu.Lock()
	hook := f.hook
	f.mu.Unlock()
	if hook != nil {
		hook(ctx)
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.rev, f.err
}

func (f *fake) Tree(_ context.Context, rev source.Revision) (*source.Tree, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if t := f.trees[rev.ID]; t != nil {
		return t, nil
	}
	return nil, fmt.Errorf("no revision %s", rev.ID)
}

func (f *fake) set(id string, t *source.Tree) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.trees == nil {
		f.trees = map[string]*source.Tree{}
	}
	f.rev, f.err, f.trees[id] = source.Revision{ID: id}, nil, t
}

func (f *fake) fail(err error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.err = err
}

// compile is a compiler made of a function.
type compile func(ctx context.Context, tree fs.FS) (*schema.Catalog, schema.Diagnostics)

func (f compile) Compile(ctx context.Context, tree fs.FS) (*schema.Catalog, schema.Diagnostics) {
	return f(ctx, tree)
}

// logs is a slog.Handler that a test can ask and wait for.
type logs struct {
	mu      sync.Mutex
	records []record
	more    chan struct{} // closed when there is a new record
	attrs   []slog.Attr
	root    *logs
}

type record struct {
	level slog.Level
	text  string
	attrs map[string]string
}

func (l *logs) base() *logs {
	if l.root != nil {
		return l.root
	}
	return l
}

func (l *logs) Enabled(context.Context, slog.Level) bool { return true }
func (l *logs) WithGroup(string) slog.Handler            { return l }

func (l *logs) WithAttrs(attrs []slog.Attr) slog.Handler {
	return &logs{root: l.base(), attrs: append(slices.Clone(l.attrs), attrs...)}
}

func (l *logs) Handle(_ context.Context, r slog.Record) error {
	rec := record{r.Level, r.Message, map[string]string{}}
	add := func(a slog.Attr) bool {
		rec.attrs[a.Key] = a.Value.String()
		return true
	}
	for _, a := range l.attrs {
		add(a)
	}
	r.Attrs(add)
	b := l.base()
	b.mu.Lock()
	defer b.mu.Unlock()
	b.records = append(b.records, rec)
	if b.more != nil {
		close(b.more)
		b.more = nil
	}
	return nil
}

// find gives the records of one text, at Info or worse.
func (l *logs) find(text string) []record {
	l.mu.Lock()
	defer l.mu.Unlock()
	var found []record
	for _, r := range l.records {
		if r.text == text && r.level >= slog.LevelInfo {
			found = append(found, r)
		}
	}
	return found
}

// await waits for a record of that text with those attributes.
func (l *logs) await(t *testing.T, text string, attrs map[string]string) {
	t.Helper()
	for {
		l.mu.Lock()
		if l.more == nil {
			l.more = make(chan struct{})
		}
		more := l.more
		l.mu.Unlock()
		for _, r := range l.find(text) {
			if maps.Equal(attrs, only(r.attrs, attrs)) {
				return
			}
		}
		select {
		case <-more:
		case <-t.Context().Done():
			t.Fatalf("no log record %q %v", text, attrs)
		}
	}
}

// only gives the part of m whose keys are in keys.
func only(m, keys map[string]string) map[string]string {
	part := map[string]string{}
	for key := range keys {
		part[key] = m[key]
	}
	return part
}
