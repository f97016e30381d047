// Package rehearse says what users would notice if one broker took the place of
// another: it logs in at both as X2Go Client does, and compares what the client
// makes of the answers.
//
// # What it promises
//
// A difference is something that a user of X2Go Client or PyHoca could notice:
// a login, a profile, a setting, a server, a session. Bytes that mean the same
// to the client are none: 1 and true, a default that one broker leaves out, the
// order of keys. What differs and is known to do no harm is a note.
//
// What cannot be compared is an error of its user or a note, never silence.
//
// The profiles that both offer are selected at both. That starts no session. A
// profile of which the old broker says that a session of the user is running is
// not selected: x2gobroker suspends running sessions when they are selected.
package rehearse

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"net/netip"
	"net/url"
	"slices"
	"strings"

	"github.com/x2broker/x2broker/client"
)

// A Side is one of the two brokers.
type Side struct {
	URL  string                             // as X2Go Client takes it
	HTTP func(from netip.Addr) *http.Client // connects from that address, from any if it is none
	SSH  func(from netip.Addr) client.SSH   // the same for ssh://
}

// A User logs in at both brokers.
type User struct {
	Name, Password string
	KeyFile        string     // private key for ssh://, or none
	From           netip.Addr // of this machine; none: as the system chooses
}

// A Rehearsal compares two brokers. It must not be used by several goroutines
// at once: the old broker does one thing at a time, and waits when a login fails.
type Rehearsal struct {
	Old, New Side
	Tries    int // selections of one profile at most, to see all its servers
}

// A Result is what one user would notice.
type Result struct {
	User        string    `json:"user"`
	From        string    `json:"from,omitempty"`
	Refused     bool      `json:"refused"`  // by both
	Profiles    int       `json:"profiles"` // offered by both
	Differences []Finding `json:"differences"`
	Notes       []Finding `json:"notes"`
	Errors      []string  `json:"errors,omitempty"` // why he could not be compared, or not in all

	Tickets    int `json:"old_tickets"`    // cookie files that the old broker now has for him
	Selections int `json:"new_selections"` // which the new broker takes for sessions
}

// A Finding is one thing that differs, in words.
type Finding struct {
	Profile string `json:"profile,omitempty"` // its id
	About   string `json:"about"`             // login, profile, server, session or the name of a key
	Text    string `json:"text"`
}

// A run is the rehearsal of one user.
type run struct {
	*Rehearsal
	old, new *client.Client
	result   Result
}

// User compares what the user gets. It fails only when ctx ends; what concerns
// the user is in the result.
func (r *Rehearsal) User(ctx context.Context, u User) (Result, error) {
	login := func(s Side) *client.Client {
		c := &client.Client{URL: s.URL, User: u.Name, Password: u.Password}
		if s.SSH != nil {
			c.SSH = s.SSH(u.From)
			c.SSH.KeyFile = u.KeyFile
		} else {
			c.HTTP = s.HTTP(u.From)
		}
		return c
	}
	x := &run{Rehearsal: r, old: login(r.Old), new: login(r.New)}
	defer x.old.Close()
	defer x.new.Close()
	x.result = Result{User: u.Name, Differences: []Finding{}, Notes: []Finding{}}
	if u.From.IsValid() {
		x.result.From = u.From.String()
	}
	err := x.compare(ctx)
	if ctx.Err() != nil {
		return Result{}, ctx.Err()
	}
	if err != nil {
		x.failed("", err)
	}
	if x.old.Ticket != "" {
		x.result.Tickets = 1
	}
	return x.result, nil
}

func (x *run) differs(profile, about, format string, args ...any) {
	x.result.Differences = append(x.result.Differences, Finding{profile, about, fmt.Sprintf(format, args...)})
}

func (x *run) note(profile, about, format string, args ...any) {
	x.result.Notes = append(x.result.Notes, Finding{profile, about, fmt.Sprintf(format, args...)})
}

func (x *run) failed(profile string, err error) {
	text := err.Error()
	if profile != "" {
		text = profile + ": " + text
	}
	x.result.Errors = append(x.result.Errors, text)
}

// compare logs in at both brokers and compares all that they say. Its error
// means that they cannot be asked.
func (x *run) compare(ctx context.Context) error {
	oldList, refusedByOld, err := list(ctx, x.old)
	if err != nil {
		return fmt.Errorf("old broker: %w", err)
	}
	newList, refusedByNew, err := list(ctx, x.new)
	if err != nil {
		return fmt.Errorf("new broker: %w", err)
	}
	switch {
	case refusedByOld != nil && refusedByNew != nil:
		x.result.Refused = true
		return nil
	case refusedByOld != nil:
		x.differs("", "login", "login: refused at the old broker, granted at the new one")
		return nil
	case refusedByNew != nil:
		x.differs("", "login", "login: granted at the old broker, refused at the new one (%s)", reason(refusedByNew))
		return nil
	}
	return x.profiles(ctx, oldList, newList)
}

// list logs in and lists; a refused login is no error.
func list(ctx context.Context, c *client.Client) (profiles []client.Profile, refused, err error) {
	profiles, err = c.List(ctx)
	if errors.Is(err, client.ErrDenied) && !errors.Is(err, client.ErrThrottled) {
		return nil, err, nil
	}
	return profiles, nil, err
}

// reason is what a broker says about a refusal.
func reason(refused error) string {
	if _, words, ok := strings.Cut(refused.Error(), client.ErrDenied.Error()+": "); ok {
		return words
	}
	return client.ErrDenied.Error()
}

// profiles compares two lists, whose order means nothing: the client sorts.
func (x *run) profiles(ctx context.Context, oldList, newList []client.Profile) error {
	inOld, inNew := byID(oldList), byID(newList)
	ids := make([]string, 0, len(oldList)+len(newList))
	for _, p := range slices.Concat(oldList, newList) {
		ids = append(ids, p.ID)
	}
	slices.Sort(ids)
	for _, id := range slices.Compact(ids) {
		older, offered := inOld[id]
		newer, stillOffered := inNew[id]
		switch {
		case !stillOffered:
			x.differs(id, "profile", "only the old broker offers it")
		case !offered:
			x.differs(id, "profile", "only the new broker offers it")
		default:
			x.result.Profiles++
			x.settings(older, newer)
			if err := x.selection(ctx, older, newer); final(err) {
				return err
			} else if err != nil {
				x.failed(id, err)
			}
			x.hosts(older, newer)
		}
	}
	return nil
}

// final reports whether the next question would fail as well: nobody answers, or
// not now.
func final(err error) bool {
	var unanswered *url.Error
	return errors.As(err, &unanswered) || errors.Is(err, client.ErrThrottled)
}

func byID(list []client.Profile) map[string]client.Profile {
	out := make(map[string]client.Profile, len(list))
	for _, p := range list {
		out[p.ID] = p
	}
	return out
}
