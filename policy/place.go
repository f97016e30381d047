package policy

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"math"
	"slices"
	"time"

	"github.com/open-policy-agent/opa/v1/ast"

	"github.com/x2broker/x2broker/schema"
)

// Facts are what is known of a server at the moment of a placement. The zero
// value is an idle server that reported just now.
type Facts struct {
	Sessions     int           // X2Go sessions, running and suspended
	Inflight     int           // sessions placed there and not yet reported
	Load1        float64       // load average over one minute
	CPUs         int           // processors
	MemAvailable int64         // bytes
	MemTotal     int64         // bytes
	Age          time.Duration // since the server reported
	Failures     int           // failed connections in a row
}

// Placement is the policy's answer to where a new session goes.
type Placement struct {
	Scores   map[string]float64 // of the candidates that have one, excluded ones too
	Excluded map[string]string  // why the other servers of the profile do not win
	Winners  []string           // lowest score, then fewest in flight; sorted, empty when there is no server
}

// Place asks for the best servers for a new session of the profile. Candidates
// are its servers in state active, whatever the policy says of others; facts
// are by server id. An error means no server.
func (e *Engine) Place(ctx context.Context, r Request, profileID string, facts map[string]Facts) (Placement, error) {
	p, err := e.askPlace(ctx, r, profileID, facts)
	if err != nil {
		return Placement{}, fmt.Errorf("place a session of profile %q: %w", profileID, err)
	}
	return p, nil
}

func (e *Engine) askPlace(ctx context.Context, r Request, profileID string, facts map[string]Facts) (Placement, error) {
	profile, ok := e.catalog.Profiles[profileID]
	if !ok {
		return Placement{}, errors.New("the site has no such profile")
	}
	input, err := e.input(r)
	if err != nil {
		return Placement{}, err
	}
	p := Placement{Scores: map[string]float64{}, Excluded: map[string]string{}}
	candidates := e.candidates(profile, facts, p.Excluded)
	if len(candidates) == 0 {
		return p, nil
	}
	input.Insert(ast.StringTerm("profile_id"), ast.StringTerm(profileID))
	input.Insert(ast.StringTerm("servers"), serversData(candidates, facts))

	ctx, cancel := context.WithTimeout(ctx, e.deadline)
	defer cancel()
	v, err := e.place.askAbout(ctx, candidates, input)
	if err != nil {
		return Placement{}, err
	}
	answer, ok := v.(ast.Object)
	if !ok {
		return Placement{}, errors.New("x2go.placement gives no answer")
	}
	excluded, okExcluded := field(answer, "excluded").(ast.Object)
	scores, okScores := field(answer, "scores").(ast.Object)
	if !okExcluded || !okScores {
		return Placement{}, errors.New("x2go.placement gives no answer")
	}
	for _, id := range candidates {
		score, reason := judge(id, excluded, scores)
		if !math.IsNaN(score) {
			p.Scores[id] = score
		}
		if reason != "" {
			p.Excluded[id] = reason
		}
	}
	p.Winners = winners(candidates, p, facts)
	return p, nil
}

// candidates gives the servers that may take a new session at all, and records
// why the others of the profile may not.
func (e *Engine) candidates(profile *schema.Profile, facts map[string]Facts, excluded map[string]string) []string {
	var ids []string
	for _, id := range profile.Servers {
		server, known := e.catalog.Servers[id]
		load := facts[id].Load1
		switch {
		case !known:
			excluded[id] = "not a server of the site"
		case server.State != schema.Active:
			excluded[id] = fmt.Sprintf("state is %s", server.State)
		case math.IsNaN(load) || math.IsInf(load, 0):
			// Not a number in Rego, where it would cost every server, not this one.
			excluded[id] = "reports a load that is not a number"
		default:
			ids = append(ids, id)
		}
	}
	return ids
}

// judge reads what the policy says of one candidate. The score is NaN when
// there is none; the reason is empty when the candidate is eligible.
func judge(id string, excluded, scores ast.Object) (score float64, reason string) {
	score, reason = math.NaN(), "the policy gives it no score"
	if t := scores.Get(ast.StringTerm(id)); t != nil {
		n, ok := t.Value.(ast.Number)
		f, finite := n.Float64()
		if ok && finite && !math.IsNaN(f) && !math.IsInf(f, 0) {
			score, reason = f, ""
		} else {
			reason = "its score is not a number: " + shorten(t.Value.String())
		}
	}
	if t := excluded.Get(ast.StringTerm(id)); t != nil {
		return score, exclusion(t.Value)
	}
	return score, reason
}

// winners gives the eligible candidates with the lowest score and, among these,
// the fewest sessions in flight.
func winners(candidates []string, p Placement, facts map[string]Facts) []string {
	scores := maps.Clone(p.Scores)
	maps.DeleteFunc(scores, func(id string, _ float64) bool { return p.Excluded[id] != "" })
	if len(scores) == 0 {
		return nil
	}
	best := math.Inf(1)
	for _, s := range scores {
		best = min(best, s)
	}
	var ids []string
	fewest := math.MaxInt
	for _, id := range candidates {
		if s, ok := scores[id]; !ok || s != best {
			continue
		}
		switch inflight := facts[id].Inflight; {
		case inflight < fewest:
			ids, fewest = []string{id}, inflight
		case inflight == fewest:
			ids = append(ids, id)
		}
	}
	slices.Sort(ids)
	return ids
}

// factNames lists the facts as policies see them at input.servers[id].
func factNames() []string {
	return []string{"sessions", "inflight", "load1", "cpus", "mem_available", "mem_total", "age_s", "failures"}
}

// serversData gives the facts of servers as policies see them. Servers of the
// same facts, such as idle ones, share them.
func serversData(ids []string, facts map[string]Facts) *ast.Term {
	keys, known := factKeys(), make(map[Facts]*ast.Term)
	items := make([][2]*ast.Term, len(ids))
	for i, id := range ids {
		f := facts[id]
		if known[f] == nil {
			known[f] = ast.NewTerm(factsData(keys, f))
		}
		items[i] = ast.Item(ast.StringTerm(id), known[f])
	}
	return ast.NewTerm(ast.NewObject(items...))
}

// factKeys are the keys of the facts, made once for all servers.
func factKeys() []*ast.Term {
	keys := make([]*ast.Term, len(factNames()))
	for i, name := range factNames() {
		keys[i] = ast.StringTerm(name)
	}
	return keys
}

// factsData gives facts under keys, in the order of factNames.
func factsData(keys []*ast.Term, f Facts) ast.Value {
	values := []any{f.Sessions, f.Inflight, f.Load1, f.CPUs, f.MemAvailable, f.MemTotal, f.Age.Seconds(), f.Failures}
	items := make([][2]*ast.Term, len(keys))
	for i, key := range keys {
		items[i] = ast.Item(key, term(values[i]))
	}
	return ast.NewObject(items...)
}
