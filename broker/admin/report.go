// Package admin tells operators how the broker is doing, and takes their
// orders.
//
// A [Control] answers on a unix socket in the state directory, to root and to
// the broker's own user only; a [Client] asks it. The same state, in the same
// words, is in the text of /healthz and /readyz, in metrics, in the log and in
// the status that systemd shows. Nothing here decides what a user gets.
package admin

import (
	"os"
	"strings"
	"time"

	"github.com/x2broker/x2broker/broker/session"
	"github.com/x2broker/x2broker/broker/snapshot"
	"github.com/x2broker/x2broker/schema"
)

// Broker is what a report is made of.
type Broker struct {
	Keeper    *snapshot.Keeper
	Version   string
	Listeners []string // "http 127.0.0.1:8080"
	Doors     func() Doors
	Worker    func() (confinement string, starts int) // of the process that evaluates CUE
	Webhook   *Webhook                                // nil for none
	Entry     func() session.Entry                    // how logins are doing
	Started   time.Time
	Now       func() time.Time
}

// Report is the state of a broker, as `x2broker status` prints it.
type Report struct {
	Version   string         `json:"version"`
	PID       int            `json:"pid"`
	Started   time.Time      `json:"started"`
	UptimeS   int64          `json:"uptime_s"`
	State     string         `json:"state"`          // one line, see [Line]
	Site      string         `json:"site"`           // the source, without passwords
	Name      string         `json:"name,omitempty"` // as the site calls itself
	Stages    []Stage        `json:"stages"`
	Refused   *Refused       `json:"refused,omitempty"`
	Source    Source         `json:"source"`
	Hold      *snapshot.Hold `json:"hold,omitempty"`
	Snapshot  *Snapshot      `json:"snapshot,omitempty"`    // that serves
	Unused    []string       `json:"kept_unused,omitempty"` // kept sites that could not serve at the start, and why
	Unkept    string         `json:"unkept,omitempty"`      // why what serves is not on disk
	Webhook   *HookCalls     `json:"webhook,omitempty"`
	Objects   Objects        `json:"objects"`
	Tickets   Tickets        `json:"tickets"`
	Guessing  Guessing       `json:"guessing"`
	Worker    string         `json:"worker,omitempty"`
	Listeners []string       `json:"listeners"`
	Doors     Doors          `json:"doors"`
}

// Stage is one of Fetched, Verified, Compiled, Tested, Serving.
type Stage struct {
	Stage     string    `json:"stage"`
	Commit    string    `json:"commit,omitempty"`
	Author    string    `json:"author,omitempty"`
	Subject   string    `json:"subject,omitempty"`
	Committed time.Time `json:"committed,omitzero"`
	Time      time.Time `json:"time,omitzero"` // when the commit came this far
	TookS     float64   `json:"took_s,omitempty"`
	Reason    string    `json:"reason,omitempty"`
}

// Refused is a commit that a gate stopped.
type Refused struct {
	Commit      string    `json:"commit"`
	Author      string    `json:"author,omitempty"`
	Subject     string    `json:"subject,omitempty"`
	Gate        string    `json:"gate"` // the stage that it did not reach
	Since       time.Time `json:"since"`
	Diagnostics []string  `json:"diagnostics"` // the first 20, errors first
	Total       int       `json:"total"`
}

// Snapshot says what serves was made of. Brokers with the same digest give the
// same answers.
type Snapshot struct {
	Digest string `json:"digest"`
	snapshot.Inputs
}

// Source says whether the site's source answers.
type Source struct {
	Failures int       `json:"failures"` // in a row
	Since    time.Time `json:"since,omitzero"`
	Reason   string    `json:"reason,omitempty"`
	NextLook time.Time `json:"next_look,omitzero"`
}

// Tickets spare users their password.
type Tickets struct {
	Logins  int  `json:"logins"`  // by password, with tickets that are alive
	Users   int  `json:"users"`   // who have some
	Keys    int  `json:"keys"`    // that are accepted
	Failing bool `json:"failing"` // they cannot be recorded, so that none are issued
}

// Guessing says what the limits on failed logins do.
type Guessing struct {
	Failed   int               `json:"failed"`  // pairs of name and address that failed in the last hour
	Blocked  int               `json:"blocked"` // of these, refused now
	Checking int               `json:"checking"`
	Waiting  int               `json:"waiting"`
	Refused  map[string]uint64 `json:"refused"` // logins since the start, by limit
}

// Objects counts what serves.
type Objects struct {
	Profiles int `json:"profiles"`
	Servers  int `json:"servers"`
	Cases    int `json:"cases"`
	Warnings int `json:"warnings"`
}

// Report gives the present state.
func (b *Broker) Report() Report { return b.report(b.Keeper.Status()) }

func (b *Broker) report(s snapshot.Status) Report {
	confinement, _ := b.Worker()
	r := Report{
		Version: b.Version, PID: os.Getpid(), Started: b.Started.UTC(), UptimeS: int64(b.Now().Sub(b.Started) / time.Second),
		State: Line(s), Site: s.Source, Hold: s.Hold, Unused: s.Unused, Unkept: s.Unkept, Worker: confinement, Listeners: b.Listeners,
		Doors:  b.Doors(),
		Source: Source{Failures: s.Failures, Since: s.FailingSince},
	}
	if !s.NextLook.IsZero() { // by the clock of now: it may have been set since
		now := b.Now()
		r.Source.NextLook = now.UTC().Add(s.NextLook.Sub(now))
	}
	if b.Webhook != nil {
		calls := b.Webhook.Calls()
		r.Webhook = &calls
	}
	if s.Serving.Revision.ID != "" {
		r.Snapshot = &Snapshot{s.Inputs.Digest(), s.Inputs}
	}
	e := b.Entry()
	r.Tickets = Tickets{e.Tickets.Chains, e.Tickets.Users, e.Tickets.Keys, e.Tickets.Failing}
	r.Guessing = Guessing{e.Throttle.Pairs, e.Throttle.Blocked, e.Throttle.InFlight, e.Throttle.Waiting, e.Throttle.Refused}
	if s.Failures > 0 {
		r.Source.Reason = s.Fetched.Reason
	}
	for _, stage := range s.Stages() {
		r.Stages = append(r.Stages, Stage{
			Stage: stage.Name, Commit: stage.Revision.ID, Author: stage.Revision.Author, Subject: stage.Revision.Subject,
			Committed: stage.Revision.Time, Time: stage.Time, TookS: stage.Took.Seconds(), Reason: stage.Reason,
		})
	}
	if f := s.Refused; f != nil {
		r.Refused = &Refused{
			Commit: f.Revision.ID, Author: f.Revision.Author, Subject: f.Revision.Subject,
			Gate: f.Gate, Since: f.Time, Total: f.Total,
		}
		for _, d := range f.Diagnostics {
			r.Refused.Diagnostics = append(r.Refused.Diagnostics, said(d))
		}
	}
	if snap := b.Keeper.Current(); snap != nil {
		r.Name = snap.Catalog.Site.Name
		r.Objects = Objects{len(snap.Catalog.Profiles), len(snap.Catalog.Servers), len(snap.Catalog.Cases), len(snap.Warnings)}
	}
	return r
}

// said leaves out the place of what is about the whole commit.
func said(d schema.Diagnostic) string { return strings.TrimPrefix(d.String(), ".: ") }
