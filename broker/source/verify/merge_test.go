package verify_test

import (
	"fmt"
	"strings"
	"testing"

	"github.com/go-git/go-git/v5/plumbing"

	"github.com/x2broker/x2broker/broker/source/verify"
)

// sides are two branches from the first commit: alice has changed the policy
// on one, bob his profile on the other.
func sides(w *world) (main, branch plumbing.Hash) {
	main = w.commit(after(w, w.byAlice, files{"policy/access.rego": "new"}))
	branch = w.commit(after(w, w.byBob, files{"profiles/lab.cue": "new"}))
	return main, branch
}

var merged = files{"policy/access.rego": "new", "profiles/lab.cue": "new"}

func TestMerges(t *testing.T) {
	tests := map[string]struct {
		by      func(w *world) signer
		changes files
		want    string
	}{
		"by a forge":                      {func(w *world) signer { return w.byForge }, merged, ""},
		"by somebody without the policy":  {func(w *world) signer { return w.byBob }, merged, ""},
		"unsigned":                        {func(*world) signer { return nil }, merged, "is not signed"},
		"by a stranger":                   {func(w *world) signer { return w.byMally }, merged, "nobody's among the signers"},
		"evil, by a forge":                {func(w *world) signer { return w.byForge }, files{"policy/access.rego": "new", "profiles/lab.cue": "evil"}, "is a merge signed by the forge github, which may change nothing itself, but profiles/lab.cue is"},
		"evil, a new file, by a forge":    {func(w *world) signer { return w.byForge }, files{"policy/access.rego": "new", "profiles/lab.cue": "new", "x.cue": "x"}, "but x.cue is"},
		"evil, a file less, by a forge":   {func(w *world) signer { return w.byForge }, files{"policy/access.rego": "new", "profiles/lab.cue": ""}, "but profiles/lab.cue is"},
		"evil, of his own files":          {func(w *world) signer { return w.byBob }, files{"policy/access.rego": "new", "profiles/lab.cue": "other"}, ""},
		"evil, of the policy":             {func(w *world) signer { return w.byBob }, files{"policy/access.rego": "evil", "profiles/lab.cue": "new"}, "is a merge signed by bob@example.edu, who may not change policy/access.rego (rule 1)"},
		"that takes the policy back":      {func(w *world) signer { return w.byBob }, files{"profiles/lab.cue": "new"}, "who may not change policy/access.rego (rule 1)"},
		"that takes it back, by a forge":  {func(w *world) signer { return w.byForge }, files{"profiles/lab.cue": "new"}, "but policy/access.rego is"},
		"that takes it back, by who may":  {func(w *world) signer { return w.byAlice }, files{"profiles/lab.cue": "new"}, ""},
		"that drops a side's directories": {func(w *world) signer { return w.byForge }, files{"policy/access.rego": "", "profiles/lab.cue": "new"}, "but policy/access.rego is"},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			for _, swap := range []bool{false, true} {
				w := newWorld(t)
				main, branch := sides(w)
				if swap {
					main, branch = branch, main
				}
				tip := w.commit(commit{files: with(test.changes), parents: []plumbing.Hash{main, branch}, sign: test.by(w)})
				if test.want == "" {
					w.accepts(tip)
				} else {
					w.refuses(tip, test.want)
				}
			}
		})
	}
}

func TestAForgeMayOnlyMergeAlsoWithoutPathRules(t *testing.T) {
	w := newWorld(t)
	w.rules.Paths = nil
	main, branch := sides(w)
	merge := commit{files: with(merged), parents: []plumbing.Hash{main, branch}, sign: w.byForge}
	w.accepts(w.commit(merge))
	merge.files["policy/access.rego"] = "evil"
	w.refuses(w.commit(merge), "but policy/access.rego is")
}

func TestAMergeOfBranchesWithTooManyBasesIsRefused(t *testing.T) {
	w := newWorld(t)
	var bases []plumbing.Hash
	for i := range 9 {
		bases = append(bases, w.commit(commit{files: firstFiles, subject: fmt.Sprint(i), parents: []plumbing.Hash{w.first}}))
	}
	left := w.commit(commit{files: firstFiles, parents: bases, subject: "left"})
	right := w.commit(commit{files: firstFiles, parents: bases, subject: "right"})
	report := w.verify(w.commit(commit{files: firstFiles, parents: []plumbing.Hash{left, right}, sign: w.byAlice}))
	if last := report.Commits[len(report.Commits)-1]; !strings.Contains(last.Reason, "two branches with 9 common points") {
		t.Errorf("got %+v", last)
	}
}

func TestWhatAMergeBringsIsHeldAgainstTheRules(t *testing.T) {
	w := newWorld(t)
	main := w.commit(after(w, w.byAlice, files{"policy/access.rego": "new"}))
	for by, want := range map[string]struct {
		sign signer
		want string
	}{
		"nobody":     {nil, "is not signed"},
		"a stranger": {w.byMally, "nobody's among the signers"},
		"the forge":  {w.byForge, "which may only merge: make the change in a commit of your own"},
		"bob":        {w.byBob, "bob@example.edu, who may not change policy/x.rego"},
	} {
		branch := w.commit(after(w, want.sign, files{"policy/x.rego": "x"}))
		tip := w.commit(commit{files: with(files{"policy/access.rego": "new", "policy/x.rego": "x"}), parents: []plumbing.Hash{main, branch}, sign: w.byForge})
		t.Run(by, func(*testing.T) { w.refuses(tip, want.want) })
	}
}

