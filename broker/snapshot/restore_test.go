package snapshot_test

import (
	"bytes"
	"context"
	"errors"
	"io/fs"
	"log/slog"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/x2broker/x2broker/broker/snapshot"
	"github.com/x2broker/x2broker/broker/source"
	"github.com/x2broker/x2broker/broker/source/gittest"
	"github.com/x2broker/x2broker/schema"
)

// keptThree makes a state directory as a broker leaves it that has served four
// sites, of which it keeps the last three, and gives the files of these by name.
func keptThree(t *testing.T) (dir string, files map[string]string) {
	t.Helper()
	src := &fake{}
	dir = t.TempDir()
	k := newKeeper(src, &logs{}, stateDir(dir))
	for _, name := range []string{"one", "two", "three", "four"} {
		src.set(name, tree(t, site(name)))
		refresh(t, k)
	}
	return dir, keptFiles(t, dir)
}

// keptFiles gives the files of kept sites by the name of the site in them.
func keptFiles(t *testing.T, dir string) map[string]string {
	t.Helper()
	found, err := filepath.Glob(filepath.Join(dir, "last-good.*.site"))
	if err != nil {
		t.Fatal(err)
	}
	files := map[string]string{}
	for _, file := range found {
		data, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		for _, name := range []string{"one", "two", "three", "four", "five"} {
			if bytes.Contains(data, []byte(`site: name: "`+name+`"`)) {
				files[name] = file
			}
		}
	}
	return files
}

// restarted starts a broker on dir whose source is away.
func restarted(t *testing.T, dir string) (*snapshot.Keeper, *logs) {
	t.Helper()
	log := &logs{}
	k := newKeeper(away(), log, stateDir(dir))
	if err := k.Refresh(t.Context()); err == nil {
		t.Error("no error from a source that is away")
	}
	return k, log
}

func TestTheLastThreeSitesAreKept(t *testing.T) {
	dir, files := keptThree(t)
	if got := slices.Sorted(maps.Keys(files)); !slices.Equal(got, []string{"four", "three", "two"}) {
		t.Errorf("kept %v", got)
	}
	for _, file := range files {
		if info, err := os.Stat(file); err != nil || info.Mode() != 0o600 {
			t.Errorf("%v, %v", info, err)
		}
	}
	k, _ := restarted(t, dir)
	serves(t, k, "four")
	if s := k.Status(); len(s.Unused) > 0 || s.Inputs.Revision != "four" || s.Inputs != k.Current().Inputs {
		t.Errorf("status %+v", s)
	}
}

// Whatever happens to kept files, the newest of those that are whole serves, and
// each of the others is named.
func TestTheNewestWholeSiteServes(t *testing.T) {
	whole, _ := keptThree(t)
	flipAt := func(part float64) func(string) error {
		return func(file string) error {
			info, err := os.Stat(file)
			if err != nil {
				return err
			}
			return flip(file, int(float64(info.Size()-1)*part))
		}
	}
	truncate := func(file string) error {
		info, err := os.Stat(file)
		if err != nil {
			return err
		}
		return os.Truncate(file, info.Size()/2)
	}
	for name, damage := range map[string]struct {
		do    func(file string) error
		named bool
	}{
		"cut off":          {truncate, true},
		"empty":            {func(file string) error { return os.Truncate(file, 0) }, true},
		"missing":          {os.Remove, false},
		"a directory":      {func(file string) error { return errors.Join(os.Remove(file), os.Mkdir(file, 0o700)) }, true},
		"first bit":        {flipAt(0), true},
		"bit of its line":  {flipAt(0.14), true},
		"bit in the files": {flipAt(0.9), true},
		"last bit":         {flipAt(1), true},
	} {
		for hit, want := range map[string]string{
			"four": "three", "three": "four", "two": "four", "four three": "two", "four two": "three", "four three two": "",
		} {
			dir := t.TempDir()
			if err := os.CopyFS(dir, os.DirFS(whole)); err != nil {
				t.Fatal(err)
			}
			files := keptFiles(t, dir)
			bad := strings.Fields(hit)
			for _, site := range bad {
				if err := damage.do(files[site]); err != nil {
					t.Fatal(err)
				}
			}
			k, log := restarted(t, dir)
			serves(t, k, want)
			said := strings.Join(k.Status().Unused, "\n")
			for _, site := range bad {
				if strings.Contains(said, files[site]) != damage.named {
					t.Errorf("%s, %s: status says %q", name, hit, said)
				}
			}
			if n := len(k.Status().Unused); damage.named && n != len(bad) || !damage.named && n > 0 {
				t.Errorf("%s, %s: status says %q", name, hit, said)
			}
			if n := len(log.find("none of the kept sites can serve, waiting for the source")); (n == 1) != (want == "" && damage.named) {
				t.Errorf("%s, %s: said %d times that it waits", name, hit, n)
			}
		}
	}
}

func TestKeptFilesMayChangeNames(t *testing.T) {
	dir, files := keptThree(t)
	spare := filepath.Join(dir, "spare")
	for _, move := range [][2]string{{files["four"], spare}, {files["two"], files["four"]}, {files["three"], files["two"]}, {spare, files["three"]}} {
		if err := os.Rename(move[0], move[1]); err != nil {
			t.Fatal(err)
		}
	}
	k, _ := restarted(t, dir)
	serves(t, k, "four")
	if s := k.Status(); len(s.Unused) > 0 {
		t.Errorf("status says %q", s.Unused)
	}
}

