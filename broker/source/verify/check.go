package verify

import (
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/go-git/go-git/v5/plumbing"
)

// check holds the commits of one history against the rules.
type check struct {
	v       *Verifier
	history *history
	objects Objects
	now     time.Time
	again   bool // accepted when now was another time
	differ  *differ
}

// commit decides about one commit. The error is not about who signed it.
func (k *check) commit(i int) (Commit, error) {
	hash := k.history.nodes[i].hash
	out := Commit{Hash: hash.String()}
	data, err := k.objects.Object(plumbing.CommitObject, hash)
	if err != nil {
		return out, err
	}
	c, err := parseCommit(data)
	if err != nil {
		out.Reason = err.Error()
		return out, nil
	}
	out.Subject, out.Author = c.subject(), c.author.String()
	who, err := k.v.identify(c.signature, c.payload, k.now, k.again)
	out.Key = who.fingerprint
	if who.by != nil {
		out.Signer = who.by.name
	}
	if err != nil {
		out.Reason = err.Error()
		return out, nil
	}
	out.Reason, err = k.changes(i, c, who.by)
	if bad := new(badTreeError); errors.As(err, &bad) {
		out.Reason, err = bad.Error(), nil
	}
	out.Accepted = err == nil && out.Reason == ""
	if h := who.by; out.Accepted && h.forge == nil && !slices.ContainsFunc(h.principals, func(p string) bool { return matches(p, c.committer.email) }) {
		out.Warnings = append(out.Warnings, fmt.Sprintf("its committer calls himself %s, but the key is of %s", plain(c.committer.email), h.name))
	}
	return out, err
}

// changes says why the holder may not make the changes that are in the
// commit; "": he may.
func (k *check) changes(i int, c *commit, h *holder) (string, error) {
	parents := k.history.nodes[i].parents
	if len(parents) > maxParents {
		return fmt.Sprintf("is a merge of %d commits at once: merge one after the other", len(parents)), nil
	}
	onlyMerges := h.forge != nil && !h.forge.MayEdit
	if onlyMerges && len(parents) < 2 {
		return fmt.Sprintf("is signed by %s, which may only merge: make the change in a commit of your own, and merge that without squash or rebase", h.name), nil
	}
	if !onlyMerges && len(k.v.paths) == 0 {
		return "", nil
	}
	trees, err := k.trees(parents)
	if err != nil {
		return "", err
	}
	var baseTrees []plumbing.Hash
	if len(parents) == 2 {
		bases := k.history.bases(parents[0], parents[1])
		if len(bases) > maxBases {
			return fmt.Sprintf("is a merge of two branches with %d common points: merge them anew, from the newest of both", len(bases)), nil
		}
		if baseTrees, err = k.trees(bases); err != nil {
			return "", err
		}
		if len(bases) == 0 {
			baseTrees = []plumbing.Hash{plumbing.ZeroHash} // nothing was there
		}
	}
	reason := ""
	err = k.differ.own(c.tree, trees, baseTrees, func(path string) bool {
		if onlyMerges {
			reason = fmt.Sprintf("is a merge signed by %s, which may change nothing itself, but %s is as in neither side's changes: merge the main branch into the other one in a commit of your own, and merge that", h.name, plain(path))
			return false
		}
		ok, why := k.v.mayChange(h, path)
		switch {
		case ok:
			return true
		case len(parents) == 2:
			reason = fmt.Sprintf("is a merge signed by %s, %s (the file is not what its two sides give when merged)", h.name, strings.Replace(why, "who", pronoun(h), 1))
		default:
			reason = fmt.Sprintf("is signed by %s, %s", h.name, strings.Replace(why, "who", pronoun(h), 1))
		}
		return false
	})
	return reason, err
}

func pronoun(h *holder) string {
	if h.forge != nil {
		return "which"
	}
	return "who"
}

// trees gives the trees of commits.
func (k *check) trees(commits []int) ([]plumbing.Hash, error) {
	out := make([]plumbing.Hash, 0, len(commits))
	for _, i := range commits {
		hash := k.history.nodes[i].hash
		data, err := k.objects.Object(plumbing.CommitObject, hash)
		if err != nil {
			return nil, err
		}
		tree, _, ok := cutHash(data, "tree ")
		if !ok {
			return nil, fmt.Errorf("commit %s does not begin with a tree: run git fsck on the repository", short(hash))
		}
		out = append(out, tree)
	}
	return out, nil
}
