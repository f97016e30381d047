package rehearse

import (
	"encoding/json"
	"fmt"
	"io"
	"slices"
	"strings"

	"github.com/x2broker/x2broker/client"
)

// A Report is a rehearsal of all users.
type Report struct {
	Old         string   `json:"old"`
	New         string   `json:"new"`
	Users       []Result `json:"users"`
	Differences int      `json:"differences"` // of all users together
	Failures    int      `json:"failures"`    // users who could not be compared
}

// Add takes in what one user would notice.
func (r *Report) Add(u Result) {
	r.Users = append(r.Users, u)
	r.Differences += len(u.Differences)
	if len(u.Errors) > 0 {
		r.Failures++
	}
}

// Same reports whether all was compared, and nobody would notice anything. It
// takes one user who gets in to say so.
func (r *Report) Same() bool {
	return r.Differences == 0 && r.Failures == 0 && !r.nobody()
}

// nobody reports whether both brokers refused everybody: then nothing was
// compared.
func (r *Report) nobody() bool {
	return !slices.ContainsFunc(r.Users, func(u Result) bool { return !u.Refused })
}

// WriteJSON writes the report for tools.
func (r *Report) WriteJSON(w io.Writer) error {
	e := json.NewEncoder(w)
	e.SetIndent("", "  ")
	return e.Encode(r)
}

// Write writes the report for people: users of whom the same is to be said stand
// together, and each note once.
func (r *Report) Write(w io.Writer) error {
	var b strings.Builder
	for _, g := range r.groups() {
		fmt.Fprintf(&b, "%s: %s\n", client.Printable(strings.Join(g.users, ", ")), g.verdict)
		for _, line := range g.lines {
			fmt.Fprintf(&b, "    %s\n", client.Printable(line))
		}
	}
	if notes := r.notes(); len(notes) > 0 {
		b.WriteString("\nto know, but no difference:\n")
		for _, line := range notes {
			fmt.Fprintf(&b, "    %s\n", client.Printable(line))
		}
	}
	b.WriteString("\n" + r.left() + "\n" + r.sum() + "\n")
	_, err := io.WriteString(w, b.String())
	return err
}

// A group is users of whom the same is to be said.
type group struct {
	users   []string
	verdict string
	lines   []string
}

func (r *Report) groups() []*group {
	var out []*group
	for _, u := range r.Users {
		g := group{verdict: u.verdict(), lines: append(lines(u.Differences), u.Errors...)}
		i := slices.IndexFunc(out, func(o *group) bool { return o.verdict == g.verdict && slices.Equal(o.lines, g.lines) })
		if i < 0 {
			i, out = len(out), append(out, &g)
		}
		out[i].users = append(out[i].users, u.name())
	}
	return out
}

func (u Result) name() string {
	if u.From == "" {
		return u.User
	}
	return u.User + " from " + u.From
}

func (u Result) verdict() string {
	switch {
	case len(u.Errors) > 0 && len(u.Differences) > 0:
		return count(len(u.Differences), "difference") + ", and not all was compared"
	case len(u.Errors) > 0 && u.Profiles > 0:
		return "not all was compared"
	case len(u.Errors) > 0:
		return "not compared"
	case len(u.Differences) > 0:
		return count(len(u.Differences), "difference")
	case u.Refused:
		return "refused by both brokers"
	}
	return "the same, " + count(u.Profiles, "profile")
}

// notes gives each note once.
func (r *Report) notes() []string {
	var all []Finding
	for _, u := range r.Users {
		for _, f := range u.Notes {
			if !slices.Contains(all, f) {
				all = append(all, f)
			}
		}
	}
	return lines(all)
}

// lines says what is the same of several profiles once.
func lines(findings []Finding) []string {
	profiles := map[string][]string{} // by text
	for _, f := range findings {
		if f.Profile != "" {
			profiles[f.Text] = append(profiles[f.Text], f.Profile)
		}
	}
	var out []string
	for _, f := range findings {
		if f.Profile == "" {
			out = append(out, f.Text)
		} else if names := profiles[f.Text]; names != nil { // else said with an earlier one
			out = append(out, inShort(names)+": "+f.Text)
			delete(profiles, f.Text)
		}
	}
	return out
}

// inShort names profiles on one line; JSON has them all.
func inShort(names []string) string {
	const most = 5
	if n := len(names); n > most+1 {
		return fmt.Sprintf("%s and %d more", strings.Join(names[:most], ", "), n-most)
	}
	return strings.Join(names, ", ")
}

// left says what the rehearsal leaves behind.
func (r *Report) left() string {
	tickets, selections := 0, 0
	for _, u := range r.Users {
		tickets += u.Tickets
		selections += u.Selections
	}
	return fmt.Sprintf("left behind: at the old broker %s, as after any login; at the new one up to %s that count as placed for 8 hours",
		count(tickets, "cookie file"), count(selections, "session"))
}

// sum is the last line: what the exit code says.
func (r *Report) sum() string {
	all := count(len(r.Users), "user")
	switch {
	case r.Same():
		return "no difference: " + all
	case r.nobody():
		return "the rehearsal failed: both brokers refuse everybody; look at the passwords"
	case r.Failures == 0:
		return fmt.Sprintf("%s: %s", count(r.Differences, "difference"), all)
	}
	return fmt.Sprintf("the rehearsal failed for %d of %s; %s among what was compared", r.Failures, all, count(r.Differences, "difference"))
}

func count(n int, what string) string {
	if n == 1 {
		return "1 " + what
	}
	return fmt.Sprintf("%d %ss", n, what)
}
