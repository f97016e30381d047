package verify_test

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"sync"
	"testing"

	"github.com/go-git/go-git/v5/plumbing"
	"golang.org/x/crypto/ssh"

	"github.com/x2broker/x2broker/broker/source/verify"
)

func after(w *world, by signer, changes files) commit {
	return commit{files: with(changes), parents: []plumbing.Hash{w.first}, sign: by}
}

func TestACommitOfWhoMayIsAccepted(t *testing.T) {
	w := newWorld(t)
	w.accepts(w.first)
	w.accepts(w.commit(after(w, w.byAlice, files{"policy/access.rego": "new"})))
	c := after(w, w.byBob, files{"profiles/lab.cue": "new"})
	c.header = "encoding ISO-8859-1\n"
	c.email = "bob@example.edu"
	tip := w.commit(c)
	w.accepts(tip)
	report := w.verify(tip)
	if c := report.Commits[0]; c.Signer != "bob@example.edu" || c.Subject != "change" || !c.Accepted || c.Key != ssh.FingerprintSHA256(w.bob.PublicKey()) || len(c.Warnings) > 0 {
		t.Errorf("got %+v", c)
	}
}

func TestMalformedCommitsAreRefusedWhoeverSignedThem(t *testing.T) {
	tests := map[string]struct {
		change func(headers, signature string) string
		want   string
	}{
		"as it should be":           {func(h, s string) string { return h + s }, ""},
		"duplicated gpgsig":         {func(h, s string) string { return h + s + s }, "two headers gpgsig"},
		"gpgsig-sha256 beside":      {func(h, s string) string { return h + s + strings.Replace(s, "gpgsig", "gpgsig-sha256", 1) }, "has a signature gpgsig-sha256"},
		"gpgsig-sha256 alone":       {func(h, s string) string { return h + strings.Replace(s, "gpgsig", "gpgsig-sha256", 1) }, "has a signature gpgsig-sha256"},
		"gpgsigx":                   {func(h, s string) string { return h + s + "gpgsigx y\n" }, "has a signature gpgsigx"},
		"second tree":               {func(h, s string) string { return h + s + "tree " + strings.Repeat("1", 40) + "\n" }, "a second tree"},
		"second author":             {func(h, s string) string { return h + "author Eve <e@e> 1 +0000\n" + s }, "a second author"},
		"late parent":               {func(h, s string) string { return h + "parent " + strings.Repeat("1", 40) + "\n" + s }, "a second parent"},
		"two encodings":             {func(h, s string) string { return h + "encoding a\nencoding b\n" + s }, "two headers encoding"},
		"encoding of two lines":     {func(h, s string) string { return h + "encoding a\n b\n" + s }, "an encoding of two lines"},
		"NUL":                       {func(h, s string) string { return h + "x a\x00b\n" + s }, "a NUL byte"},
		"header without a value":    {func(h, s string) string { return h + "x\n" + s }, "a header that is no name and value"},
		"continuation of committer": {func(h, s string) string { return h + " more\n" + s }, "a header that is no name and value"},
		"author with two addresses": {func(h, s string) string { return strings.Replace(h, "<alice", "<x> <alice", 1) + s }, "no author in its place"},
		"author without a zone":     {func(h, s string) string { return strings.Replace(h, " +0100\ncommitter", "\ncommitter", 1) + s }, "no author in its place"},
		"no committer":              {func(h, s string) string { return strings.Replace(h, "\ncommitter", "\ncommit-ter", 1) + s }, "no committer in its place"},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			w := newWorld(t)
			headers, message := w.text(after(w, nil, nil))
			signature := signatureHeader("gpgsig", w.byBob([]byte(headers+message)))
			tip := w.raw(plumbing.CommitObject, []byte(test.change(headers, signature)+message))
			if test.want == "" {
				w.accepts(tip)
				return
			}
			w.refuses(tip, test.want)
		})
	}
}

func TestAHugeCommitIsRefused(t *testing.T) {
	w := newWorld(t)
	c := after(w, w.byBob, nil)
	c.subject = strings.Repeat("x", 1<<20)
	w.refuses(w.commit(c), "more than 1048576: write less into its message")
}

