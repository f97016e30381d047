// Package verify decides whether a site may follow its repository to a new
// commit: only if each commit since the last accepted one was signed by
// somebody who may make the changes that are in it.
//
//	v, err := verify.New(rules)
//	report, err := v.Verify(ctx, objects, accepted, tip, time.Now())
//	if err == nil {
//		err = report.Err()
//	}
//
// # What is promised
//
// A report without a refusal says of every commit that can be reached from the
// tip, and neither from the accepted commit nor from [Rules.Since]: it has one
// signature over all its other bytes, by a key that the rules name, that is
// neither revoked nor outside its time, and whose holder may change each path
// that the commit itself changes. An error decides nothing; serve nothing new.
//
// # Time
//
// Keys are held against the time of the check, which is that of the first
// acceptance. The dates in a commit are whatever its author writes there, so
// they decide nothing. What was accepted once stays so when a key expires later.
// By rules that have changed, as by one more key that is revoked, it must be
// accepted again: see [Verifier.Recheck].
//
// # Merges
//
// What a merge changes by itself is what a merge of whole files would not have
// given: for each path, if only one side has changed it since the merge base,
// the version of that side; any other version, and every conflict, is a change
// by whoever signed the merge. So a merge that brings back an old version of a
// file is a change, too.
//
// The package reads nothing but the objects it is given, and knows nothing of
// what the files mean.
package verify

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"time"

	"github.com/go-git/go-git/v5/plumbing"
	"golang.org/x/crypto/ssh"
)

// Limits on what one call looks at. Beyond them nothing is accepted.
const (
	MaxCommits  = 10_000      // not yet accepted
	MaxHistory  = 200_000     // commits in all
	maxCommit   = 1 << 20     // bytes of a commit that is not yet accepted
	maxEntries  = 100_000_000 // of trees compared
	maxDepth    = 100         // of directories
	maxBases    = 8           // merge bases of two commits
	maxParents  = 2
	clockDrift  = 5 * time.Minute // by which a signer's clock may be ahead
	minRSABits  = 3072
	shownNames  = 5   // of people to ask
	maxShown    = 200 // bytes of a subject, name or path
	shortDigits = 10  // of a commit id
)

// Objects reads raw objects of the repository. Their content has been found to
// have their hash. An object that is not there is plumbing.ErrObjectNotFound.
// [Storage] is one.
type Objects interface {
	Object(kind plumbing.ObjectType, hash plumbing.Hash) ([]byte, error)
}

// Rules say whose commits are served.
type Rules struct {
	// Since is the root of trust: this commit and all before it are accepted by
	// the operator's word. Zero: every commit back to the first is verified.
	Since plumbing.Hash
	// AllowRewrite follows a tip that does not descend from the accepted commit.
	AllowRewrite bool
	Signers      []Signer
	Forges       []Forge
	// Revoked are fingerprints of keys from which nothing more is accepted: of
	// SSH keys as ssh-keygen -l prints them, of OpenPGP keys and subkeys in hex.
	Revoked []string
	// Paths say who may change what. The first rule that has the path decides;
	// none at all: every signer may change everything.
	Paths []PathRule
}

// Signer is a person with keys.
type Signer struct {
	// Principals are e-mail addresses; the first names the signer. "*" and "?"
	// match as in an allowed_signers file.
	Principals []string
	Groups     []string
	Keys       Keys
	// Zero: without limit. The ends belong to the time.
	ValidAfter, ValidBefore time.Time
	// Namespaces of SSH signatures that the keys are for; none: all.
	Namespaces []string
}

// Forge is a forge whose web pages sign with a key of its own, for anybody who
// may press the button there.
type Forge struct {
	Name string
	Keys Keys
	// MayEdit accepts more than merges from it: edits on its pages, squashed
	// pull requests. Without, its merges may change nothing by themselves.
	MayEdit bool
}

// PathRule says who may change some paths.
type PathRule struct {
	// Paths from the root of the repository: "*" and "?" stay within a name,
	// "**" is any number of directories.
	Paths []string
	// Signers are principals, "group:NAME", "forge:NAME", or "*": every signer,
	// but no forge.
	Signers []string
}

// Verifier holds commits against rules. Its method may be called at the same time.
type Verifier struct {
	rules   Rules
	ssh     map[string]*holder // by the key's wire form
	openpgp []openpgpKey
	revoked map[string]bool
	paths   []pathRule

	mu sync.Mutex // the OpenPGP library keeps in a key what it found out about it
}

