package verify

import (
	"bytes"
	"encoding/binary"
	"io"
	"strings"
	"testing"
	"time"

	"github.com/go-git/go-git/v5/plumbing"
	"github.com/go-git/go-git/v5/plumbing/object"
	"github.com/go-git/go-git/v5/storage/memory"
	"github.com/google/go-cmp/cmp"
	"golang.org/x/crypto/ssh"
	"pgregory.net/rapid"
)

const (
	headerTree      = "tree 0123456789012345678901234567890123456789\n"
	headerParent    = "parent 1123456789012345678901234567890123456789\n"
	headerAuthor    = "author Ada <ada@example.edu> 1767610800 +0100\n"
	headerCommitter = "committer Bob <bob@example.edu> 1767610801 -0830\n"
	headerSignature = "gpgsig -----BEGIN SSH SIGNATURE-----\n AAAA\n -----END SSH SIGNATURE-----\n"
)

// readAlike fails if go-git makes something else of a commit that is accepted.
func readAlike(t interface{ Fatalf(string, ...any) }, data []byte) (accepted bool) {
	c, err := parseCommit(data)
	if err != nil {
		return false
	}
	o := &plumbing.MemoryObject{}
	o.SetType(plumbing.CommitObject)
	_, _ = o.Write(data)
	var theirs object.Commit
	if err := theirs.Decode(o); err != nil {
		t.Fatalf("go-git does not read it: %v\n%q", err, data)
	}
	unsigned := &plumbing.MemoryObject{}
	if err := theirs.EncodeWithoutSignature(unsigned); err != nil {
		t.Fatalf("go-git: %v", err)
	}
	r, err := unsigned.Reader()
	if err != nil {
		t.Fatalf("go-git: %v", err)
	}
	payload, err := io.ReadAll(r)
	if err != nil {
		t.Fatalf("go-git: %v", err)
	}
	type view struct {
		Tree                              plumbing.Hash
		Parents                           []plumbing.Hash
		Message, Signature, Payload       string
		Author, Email, Committer, ByEmail string
	}
	parents, err := parentsOf(data)
	if err != nil {
		t.Fatalf("the history does not read it: %v\n%q", err, data)
	}
	ours := view{c.tree, c.parents, c.message, c.signature, string(c.payload), c.author.name, c.author.email, c.committer.name, c.committer.email}
	want := view{
		theirs.TreeHash, theirs.ParentHashes, theirs.Message, strings.TrimSuffix(theirs.PGPSignature, "\n"), string(payload),
		theirs.Author.Name, theirs.Author.Email, theirs.Committer.Name, theirs.Committer.Email,
	}
	if diff := cmp.Diff(want, ours); diff != "" {
		t.Fatalf("%q\n(-go-git +ours):\n%s", data, diff)
	}
	if diff := cmp.Diff(want.Parents, parents); diff != "" {
		t.Fatalf("%q\nhistory (-go-git +ours):\n%s", data, diff)
	}
	return true
}

func FuzzCommitsAreReadAsGoGitReadsThem(f *testing.F) {
	for _, headers := range []string{
		headerTree + headerAuthor + headerCommitter,
		headerTree + headerParent + headerParent + headerAuthor + headerCommitter + headerSignature,
		headerTree + headerAuthor + headerCommitter + "encoding x\n" + headerSignature + "mergetag a\n b\n \nmergetag c\nHG:x y\n",
		headerTree + headerAuthor + headerAuthor + headerCommitter,
		headerTree + headerAuthor + headerCommitter + headerSignature + headerSignature,
		headerTree + headerAuthor + headerCommitter + "gpgsig-sha256 x\n y\n",
	} {
		f.Add([]byte(headers + "\nsubject\n\nbody\n"))
	}
	f.Fuzz(func(t *testing.T, data []byte) { readAlike(t, data) })
}

// Random bytes are hardly ever a commit; headers in a random order often are.
func TestCommitsAreReadAsGoGitReadsThem(t *testing.T) {
	accepted := 0
	rapid.Check(t, func(t *rapid.T) {
		extra := rapid.SampledFrom([]string{
			headerSignature, headerSignature, headerSignature, "encoding latin1\n", "mergetag x\n y\n \n z\n", "HG:extra a\n b\n",
			"change-id xyz\n", headerTree, headerParent, headerAuthor, headerCommitter, " more\n", "x\n", "x \n", "gpgsig-sha256 a\n b\n", "gpgsig\n", "gpgsigx y\n", "\n", "y z\r\n", "=\n",
		})
		lines := rapid.SliceOfN(extra, 0, 4).Draw(t, "extra")
		head := headerTree
		if rapid.Bool().Draw(t, "parent") {
			head += headerParent
		}
		author := rapid.SampledFrom([]string{headerAuthor, headerAuthor, headerAuthor, "author  <> 1 +0000\n", "author A  B <a b> 1 +0000\n", "author <a> 1 +0000\n", "author A <a> -1 +0000\n", "author A <a> 1 +000\n", "author A < a > 1 +0000\n", "author A<a> 1 +0000\n"}).Draw(t, "author")
		message := rapid.SampledFrom([]string{"\n", "\nsubject\n", "\n\n\nx", "", "\ngpgsig x\n"}).Draw(t, "message")
		if readAlike(t, []byte(head+author+headerCommitter+strings.Join(lines, "")+message)) {
			accepted++
		}
	})
	if accepted == 0 {
		t.Error("no commit was accepted: this test would not fail")
	}
}