func TestADamagedFileIsWrittenOverFirst(t *testing.T) {
	dir, files := keptThree(t)
	if err := os.Truncate(files["three"], 40); err != nil {
		t.Fatal(err)
	}
	src := &fake{}
	src.set("four", tree(t, site("four")))
	k := newKeeper(src, &logs{}, stateDir(dir))
	refresh(t, k)
	if s := k.Status(); len(s.Unused) != 1 {
		t.Errorf("status says %q while the kept site serves", s.Unused)
	}
	src.set("five", tree(t, site("five")))
	refresh(t, k)
	if s := k.Status(); len(s.Unused) > 0 {
		t.Errorf("status says %q when another one serves", s.Unused)
	}
	if now := keptFiles(t, dir); now["five"] != files["three"] || len(now) != 3 {
		t.Errorf("kept %v, before %v", now, files)
	}
	k, _ = restarted(t, dir)
	serves(t, k, "five")
}

func TestASiteIsKeptOnce(t *testing.T) {
	dir, files := keptThree(t)
	src := &fake{}
	k := newKeeper(src, &logs{}, stateDir(dir))
	for range 2 {
		for _, name := range []string{"two", "three"} { // there and back
			src.set(name, tree(t, site(name)))
			refresh(t, k)
		}
	}
	if now := keptFiles(t, dir); !maps.Equal(now, files) {
		t.Errorf("kept %v, before %v", now, files)
	}
	k, _ = restarted(t, dir)
	serves(t, k, "three")
}

// slow is a Git source whose Fetch does not end by itself when it is told so.
type slow struct {
	*source.Git
	begun chan struct{} // has a value when Fetch waits; nil: it does not
}

func (s *slow) Fetch(ctx context.Context) (source.Revision, error) {
	if s.begun != nil {
		s.begun <- struct{}{}
		<-ctx.Done()
		return source.Revision{}, context.Cause(ctx)
	}
	return s.Git.Fetch(ctx)
}

func TestAnOrderStopsWhatIsRunning(t *testing.T) {
	for name, order := range map[string]struct {
		give func(*pinnable) error
		want string
	}{
		"pin": {func(p *pinnable) error {
			_, err := p.Pin(t.Context(), p.commits[0], p.order(time.Hour))
			return err
		}, "one"},
		"rollback": {func(p *pinnable) error {
			_, err := p.Rollback(t.Context(), p.order(time.Hour))
			return err
		}, "two"},
		"freeze": {func(p *pinnable) error {
			_, err := p.Freeze(p.order(time.Hour))
			return err
		}, "three"},
	} {
		for _, what := range []string{"fetch", "compilation", "pin"} {
			p := newPinnable(t)
			src := &slow{Git: p.src.(*source.Git)}
			var begun chan struct{} // of a compilation that does not end by itself; nil: they do
			p.log = &logs{}
			p.Keeper = newKeeper(src, p.log, stateDir(p.dir), p.clock.option, compiler(compile(func(ctx context.Context, tree fs.FS) (*schema.Catalog, schema.Diagnostics) {
				if begun != nil {
					wait := begun
					begun = nil // for the compilation that the order needs
					wait <- struct{}{}
					<-ctx.Done()
					return nil, nil
				}
				return schema.NewCompiler().Compile(ctx, tree)
			})))
			refresh(t, p.Keeper)
			runs := make(chan struct{})
			ended := make(chan error)
			switch what {
			case "fetch":
				src.begun = runs
				go func() { ended <- p.Refresh(t.Context()) }()
			case "compilation":
				p.repo.Commit(gittest.Commit{Files: site("four")})
				begun = runs
				go func() { ended <- p.Refresh(t.Context()) }()
			case "pin":
				begun = runs
				go func() { _, err := p.Pin(t.Context(), p.commits[1][:8], p.order(time.Hour)); ended <- err }()
			}
			<-runs
			src.begun = nil
			if err := order.give(p); err != nil {
				t.Fatalf("%s during a %s: %v", name, what, err)
			}
			if err := <-ended; (err == nil) != (what != "pin") {
				t.Errorf("%s: the %s ended with %v", name, what, err)
			}
			serves(t, p.Keeper, order.want)
			if hold := p.Status().Hold; hold == nil || hold.Revision.ID != p.Current().Revision.ID {
				t.Errorf("%s during a %s: holds %+v", name, what, hold)
			}
			if s := p.Status(); s.Failures > 0 || s.Refused != nil {
				t.Errorf("%s during a %s: an order counts as a fault: %+v", name, what, s)
			}
			refresh(t, p.Keeper)
			serves(t, p.Keeper, order.want)
		}
	}
}

func TestABrokerThatIsStoppedKeepsWhatTheSiteCameTo(t *testing.T) {
	src, dir := &fake{}, t.TempDir()
	src.set("one", tree(t, site("one")))
	ctx, cancel := context.WithCancel(t.Context())
	k := newKeeper(src, &logs{}, stateDir(dir), compiler(compile(func(ctx context.Context, tree fs.FS) (*schema.Catalog, schema.Diagnostics) {
		return schema.NewCompiler().Compile(ctx, tree)
	})), func(o *snapshot.Options) {
		o.Log = slog.New(stopAt{o.Log.Handler(), "revision serves", cancel})
	})
	if err := k.Refresh(ctx); !errors.Is(err, context.Canceled) {
		t.Fatal(err)
	}
	if _, err := os.Stat(filepath.Join(dir, readyName)); err != nil {
		t.Error(err)
	}
}

// stopAt calls a function at a record of that text.
type stopAt struct {
	slog.Handler
	text string
	stop func()
}

func (s stopAt) Handle(ctx context.Context, r slog.Record) error {
	if r.Message == s.text {
		s.stop()
	}
	return s.Handler.Handle(ctx, r)
}

func (s stopAt) WithAttrs(attrs []slog.Attr) slog.Handler {
	return stopAt{s.Handler.WithAttrs(attrs), s.text, s.stop}
}