func TestPathRules(t *testing.T) {
	tests := map[string]struct {
		changes files
		want    string
	}{
		"his own":                      {files{"profiles/lab.cue": "new", "new.cue": "x"}, ""},
		"another's":                    {files{"policy/access.rego": "new"}, `is signed by bob@example.edu, who may not change policy/access.rego (rule 1): ask alice@example.edu`},
		"another's, removed":           {files{"policy/access.rego": ""}, `policy/access.rego (rule 1)`},
		"another's, moved away":        {files{"policy/access.rego": "", "profiles/access.rego": "old"}, `policy/access.rego (rule 1)`},
		"his own, moved there":         {files{"profiles/lab.cue": "", "policy/a/lab.cue": "lab"}, `policy/a/lab.cue (rule 1)`},
		"another's, now executable":    {files{"policy/access.rego": "exec:old"}, `policy/access.rego (rule 1)`},
		"another's, now a link":        {files{"policy/access.rego": "link:old"}, `policy/access.rego (rule 1)`},
		"another's, now a submodule":   {files{"policy/access.rego": "module:old"}, `policy/access.rego (rule 1)`},
		"another's directory, a link":  {files{"policy/access.rego": "", "policy": "link:profiles"}, `policy/access.rego (rule 1)`},
		"another's file, a directory":  {files{"policy/access.rego": "", "policy/access.rego/x": "y"}, `policy/access.rego (rule 1)`},
		"a name that means a terminal": {files{"policy/\x1b[2J": "x"}, "policy/\uFFFD[2J (rule 1)"},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			w := newWorld(t)
			tip := w.commit(after(w, w.byBob, test.changes))
			if test.want == "" {
				w.accepts(tip)
				return
			}
			w.refuses(tip, test.want)
			w.accepts(w.commit(after(w, w.byAlice, test.changes)))
		})
	}
}

func TestATreeThatCanBeReadInTwoWaysIsRefused(t *testing.T) {
	w := newWorld(t)
	blob := w.raw(plumbing.BlobObject, []byte("x"))
	for name, tree := range map[string]string{
		"the name \"a\" twice":       entry("100644", "a", blob) + entry("100755", "a", blob),
		"the name \"..\"":            entry("100644", "..", blob),
		"the name \".GIT\"":          entry("100644", ".GIT", blob),
		"the name \"a/b\"":           entry("100644", "a/b", blob),
		"an entry of no known kind":  entry("040000", "a", w.tree(firstFiles)),
		"an entry without an end":    entry("100644", "a", blob)[:20],
		"nothing under the name \"a": entry("40000", "a", plumbing.ZeroHash),
	} {
		c := after(w, w.byAlice, nil)
		c.tree = w.raw(plumbing.TreeObject, []byte(tree))
		w.refuses(w.commit(c), "has "+name)
	}
}

func TestEveryCommitSinceTheAcceptedOneCounts(t *testing.T) {
	w := newWorld(t)
	bad := w.commit(after(w, nil, files{"profiles/lab.cue": "bad"}))
	good := w.commit(commit{files: firstFiles, parents: []plumbing.Hash{bad}, sign: w.byAlice})
	w.refuses(good, "is not signed")
	report := w.verify(good)
	if len(report.Commits) != 2 || report.Commits[0].Hash != bad.String() || report.Refused() != 1 {
		t.Errorf("got %+v", report)
	}
}

func TestSinceIsTheRootOfTrust(t *testing.T) {
	w := newWorld(t)
	tip := w.commit(after(w, w.byAlice, nil))
	refused := func(want string) {
		t.Helper()
		report, err := w.try(plumbing.ZeroHash, tip)
		if err != nil {
			t.Fatal(err)
		}
		if err := report.Err(); (err == nil) != (want == "") || err != nil && !strings.Contains(err.Error(), want) {
			t.Errorf("got  %v\nwant %s", err, want)
		}
	}
	refused(`"Begin" is not signed`) // without since nothing is trusted
	w.rules.Since = w.first
	refused("")
	other := w.commit(commit{files: files{"a": "b"}, subject: "Elsewhere"})
	w.rules.Since = other
	refused("does not descend from verify.since")
	w.rules.Since = plumbing.NewHash(strings.Repeat("12", 20))
	if _, err := w.try(plumbing.ZeroHash, tip); err == nil || !strings.Contains(err.Error(), "verify.since 1212121212121212121212121212121212121212 is not in the repository") {
		t.Errorf("got %v", err)
	}
}

func TestSinceGetsPastACommitThatWasRefused(t *testing.T) {
	w := newWorld(t)
	bad := w.commit(after(w, nil, files{"profiles/lab.cue": "bad"}))
	tip := w.commit(commit{files: firstFiles, parents: []plumbing.Hash{bad}, sign: w.byAlice})
	w.refuses(tip, "is not signed")
	w.rules.Since = bad
	w.accepts(tip)
}

func TestAHistoryThatWasRewrittenIsRefused(t *testing.T) {
	w := newWorld(t)
	second := w.commit(after(w, w.byAlice, files{"policy/access.rego": "stricter"}))
	instead := w.commit(after(w, w.byAlice, files{"policy/access.rego": "other"}))
	try := func(accepted, tip plumbing.Hash, want string) {
		t.Helper()
		report, err := w.try(accepted, tip)
		if err != nil {
			t.Fatal(err)
		}
		if err := report.Err(); (err == nil) != (want == "") || err != nil && !strings.Contains(err.Error(), want) {
			t.Errorf("got  %v\nwant %s", err, want)
		}
	}
	gone := plumbing.NewHash(strings.Repeat("12", 20))
	try(second, instead, "does not descend from "+second.String()[:10]+", which was accepted last")
	try(second, w.first, "the history was rewritten") // taken back
	try(gone, instead, "commit 1212121212, which was accepted last, is gone")

	w.rules.Since = w.first // an old since does not open the door
	try(second, instead, "the history was rewritten")
	try(second, w.first, "") // but naming the very tip does
	try(gone, instead, "is gone")
	w.rules.Since = instead
	try(second, instead, "")
	try(gone, instead, "")
	try(second, w.commit(commit{files: firstFiles, parents: []plumbing.Hash{instead}, sign: w.byBob}), "bob@example.edu, who may not change policy/access.rego")

	w.rules.Since, w.rules.AllowRewrite = plumbing.ZeroHash, true
	try(second, instead, "")
	try(second, w.first, "")
	unsigned := w.commit(after(w, nil, files{"a": "b"}))
	try(second, unsigned, "is not signed")
	try(gone, instead, `"Begin" is not signed`) // nothing is accepted any more
}