func TestAConflictIsAChangeByWhoMerges(t *testing.T) {
	w := newWorld(t)
	main := w.commit(after(w, w.byAlice, files{"profiles/lab.cue": "of alice"}))
	branch := w.commit(after(w, w.byBob, files{"profiles/lab.cue": "of bob"}))
	for _, result := range []string{"of alice", "of bob", "of both"} {
		merge := commit{files: with(files{"profiles/lab.cue": result}), parents: []plumbing.Hash{main, branch}, sign: w.byBob}
		w.accepts(w.commit(merge))
		merge.sign = w.byForge
		w.refuses(w.commit(merge), "but profiles/lab.cue is")
	}
}

func TestAnOctopusMergeIsRefused(t *testing.T) {
	w := newWorld(t)
	main, branch := sides(w)
	third := w.commit(after(w, w.byAlice, files{"x.cue": "x"}))
	tip := w.commit(commit{files: with(merged), parents: []plumbing.Hash{main, branch, third}, sign: w.byAlice})
	w.refuses(tip, "is a merge of 3 commits at once: merge one after the other")
}

// A branch that began while the policy was other must not bring that back,
// although the newer policy is that of a still older common ancestor.
func TestTheMergeBaseIsTheNewestWhateverTheDatesSay(t *testing.T) {
	w := newWorld(t)
	loose := w.commit(after(w, w.byAlice, files{"policy/access.rego": "loose"}))
	strict := w.commit(commit{files: firstFiles, parents: []plumbing.Hash{loose}, sign: w.byAlice})
	branch := w.commit(commit{files: with(files{"policy/access.rego": "loose", "profiles/lab.cue": "new"}), parents: []plumbing.Hash{loose}, sign: w.byBob})
	parents := []plumbing.Hash{strict, branch}
	w.accepts(w.commit(commit{files: with(files{"profiles/lab.cue": "new"}), parents: parents, sign: w.byForge}))
	w.refuses(w.commit(commit{files: with(files{"policy/access.rego": "loose", "profiles/lab.cue": "new"}), parents: parents, sign: w.byForge}), "but policy/access.rego is")
}

func TestBranchesThatWereMergedCrosswise(t *testing.T) {
	w := newWorld(t)
	main, branch := sides(w)
	one := w.commit(commit{files: with(merged), parents: []plumbing.Hash{main, branch}, sign: w.byBob})
	two := w.commit(commit{files: with(merged), parents: []plumbing.Hash{branch, main}, sign: w.byAlice})
	three := w.commit(commit{files: with(files{"policy/access.rego": "newer", "profiles/lab.cue": "new"}), parents: []plumbing.Hash{two}, sign: w.byAlice})
	// Two bases, and the policy is new on one of them: nobody can tell what is right.
	tip := commit{files: with(files{"policy/access.rego": "newer", "profiles/lab.cue": "new"}), parents: []plumbing.Hash{one, three}, sign: w.byBob}
	w.refuses(w.commit(tip), "who may not change policy/access.rego")
	tip.sign = w.byAlice
	w.accepts(w.commit(tip))
}

func TestHistoriesWithoutACommonCommit(t *testing.T) {
	w := newWorld(t)
	other := w.commit(commit{files: files{"other.cue": "x"}, sign: w.byBob})
	tip := commit{files: with(files{"other.cue": "x"}), parents: []plumbing.Hash{w.first, other}, sign: w.byForge}
	w.accepts(w.commit(tip))
	sneaky := w.commit(commit{files: files{"policy/access.rego": "evil"}, sign: w.byBob})
	tip.parents[1] = sneaky
	w.refuses(w.commit(tip), "who may not change policy/access.rego")
}

func TestAForgeThatMayEditNeedsARule(t *testing.T) {
	w := newWorld(t)
	w.rules.Forges[0].MayEdit = true
	tip := w.commit(after(w, w.byForge, files{"profiles/lab.cue": "new"}))
	w.refuses(tip, "is signed by the forge github, which may not change profiles/lab.cue (rule 2)")
	w.rules.Paths = []verify.PathRule{
		{Paths: []string{"profiles/**"}, Signers: []string{"*", "forge:github"}},
		{Paths: []string{"**"}, Signers: []string{"alice@example.edu"}},
	}
	w.accepts(tip)
	w.refuses(w.commit(after(w, w.byForge, files{"policy/access.rego": "new"})), "which may not change policy/access.rego (rule 2): ask alice@example.edu")
	w.rules.Paths = nil
	w.accepts(tip)
}

func TestARuleForOneForgeIsForNoOther(t *testing.T) {
	w := newWorld(t)
	other := pgpKey(t, nil)
	w.rules.Forges[0].MayEdit = true
	w.rules.Forges = append(w.rules.Forges, verify.Forge{Name: "other", MayEdit: true, Keys: verify.Keys{OpenPGP: public(t, other)}})
	w.rules.Paths = []verify.PathRule{{Paths: []string{"**"}, Signers: []string{"forge:github"}}}
	w.accepts(w.commit(after(w, w.byForge, files{"x.cue": "x"})))
	w.refuses(w.commit(after(w, byOpenPGP(t, other, nil), files{"x.cue": "x"})), "the forge other, which may not change x.cue")
}

func TestAMergeOfASignedTagIsAccepted(t *testing.T) {
	w := newWorld(t)
	main, branch := sides(w)
	tag := "mergetag object " + branch.String() + "\n type commit\n tag v1\n tagger A <a@b> 1 +0000\n \n v1\n"
	c := commit{files: with(merged), parents: []plumbing.Hash{main, branch}, header: tag + tag, sign: w.byAlice}
	w.accepts(w.commit(c))
}
