package legacy

import (
	"context"
	"fmt"
	"net/netip"
	"runtime"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/x2broker/x2broker/policy"
	"github.com/x2broker/x2broker/schema"
)

// A Verification is a comparison of who sees what in the old broker and in a site.
type Verification struct {
	Profiles    int          `json:"profiles"`    // that were compared
	Questions   int          `json:"questions"`   // put to both: may this user in these groups at this address see that profile
	Differences []Difference `json:"differences"` // by profile in file order; those that the old file lacks are last
}

// A Difference is a question that the two answer differently. The user stands for
// all whose names are in the same lists, the groups and the address likewise.
type Difference struct {
	Profile string          `json:"profile"` // in the site
	Pos     schema.Position `json:"position"`
	User    string          `json:"user"`
	Other   bool            `json:"other"` // the user stands for all that neither file names
	Groups  []string        `json:"groups"`
	Address netip.Addr      `json:"address"`
	Old     bool            `json:"old"`             // the old broker shows it
	New     bool            `json:"new"`             // the site shows it
	Error   string          `json:"error,omitempty"` // why the policy hides it; or that one of both does not have it
	Loss    bool            `json:"loss"`            // the import has said so: see [ACL.Safe]
}

// String says the difference in one sentence.
func (d Difference) String() string {
	text := d.Pos.String() + ": " + d.Profile + ": "
	if !d.Address.IsValid() {
		return text + d.Error
	}
	who := fmt.Sprintf("user %q", d.User)
	if d.Other {
		who = "any other user"
	}
	groups := "in no group that a list names"
	if len(d.Groups) > 0 {
		groups = "in " + strings.Join(d.Groups, ", ")
	}
	verdict := map[bool]string{true: "shows", false: "hides"}
	text += fmt.Sprintf("%s, %s, at %s: the old broker %s it, the site %s it", who, groups, d.Address, verdict[d.Old], verdict[d.New])
	switch {
	case d.Error != "":
		text += ": " + d.Error
	case d.Loss:
		text += ": the old broker ignored the whole list of denied clients, because an entry is no address"
	}
	return text
}

// Verify compares the ACLs of the old profiles, from the file of that name, with
// what the site of the catalog shows. Without differences both show everybody the
// same: see [questions]. This holds for sites that leave x2go.access to the library,
// as imported ones do; policies of a site's own may look at anything else.
//
// It takes about a third of a millisecond for each question. There are less than 70
// for a profile whose lists are the same in the site, and a dozen for most; lists
// that have nothing in common may make 4,096.
func Verify(ctx context.Context, file string, profiles []*Profile, catalog *schema.Catalog, engine *policy.Engine) (Verification, error) {
	v := Verification{Profiles: len(profiles), Differences: []Difference{}}
	type result struct {
		questions   int
		differences []Difference
	}
	results := make([]result, len(profiles))
	var workers sync.WaitGroup
	next := make(chan int)
	for range min(runtime.GOMAXPROCS(0), len(profiles)) {
		workers.Go(func() {
			for i := range next {
				results[i].questions, results[i].differences = compare(ctx, file, profiles[i], catalog, engine)
			}
		})
	}
	for i := range profiles {
		next <- i
	}
	close(next)
	workers.Wait()
	if err := ctx.Err(); err != nil {
		return Verification{}, fmt.Errorf("compare %s with the site: %w", file, context.Cause(ctx))
	}
	known := map[string]bool{}
	for i, p := range profiles {
		known[p.ID] = true
		v.Questions += results[i].questions
		v.Differences = append(v.Differences, results[i].differences...)
	}
	var others []Difference
	for id, p := range catalog.Profiles {
		if !known[id] {
			others = append(others, Difference{Profile: id, Pos: p.Pos, Groups: []string{}, New: true, Error: "the old file has no such profile"})
		}
	}
	slices.SortFunc(others, func(a, b Difference) int { return strings.Compare(a.Profile, b.Profile) })
	v.Differences = append(v.Differences, others...)
	return v, nil
}

// compare asks both about one profile.
func compare(ctx context.Context, file string, old *Profile, catalog *schema.Catalog, engine *policy.Engine) (asked int, differences []Difference) {
	pos := schema.Position{File: file, Line: old.Line}
	profile := catalog.Profiles[old.ID]
	if profile == nil {
		return 0, []Difference{{Profile: old.ID, Pos: pos, Groups: []string{}, Error: "the site has no such profile"}}
	}
	for q := range questions(&old.ACL, profile, catalog) {
		if ctx.Err() != nil {
			return asked, differences
		}
		asked++
		seen, err := engine.Sees(ctx, policy.Request{
			User: q.user, Groups: q.groups, Account: q.user, Address: q.address,
			Frontend: "plain", Time: time.Unix(0, 0), Task: "list",
		}, old.ID)
		d := Difference{
			Profile: old.ID, Pos: pos, User: q.user, Other: q.other, Groups: q.groups, Address: q.address,
			Old: old.ACL.Decide(q.user, q.groups, q.address), New: seen != nil,
		}
		if err != nil {
			d.Error = err.Error()
		}
		if d.Old != d.New || err != nil {
			d.Loss = d.Old && err == nil && len(old.ACL.deny.unread) > 0
			differences = append(differences, d)
		}
	}
	return asked, differences
}