func TestAMissingObjectDecidesNothing(t *testing.T) {
	w := newWorld(t)
	tip := w.commit(commit{files: firstFiles, parents: []plumbing.Hash{plumbing.NewHash(strings.Repeat("12", 20))}, sign: w.byAlice})
	_, err := w.try(w.first, tip)
	if !errors.Is(err, plumbing.ErrObjectNotFound) || !strings.Contains(err.Error(), "git fetch --unshallow") {
		t.Errorf("got %v", err)
	}
	c := after(w, w.byBob, nil)
	c.tree = plumbing.NewHash(strings.Repeat("34", 20))
	if _, err := w.try(w.first, w.commit(c)); !errors.Is(err, plumbing.ErrObjectNotFound) {
		t.Errorf("got %v", err)
	}
}

func TestAnObjectMustHaveItsHash(t *testing.T) {
	w := newWorld(t)
	tip := w.commit(after(w, w.byAlice, nil))
	w.s.Objects[tip] = w.s.Objects[w.first] // a store that lies
	if _, err := w.try(w.first, tip); err == nil || !strings.Contains(err.Error(), "does not have this hash") {
		t.Errorf("got %v", err)
	}
	huge := &plumbing.MemoryObject{}
	huge.SetType(plumbing.CommitObject)
	huge.SetSize(1 << 30)
	w.s.Objects[tip] = huge
	if _, err := w.try(w.first, tip); err == nil || !strings.Contains(err.Error(), "has more than 16777216 bytes") {
		t.Errorf("got %v", err)
	}
}

func TestDirectoriesThatAreTooDeepAreRefused(t *testing.T) {
	w := newWorld(t)
	w.accepts(w.commit(after(w, w.byAlice, files{strings.Repeat("d/", 90) + "x": "y"})))
	w.refuses(w.commit(after(w, w.byAlice, files{strings.Repeat("d/", 120) + "x": "y"})), "has directories more than 100 deep")
}

func TestATagIsNoCommit(t *testing.T) {
	w := newWorld(t)
	tag := w.raw(plumbing.TagObject, []byte(fmt.Sprintf("object %s\ntype commit\ntag v1\ntagger A <a@b> 1 +0000\n\nv1\n", w.first)))
	if _, err := w.try(w.first, tag); err == nil || !strings.Contains(err.Error(), "is a tag, not a commit") {
		t.Errorf("got %v", err)
	}
}

func TestTenThousandCommitsAreTheMost(t *testing.T) {
	w := newWorld(t)
	tip := w.first
	tree := w.tree(firstFiles)
	for i := range verify.MaxCommits {
		tip = w.commit(commit{tree: tree, parents: []plumbing.Hash{tip}, subject: fmt.Sprint(i), sign: w.byAlice})
	}
	w.accepts(tip)
	more := w.commit(commit{tree: tree, parents: []plumbing.Hash{tip}, sign: w.byAlice})
	if _, err := w.try(w.first, more); err == nil || !strings.Contains(err.Error(), "10001 commits are not accepted yet, more than 10000") {
		t.Errorf("got %v", err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	v, err := verify.New(w.rules)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := v.Verify(ctx, verify.Storage(w.s), w.first, tip, now); !errors.Is(err, context.Canceled) {
		t.Errorf("cancelled: got %v", err)
	}
}

func TestACommitterOfAnotherNameIsWarnedOf(t *testing.T) {
	w := newWorld(t)
	report := w.verify(w.commit(after(w, w.byBob, nil)))
	if got := report.Commits[0].Warnings; len(got) != 1 || got[0] != "its committer calls himself alice@example.edu, but the key is of bob@example.edu" {
		t.Errorf("got %q", got)
	}
}

func TestAVerifierCanBeUsedByManyAtOnce(t *testing.T) {
	w := newWorld(t)
	main, branch := sides(w)
	tip := w.commit(commit{files: with(merged), parents: []plumbing.Hash{main, branch}, sign: w.byForge})
	v, err := verify.New(w.rules)
	if err != nil {
		t.Fatal(err)
	}
	var group sync.WaitGroup
	for range 8 {
		group.Go(func() {
			report, err := v.Verify(t.Context(), verify.Storage(w.s), w.first, tip, now)
			if err != nil || report.Err() != nil || len(report.Commits) != 3 {
				t.Errorf("got %+v, %v", report, err)
			}
		})
	}
	group.Wait()
}
