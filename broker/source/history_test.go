package source_test

import (
	"strings"
	"testing"

	"github.com/x2broker/x2broker/broker/source"
	"github.com/x2broker/x2broker/broker/source/gittest"
)

func TestFindGivesCommitsOfTheHistoryOnly(t *testing.T) {
	repo := gittest.New(t)
	first := repo.Commit(gittest.Commit{Files: site("one"), Subject: "First"})
	last := repo.Commit(gittest.Commit{Files: site("two")})
	other := repo.Commit(gittest.Commit{Branch: "other", Files: site("three")})
	git := openGit(t, repo, "main").(*source.Git)
	if _, err := git.Find(t.Context(), first, source.Revision{ID: first}); err == nil {
		t.Error("found before anything was fetched")
	}
	tip, err := git.Fetch(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	gone := source.Revision{ID: strings.Repeat("1", 40)} // as after a rewritten history
	for _, id := range []string{first, first[:7], strings.ToUpper(first), last, last[:39]} {
		rev, err := git.Find(t.Context(), id, gone, tip, source.Revision{})
		if err != nil || !strings.HasPrefix(rev.ID, strings.ToLower(id)) || rev.Author != "Ada Admin" {
			t.Errorf("%s: %v, %v", id, rev, err)
		}
	}
	for _, id := range []string{"", first[:6], first + "0", "HEAD", "main~1", other, strings.Repeat("0", 40), "0000000"} {
		if rev, err := git.Find(t.Context(), id, gone, tip); err == nil {
			t.Errorf("%s: found %v", id, rev)
		}
	}
	// What was fetched and not given, as a commit without a good signature.
	for _, from := range [][]source.Revision{nil, {gone}, {{ID: first}}} {
		if rev, err := git.Find(t.Context(), last, from...); err == nil {
			t.Errorf("from %v: found %v", from, rev)
		}
	}
}
