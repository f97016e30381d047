package source

import (
	"strings"
	"testing"

	"github.com/go-git/go-git/v5/plumbing"

	"github.com/x2broker/x2broker/broker/source/gittest"
)

func TestTheBeginningOfTwoCommitsIsNoName(t *testing.T) {
	repo := gittest.New(t)
	var tip string
	for i := range 17 { // of 17 commits two begin with the same digit
		tip = repo.Commit(gittest.Commit{Files: map[string]string{"site.cue": strings.Repeat("x", i)}})
	}
	src, err := Open(Config{URL: repo.URL(), StoreDir: t.TempDir()})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := src.Fetch(t.Context()); err != nil {
		t.Fatal(err)
	}
	tips := []plumbing.Hash{plumbing.NewHash(tip)}
	ambiguous := 0
	err = withStore(src.(*Git).dir, false, func(s *store) error {
		for _, digit := range "0123456789abcdef" {
			if _, err := s.find(t.Context(), tips, string(digit)); err != nil && strings.Contains(err.Error(), "give more digits") {
				ambiguous++
			}
		}
		return nil
	})
	if err != nil || ambiguous == 0 {
		t.Errorf("%v, %d digits are ambiguous", err, ambiguous)
	}
}