func FuzzAllowedSigners(f *testing.F) {
	const key = "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAINW/Sj/M5xewOIvMJ0nrwUitmWmyP0XuG2Bf1Yd4V2rE"
	f.Add([]byte("a@b " + key + "\n# x\nc@d,*@e namespaces=\"git,file\",valid-after=20260101Z " + key + " comment\n"))
	f.Add([]byte("a@b valid-before=\"202601010101\" " + key))
	f.Fuzz(func(t *testing.T, data []byte) {
		signers, err := ParseAllowedSigners(data, time.UTC)
		if err != nil {
			return
		}
		for _, s := range signers {
			if len(s.Principals) == 0 || s.Principals[0] == "" || len(s.Keys.SSH) != 1 {
				t.Errorf("accepted without principal or key: %+v", s)
			}
			// Its key stands in the file as it was read.
			text := bytes.TrimSpace(ssh.MarshalAuthorizedKey(s.Keys.SSH[0]))
			_, body, _ := bytes.Cut(text, []byte(" "))
			if !bytes.Contains(data, body) {
				t.Errorf("key %s is not in %q", text, data)
			}
		}
	})
}

// graph draws a history of commits, each with parents of lower numbers.
func graph(t *rapid.T) *history {
	h := &history{}
	for i := range rapid.IntRange(1, 14).Draw(t, "commits") {
		var n node
		if i > 0 {
			n.parents = rapid.SliceOfNDistinct(rapid.IntRange(0, i-1), 0, min(i, 3), rapid.ID[int]).Draw(t, "parents")
		}
		h.nodes = append(h.nodes, n)
	}
	return h
}

func TestMergeBasesAreTheBestCommonAncestors(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		h := graph(t)
		a := rapid.IntRange(0, len(h.nodes)-1).Draw(t, "a")
		b := rapid.IntRange(0, len(h.nodes)-1).Draw(t, "b")
		var common, want []int
		for i := range h.nodes {
			if h.contains(a, i) && h.contains(b, i) {
				common = append(common, i)
			}
		}
		for i := len(common) - 1; i >= 0; i-- {
			best := true
			for _, other := range common {
				best = best && (other == common[i] || !h.contains(other, common[i]))
			}
			if best {
				want = append(want, common[i])
			}
		}
		if diff := cmp.Diff(want, h.bases(a, b)); diff != "" {
			t.Fatalf("bases of %d and %d in %v (-want +got):\n%s", a, b, h.nodes, diff)
		}
	})
}

// endless has a commit for each hash, whose parent is the next one.
type endless struct{}

func (endless) Object(_ plumbing.ObjectType, hash plumbing.Hash) ([]byte, error) {
	next := binary.BigEndian.Uint64(hash[12:]) + 1
	binary.BigEndian.PutUint64(hash[12:], next)
	return []byte("tree 0123456789012345678901234567890123456789\nparent " + hash.String() + "\n"), nil
}

func TestAHistoryWithoutAnEndIsGivenUp(t *testing.T) {
	_, err := newHistory(t.Context(), endless{}).load(plumbing.NewHash(strings.Repeat("0", 39) + "1"))
	if err == nil || !strings.Contains(err.Error(), "more than 200000 commits") {
		t.Errorf("got %v", err)
	}
}

func TestComparingHasAnEnd(t *testing.T) {
	s := memory.NewStorage()
	o := &plumbing.MemoryObject{}
	o.SetType(plumbing.TreeObject)
	_, _ = o.Write([]byte("100644 a\x00" + strings.Repeat("1", 20) + "100644 b\x00" + strings.Repeat("1", 20)))
	tree, err := s.SetEncodedObject(o)
	if err != nil {
		t.Fatal(err)
	}
	d := newDiffer(t.Context(), Storage(s))
	d.left = 3
	each := func(string) bool { return true }
	if err := d.own(tree, nil, nil, each); err != nil {
		t.Errorf("2 entries of 3: %v", err)
	}
	if err := d.own(tree, nil, nil, each); err == nil || !strings.Contains(err.Error(), "change too much to compare") {
		t.Errorf("4 entries of 3: got %v", err)
	}
}
