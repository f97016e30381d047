package faults_test

import (
	"bytes"
	"context"
	"crypto/ed25519"
	"encoding/hex"
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"

	"github.com/go-git/go-git/v5/plumbing"
	"github.com/hiddeco/sshsig"
	"golang.org/x/crypto/ssh"

	"github.com/x2broker/x2broker/broker/snapshot"
	"github.com/x2broker/x2broker/broker/source"
	"github.com/x2broker/x2broker/broker/source/gittest"
	"github.com/x2broker/x2broker/broker/source/verify"
)

// signatures are faults of who signed what. What follows a refused commit is
// refused with it, so that the branch has to go back.
var signatures = []fault{
	{
		name: "unsigned", reason: "is not signed",
		gate:  snapshot.Verified,
		setup: enforce,
		begin: func(b *broker) { b.signed(nil) },
		mend:  (*broker).back,
	},
	{
		name: "bad signature", reason: "has a signature that does not fit it: it was changed after it was signed",
		gate:  snapshot.Verified,
		setup: enforce,
		begin: func(b *broker) {
			alice := b.sign
			b.signed(func(payload []byte) string { return alice(append(payload, " and more\n"...)) })
		},
		mend: (*broker).back,
	},
	{
		name: "revoked signer", reason: "which is revoked: look at what it changes, and let somebody sign with another key",
		gate:  snapshot.Verified,
		setup: enforce,
		begin: func(b *broker) { b.signed(by(b, revoked)) },
		mend:  (*broker).back,
	},
	{
		name: "signer outside his path", reason: "is signed by bob@example.edu, who may not change policy/access.rego (rule 1): ask alice@example.edu",
		gate:  snapshot.Verified,
		setup: enforce,
		begin: func(b *broker) { b.signed(by(b, bob), "policy/access.rego", "package x2go.access\n") },
		mend:  (*broker).back,
	},
	{
		name: "rewrite", reason: "the history was rewritten",
		gate:  snapshot.Verified,
		setup: enforce,
		begin: func(b *broker) { b.commit(gittest.Commit{Files: site("rewritten"), Orphan: true}) },
		mend:  (*broker).back,
	},
}

func newKey() ssh.Signer {
	_, private, err := ed25519.GenerateKey(nil)
	if err != nil {
		panic(err) // without random numbers nothing here works
	}
	signer, err := ssh.NewSignerFromKey(private)
	if err != nil {
		panic(err)
	}
	return signer
}

var alice, bob, revoked = newKey(), newKey(), newKey()

// enforce has every commit verified: alice may change everything, bob all but
// policy/.
func enforce(b *broker) {
	keys := func(s ssh.Signer) verify.Keys { return verify.Keys{SSH: []ssh.PublicKey{s.PublicKey()}} }
	v, err := verify.New(verify.Rules{
		Signers: []verify.Signer{
			{Principals: []string{"alice@example.edu"}, Groups: []string{"policy"}, Keys: keys(alice)},
			{Principals: []string{"bob@example.edu"}, Keys: keys(bob)},
		},
		Revoked: []string{ssh.FingerprintSHA256(revoked.PublicKey())},
		Paths: []verify.PathRule{
			{Paths: []string{"policy/**"}, Signers: []string{"group:policy"}},
			{Paths: []string{"**"}, Signers: []string{"*"}},
		},
	})
	if err != nil {
		b.Fatal(err)
	}
	b.source.Verify = func(ctx context.Context, objects *source.Objects, accepted, tip plumbing.Hash) error {
		report, err := v.Verify(ctx, objects, accepted, tip, time.Now())
		if err == nil {
			err = report.Err()
		}
		return err
	}
	said := ""
	b.options.Verified = &said
	b.sign = by(b, alice)
}

