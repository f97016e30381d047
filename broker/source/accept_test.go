package source_test

import (
	"bytes"
	"context"
	"errors"
	"os"
	"path/filepath"
	"testing"

	"github.com/go-git/go-git/v5/plumbing"
	gocmp "github.com/google/go-cmp/cmp"

	"github.com/x2broker/x2broker/broker/source"
	"github.com/x2broker/x2broker/broker/source/gittest"
)

// A court is a judge whose rules change: what they do not like is refused.
type court struct {
	dislikes string // in the message of a commit or of one before it; "" for nothing
	asked    []string
}

func (c *court) config(url, dir, rules string) source.Config {
	look := func(ctx context.Context, objects *source.Objects, until, commit plumbing.Hash) error {
		for commit != until && !commit.IsZero() {
			raw, err := objects.Object(plumbing.CommitObject, commit)
			if err != nil {
				return err
			}
			if c.dislikes != "" && bytes.Contains(raw, []byte(c.dislikes)) {
				return errors.New("it is by " + c.dislikes)
			}
			_, parent, is := bytes.Cut(raw, []byte("\nparent "))
			if commit = plumbing.ZeroHash; is {
				commit = plumbing.NewHash(string(parent[:40]))
			}
		}
		return nil
	}
	return source.Config{
		URL: url, StoreDir: dir, Rules: rules,
		Verify: func(ctx context.Context, objects *source.Objects, from, to plumbing.Hash) error {
			c.asked = append(c.asked, "verify "+from.String()[:7]+" "+to.String()[:7])
			return look(ctx, objects, from, to)
		},
		Recheck: func(ctx context.Context, objects *source.Objects, commit plumbing.Hash) error {
			c.asked = append(c.asked, "recheck "+commit.String()[:7])
			return look(ctx, objects, plumbing.ZeroHash, commit)
		},
	}
}

func TestOtherRulesAreAskedAboutWhatWasAccepted(t *testing.T) {
	repo, dir, c := gittest.New(t), t.TempDir(), &court{}
	const none = "0000000"
	ada := repo.Commit(gittest.Commit{Files: site("1"), Subject: "ada"})
	fetch(t, open(t, c.config(repo.URL(), dir, "one")))
	bob := repo.Commit(gittest.Commit{Files: site("2"), Subject: "bob"})
	fetch(t, open(t, c.config(repo.URL(), dir, "one")))
	var src source.Source
	expect := func(what string, want ...string) {
		t.Helper()
		if diff := gocmp.Diff(want, c.asked); diff != "" {
			t.Errorf("%s: asked (-want +got):\n%s", what, diff)
		}
		c.asked = nil
	}
	accepts := func(id string, want bool) {
		t.Helper()
		err := src.(*source.Git).Accepts(t.Context(), source.Revision{ID: id})
		refused := new(source.UnverifiedError)
		if want && err != nil || !want && !errors.As(err, &refused) {
			t.Errorf("commit %s: %v", id, err)
		}
	}
	expect("at first", "verify "+none+" "+ada[:7], "verify "+ada[:7]+" "+bob[:7])

	src = open(t, c.config(repo.URL(), dir, "one"))
	accepts(bob, true)
	accepts(ada, true)
	expect("by the same rules")

	src = open(t, c.config(repo.URL(), dir, "two"))
	accepts(ada, true)
	fetch(t, src)
	expect("by other rules", "recheck "+bob[:7], "verify "+bob[:7]+" "+bob[:7])
	src = open(t, c.config(repo.URL(), dir, "two"))
	accepts(bob, true)
	expect("by the same again")

	c.dislikes = "bob"
	src = open(t, c.config(repo.URL(), dir, "three"))
	accepts(bob, false)
	accepts(ada, true)
	if _, err := src.Fetch(t.Context()); err == nil {
		t.Error("what the new rules refuse is given")
	}
	expect("by rules that refuse it", "recheck "+bob[:7], "recheck "+bob[:7], "recheck "+ada[:7], "verify "+none+" "+bob[:7])

	third := repo.Commit(gittest.Commit{Files: site("3"), Subject: "ada again"})
	if _, err := src.Fetch(t.Context()); err == nil {
		t.Error("a commit above what the new rules refuse is given")
	}
	repo.Branch("main", ada)
	clean := repo.Commit(gittest.Commit{Files: site("3"), Subject: "ada once more"})
	fetch(t, src)
	expect("a branch without it", "verify "+none+" "+third[:7], "verify "+none+" "+clean[:7])
	accepts(clean, true)
	accepts(bob, false)
	expect("what is not before it", "verify "+clean[:7]+" "+bob[:7])

	if err := os.RemoveAll(filepath.Join(dir, "site.git")); err != nil {
		t.Fatal(err)
	}
	refused := new(source.UnverifiedError)
	if err := open(t, c.config(repo.URL(), dir, "four")).(*source.Git).Accepts(t.Context(), source.Revision{ID: clean}); err == nil || errors.As(err, &refused) {
		t.Errorf("without a store: %v", err)
	}
}
