package verify_test

import (
	"slices"
	"strings"
	"testing"

	"github.com/go-git/go-git/v5/plumbing"
	"github.com/google/go-cmp/cmp"
	"golang.org/x/crypto/ssh"
	"pgregory.net/rapid"

	"github.com/x2broker/x2broker/broker/source/verify"
)

// drawFiles draws a tree of few paths, so that versions often agree; a path
// that is a file in one version is a directory in another.
func drawFiles(t *rapid.T, label string) files {
	f := files{"always": "there"}
	for _, paths := range [][]string{{"a", "a/b", "a/b/c"}, {"d/e", "d/e/f"}, {"g"}, {"d/h"}} {
		if path := rapid.SampledFrom(append(paths, "")).Draw(t, label); path != "" {
			f[path] = rapid.SampledFrom([]string{"1", "2", "exec:1"}).Draw(t, label)
		}
	}
	return f
}

// changedBy is what the page promises of a merge, said of lists of paths.
func changedBy(merge, ours, theirs, base files) []string {
	var out []string
	for _, path := range []string{"a", "a/b", "a/b/c", "d/e", "d/e/f", "d/h", "g"} {
		want, conflict := base[path], false
		switch {
		case ours[path] == theirs[path]:
			want = ours[path]
		case ours[path] == base[path]:
			want = theirs[path]
		case theirs[path] == base[path]:
			want = ours[path]
		default:
			conflict = true
		}
		if conflict || merge[path] != want {
			out = append(out, path)
		}
	}
	return out
}

// Each path has a signer of its own, so that a report says of each whether it
// was changed.
func TestWhatACommitChangesIsFoundInEveryTree(t *testing.T) {
	merges := 0
	rapid.Check(t, func(rt *rapid.T) {
		base := drawFiles(rt, "base")
		version := func(name string, known ...files) files { // often one of those before
			return rapid.SampledFrom(append(known, drawFiles(rt, name))).Draw(rt, name)
		}
		ours := version("ours", base)
		theirs := version("theirs", base)
		merge := version("merge", ours, theirs, base)
		r := newRepo(t)
		key := sshKey("merger")
		first := r.commit(commit{files: base})
		left := r.commit(commit{files: ours, parents: []plumbing.Hash{first}, subject: "left"})
		right := r.commit(commit{files: theirs, parents: []plumbing.Hash{first}, subject: "right"})
		tips := map[string]plumbing.Hash{
			"merge":  r.commit(commit{files: merge, parents: []plumbing.Hash{left, right}, sign: bySSH(t, key)}),
			"commit": r.commit(commit{files: merge, parents: []plumbing.Hash{left}, sign: bySSH(t, key)}),
			"first":  r.commit(commit{files: merge, sign: bySSH(t, key)}),
		}
		want := map[string][]string{
			"merge":  changedBy(merge, ours, theirs, base),
			"commit": changedBy(merge, ours, ours, ours),
			"first":  changedBy(merge, nil, nil, nil),
		}
		if len(want["merge"]) == 0 {
			merges++
		}
		for name, tip := range tips {
			var got []string
			for _, path := range []string{"a", "a/b", "a/b/c", "d/e", "d/e/f", "d/h", "g"} {
				v, err := verify.New(verify.Rules{
					Signers: []verify.Signer{{Principals: []string{"merger"}, Keys: verify.Keys{SSH: []ssh.PublicKey{key.PublicKey()}}}},
					Paths:   []verify.PathRule{{Paths: []string{path}}, {Paths: []string{"**"}, Signers: []string{"*"}}},
				})
				if err != nil {
					rt.Fatal(err)
				}
				report, err := v.Verify(t.Context(), verify.Storage(r.s), plumbing.ZeroHash, tip, now)
				if err != nil {
					rt.Fatal(err)
				}
				i := slices.IndexFunc(report.Commits, func(c verify.Commit) bool { return c.Hash == tip.String() })
				if c := report.Commits[i]; !c.Accepted && strings.Contains(c.Reason, "may not change "+path+" (rule 1)") {
					got = append(got, path)
				}
			}
			if diff := cmp.Diff(want[name], got); diff != "" {
				rt.Fatalf("%s: base %v, ours %v, theirs %v, merge %v (-want +got):\n%s", name, base, ours, theirs, merge, diff)
			}
		}
	})
	if merges == 0 {
		t.Error("no merge was one of whole files: this test would not fail")
	}
}