// holder is who has a key: a signer or a forge.
type holder struct {
	name                    string // for people
	principals              []string
	groups                  []string
	namespaces              []string
	validAfter, validBefore time.Time
	forge                   *Forge
}

// A RuleError is a mistake in the rules.
type RuleError struct {
	Field string // "signers.0.keys"; indexes count from 0
	Text  string
}

func (e *RuleError) Error() string { return e.Field + ": " + e.Text }

// New checks the rules. The error joins a [*RuleError] for each mistake.
func New(rules Rules) (*Verifier, error) {
	v := &Verifier{rules: rules, ssh: map[string]*holder{}, revoked: map[string]bool{}}
	var all []error
	bad := func(field, format string, args ...any) {
		all = append(all, &RuleError{field, fmt.Sprintf(format, args...)})
	}
	if len(rules.Signers) == 0 {
		bad("signers", "nobody could sign a commit: name at least one")
	}
	for i, s := range rules.Signers {
		field := fmt.Sprintf("signers.%d", i)
		if len(s.Principals) == 0 || s.Principals[0] == "" {
			bad(field, "has no principal: write the e-mail address of whoever has the key")
			continue
		}
		if !s.ValidAfter.IsZero() && !s.ValidBefore.IsZero() && s.ValidBefore.Before(s.ValidAfter) {
			bad(field, "ends before it begins: look at validAfter and validBefore")
		}
		v.addKeys(s.Keys, &holder{
			name: s.Principals[0], principals: s.Principals, groups: s.Groups, namespaces: s.Namespaces,
			validAfter: s.ValidAfter, validBefore: s.ValidBefore,
		}, field, bad)
	}
	names := map[string]bool{}
	for i, f := range rules.Forges {
		field := fmt.Sprintf("forges.%d", i)
		if f.Name == "" || names[f.Name] {
			bad(field, "name %q: give each forge a name of its own", f.Name)
		}
		names[f.Name] = true
		v.addKeys(f.Keys, &holder{name: "the forge " + f.Name, forge: &f}, field, bad)
	}
	for i, text := range rules.Revoked {
		fingerprint, ok := cleanFingerprint(text)
		if !ok {
			bad(fmt.Sprintf("revoked.%d", i), "%q is no fingerprint: write one as ssh-keygen -l prints it, SHA256:..., or the 40 hex digits that gpg --fingerprint prints", text)
		}
		v.revoked[fingerprint] = true
	}
	v.addPaths(bad)
	if err := errors.Join(all...); err != nil {
		return nil, err
	}
	return v, nil
}

// addKeys notes whose the keys are. A key of two holders could not say who has
// signed.
func (v *Verifier) addKeys(keys Keys, h *holder, field string, bad func(field, format string, args ...any)) {
	if len(keys.SSH)+len(keys.OpenPGP) == 0 {
		bad(field, "%s has no key", h.name)
	}
	for _, key := range keys.SSH {
		wire := string(key.Marshal())
		if err := usableSSH(key); err != nil {
			bad(field, "key %s of %s %v", ssh.FingerprintSHA256(key), h.name, err)
		} else if other := v.ssh[wire]; other != nil {
			bad(field, "key %s is named twice, for %s and %s: a key says who has signed, so it has one holder", ssh.FingerprintSHA256(key), other.name, h.name)
		}
		v.ssh[wire] = h
	}
	for _, e := range keys.OpenPGP {
		for _, have := range v.openpgp {
			if shared := sharedKey(have.entity, e); shared != "" {
				bad(field, "OpenPGP key %s is named twice, for %s and %s: a key says who has signed, so it has one holder", shared, have.holder.name, h.name)
			}
		}
		v.openpgp = append(v.openpgp, openpgpKey{e, h})
	}
}

// Verify says of each commit that is new whether the rules accept it. New is
// what can be reached from tip, but not from accepted; a zero accepted is for
// the first time, or a state that was lost. now is the time of the check.
//
// The error is not about who signed what: an object is missing, a limit is
// reached, the context has ended.
func (v *Verifier) Verify(ctx context.Context, objects Objects, accepted, tip plumbing.Hash, now time.Time) (Report, error) {
	report := Report{Tip: tip.String(), Commits: []Commit{}}
	if base := accepted; !base.IsZero() {
		report.Base = base.String()
	} else if !v.rules.Since.IsZero() {
		report.Base = v.rules.Since.String()
	}
	h := newHistory(ctx, objects)
	line, err := v.read(h, accepted, tip)
	if err != nil {
		return report, err
	}
	if report.Rewrite = line.rewrite; report.Rewrite != "" {
		return report, nil
	}
	return report, v.commits(&check{v: v, history: h, objects: objects, now: now}, line, &report)
}

