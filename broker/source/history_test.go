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
	if _, err := git.Find(t.Context(), first); err == nil {
		t.Error("found before anything was fetched")
	}
	if _, err := git.Fetch(t.Context()); err != nil {
		t.Fatal(err)
	}
	for _, id := range []string{first, first[:7], strings.ToUpper(first), last, last[:39]} {
		rev, err := git.Find(t.Context(), id)
		if err != nil || !strings.HasPrefix(rev.ID, strings.ToLower(id)) || rev.Author != "Ada Admin" {
			t.Errorf("%s: %v, %v", id, rev, err)
		}
	}
	for _, id := range []string{"", first[:6], first + "0", "HEAD", "main~1", other, strings.Repeat("0", 40), "0000000"} {
		if rev, err := git.Find(t.Context(), id); err == nil {
			t.Errorf("%s: found %v", id, rev)
		}
	}
}