func by(b *broker, key ssh.Signer) func([]byte) string {
	return func(payload []byte) string {
		sig, err := sshsig.Sign(bytes.NewReader(payload), key, sshsig.HashSHA512, "git")
		if err != nil {
			b.Fatal(err)
		}
		return string(sshsig.Armor(sig))
	}
}

// signed pushes what would serve if somebody else had signed it.
func (b *broker) signed(sign func([]byte) string, more ...string) {
	before := b.sign
	b.sign = sign
	b.push("not good", more...)
	b.sign = before
}

// back has the branch go on from the last good commit.
func (b *broker) back() {
	b.Helper()
	b.reset()
	b.push("two")
}

// contents are faults of what is in a commit.
var contents = []fault{
	{
		name: "100 MB blob", reason: `the repository has a large object: file "wall paper.iso", of 104857600 bytes; at most 16777216 are possible`,
		gate:  snapshot.Fetched,
		begin: func(b *broker) { b.push("large", "images/wall paper.iso", strings.Repeat("\x00", 100<<20)) },
		mend:  (*broker).back, // out of the history, too
	},
	{
		name: "200,000 files", reason: "the site has more than 100000 files and directories: make it smaller",
		gate: snapshot.Compiled,
		begin: func(b *broker) {
			// Two hundred times the same directory of a thousand files.
			file := b.repo.Object("blob", []byte("package site\n"))
			files, dirs := map[string]string{}, map[string]string{}
			for i := range 1000 {
				files[fmt.Sprintf("%03d.cue", i)] = file
			}
			dir := b.repo.Object("tree", tree("100644", files))
			for i := range 200 {
				dirs[fmt.Sprintf("d%03d", i)] = dir
			}
			b.newest = b.repo.Object("commit", fmt.Appendf(nil, "tree %s\nparent %s\nauthor A <a@example.edu> 1767610800 +0100\ncommitter A <a@example.edu> 1767610800 +0100\n\nMany\n",
				b.repo.Object("tree", tree("40000", dirs)), b.newest))
			b.repo.Branch("main", b.newest)
		},
	},
	{
		name: "symlink", reason: "profiles/lab.cue: symbolic links are not read: put the file itself here",
		gate: snapshot.Compiled,
		begin: func(b *broker) {
			b.commit(gittest.Commit{Files: site("link"), Links: map[string]string{"profiles/lab.cue": "../../etc/passwd"}})
		},
	},
	{
		name: "submodule", reason: "profiles/vendor: a Git submodule, which is not read: put the files themselves here",
		gate: snapshot.Compiled,
		begin: func(b *broker) {
			b.commit(gittest.Commit{Files: site("module"), Submodules: []string{"profiles/vendor"}})
		},
	},
	{
		name: "LFS pointer", reason: `"profiles/lab.cue": a pointer of Git LFS, not the file itself: take it out of LFS`,
		gate: snapshot.Compiled,
		begin: func(b *broker) {
			b.push("lfs", "profiles/lab.cue", "version https://git-lfs.github.com/spec/v1\noid sha256:00\nsize 1\n")
		},
	},
	{
		name: "name not UTF-8", reason: `"profiles/b\xfcro.cue": file name is not UTF-8: rename it`,
		gate:  snapshot.Compiled,
		begin: func(b *broker) { b.push("latin", "profiles/b\xfcro.cue", "package site\n") },
	},
	{
		name: "text not UTF-8", reason: "profiles/lab.cue:3:5: illegal UTF-8 encoding",
		gate:  snapshot.Compiled,
		begin: func(b *broker) { b.push("latin", "profiles/lab.cue", "package site\n\n// B\xfcro\n") },
	},
}

// tree makes a Git tree of entries with one mode, whose names sort as they are.
func tree(mode string, entries map[string]string) []byte {
	var data []byte
	for _, name := range slices.Sorted(maps.Keys(entries)) {
		hash, _ := hex.DecodeString(entries[name]) // of git
		data = append(fmt.Appendf(data, "%s %s\x00", mode, name), hash...)
	}
	return data
}