// Recheck says whether the rules accept a commit that other rules accepted, with
// all before it back to [Rules.Since]. Only the ends of keys do not count: they
// were not over when the commit was accepted. The error is as that of Verify.
func (v *Verifier) Recheck(ctx context.Context, objects Objects, accepted plumbing.Hash, now time.Time) (Report, error) {
	report := Report{Tip: accepted.String(), Commits: []Commit{}}
	h := newHistory(ctx, objects)
	line, err := v.read(h, plumbing.ZeroHash, accepted)
	if err != nil {
		return report, err
	}
	if !v.rules.Since.IsZero() {
		report.Base = v.rules.Since.String()
		if h.contains(line.trusted[0], line.tip) {
			return report, nil
		}
	}
	if report.Rewrite = line.rewrite; report.Rewrite != "" {
		return report, nil
	}
	return report, v.commits(&check{v: v, history: h, objects: objects, now: now, again: true}, line, &report)
}

// commits holds each new commit against the rules.
func (v *Verifier) commits(check *check, line line, report *Report) error {
	h, tip := check.history, report.Tip[:shortDigits]
	fresh := h.reachable(line.tip)
	for _, trusted := range line.trusted {
		h.subtract(fresh, trusted)
	}
	count := 0
	for _, in := range fresh {
		if in {
			count++
		}
	}
	if count > MaxCommits {
		return fmt.Errorf("verify %s: %d commits are not accepted yet, more than %d: look at them, and set verify.since to a later commit", tip, count, MaxCommits)
	}
	check.differ = newDiffer(h.ctx, check.objects)
	for i, in := range fresh {
		if !in {
			continue
		}
		if err := h.ctx.Err(); err != nil {
			return fmt.Errorf("verify %s: %w", tip, context.Cause(h.ctx))
		}
		c, err := check.commit(i)
		if err != nil {
			return fmt.Errorf("verify commit %s: %w", short(h.nodes[i].hash), err)
		}
		report.Commits = append(report.Commits, c)
	}
	return nil
}

// line is how the tip relates to what is trusted, as indexes of the history.
type line struct {
	tip     int
	trusted []int
	rewrite string // why the tip is refused as a whole
}

// read reads the history and finds out whether it was rewritten.
//
// A rewrite is accepted if the operator's since names a commit that was not
// accepted so far: an older one would let anybody take the branch back to it.
func (v *Verifier) read(h *history, accepted, tip plumbing.Hash) (line, error) {
	var l line
	var err error
	if l.tip, err = h.load(tip); err != nil {
		return l, fmt.Errorf("read the history of %s: %w", short(tip), err)
	}
	since := -1
	if !v.rules.Since.IsZero() {
		if since, err = h.load(v.rules.Since); errors.Is(err, plumbing.ErrObjectNotFound) {
			return l, fmt.Errorf("verify.since %s is not in the repository, or not all that came before it: %w", v.rules.Since, err)
		} else if err != nil {
			return l, fmt.Errorf("read the history of verify.since %s: %w", short(v.rules.Since), err)
		}
		l.trusted = append(l.trusted, since)
	}
	descends := func(i int) bool { return h.contains(l.tip, i) }
	if accepted.IsZero() {
		if since >= 0 && !descends(since) && !v.rules.AllowRewrite {
			l.rewrite = fmt.Sprintf("commit %s does not descend from verify.since %s: name a commit of this branch there", short(tip), short(v.rules.Since))
		}
		return l, nil
	}
	last, err := h.load(accepted)
	switch {
	case errors.Is(err, plumbing.ErrObjectNotFound):
		if !v.rules.AllowRewrite && v.rules.Since != tip {
			l.rewrite = fmt.Sprintf("the history was rewritten: commit %s, which was accepted last, is gone; if that was meant, look at %s and set verify.since to %s", short(accepted), short(tip), tip)
		}
		return l, nil
	case err != nil:
		return l, fmt.Errorf("read the history of the accepted commit %s: %w", short(accepted), err)
	}
	l.trusted = append(l.trusted, last)
	if descends(last) || v.rules.AllowRewrite || v.rules.Since == tip {
		return l, nil
	}
	if since >= 0 && descends(since) && !h.contains(last, since) {
		return l, nil
	}
	l.rewrite = fmt.Sprintf("the history was rewritten: commit %s does not descend from %s, which was accepted last; if that was meant, look at %s and set verify.since to %s", short(tip), short(accepted), short(tip), tip)
	return l, nil
}
