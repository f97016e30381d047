package rehearse

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"

	"github.com/x2broker/x2broker/client"
)

// noServer are what x2gobroker names when it has no server.
var noServer = []string{"no-server-available", "no-x2go-server-available"}

// chosen is what a broker answers to selections of one profile.
type chosen struct {
	tries   int
	ports   map[string]int // of each server, by its name in lower case
	listed  []string       // servers that the list names
	session string         // id of the session to resume, or none
	key     bool           // a private key came along
	refused string         // why there is no server, or none
}

// mayChoose reports whether the server is one of the broker's.
func (c chosen) mayChoose(server string) bool {
	_, ok := c.ports[server]
	return ok || slices.Contains(c.listed, server)
}

// selection selects a profile at both brokers and compares what comes of it.
// Its error means that one of them failed.
func (x *run) selection(ctx context.Context, older, newer client.Profile) error {
	if older.Keys["status"] == "R" {
		x.note(older.ID, "session", "not selected: the user has a running session, which the old broker would suspend")
		return nil
	}
	servers := max(len(hostsOf(older)), len(hostsOf(newer)))
	a, err := x.choose(ctx, x.old, older, servers)
	if err != nil {
		return fmt.Errorf("old broker: %w", err)
	}
	b, err := x.choose(ctx, x.new, newer, servers)
	if err != nil {
		return fmt.Errorf("new broker: %w", err)
	}
	if b.refused == "" {
		x.result.Selections++ // one more try moves it
	}
	switch {
	case a.refused != "" && b.refused != "":
		x.note(older.ID, "server", "no server at either broker")
	case a.refused != "":
		x.differs(older.ID, "server", "server: none at the old broker (%s), %s at the new one", a.refused, oneOf(b.pool()))
	case b.refused != "":
		x.differs(older.ID, "server", "server: %s at the old broker, none at the new one (%s)", oneOf(a.pool()), b.refused)
	default:
		x.servers(older.ID, a, b)
		x.sessions(older.ID, a, b)
	}
	return nil
}

// choose selects until all servers have been seen, but not more often than
// x.Tries. The broker may choose by chance, or by load.
func (x *run) choose(ctx context.Context, c *client.Client, p client.Profile, servers int) (chosen, error) {
	out := chosen{ports: map[string]int{}, listed: hostsOf(p)}
	c.Account = keys["user"].read(p, "user").means
	for out.tries < max(x.Tries, 1) && len(out.ports) < max(servers, 1) && out.session == "" {
		server, err := c.Select(ctx, p.ID)
		if errors.Is(err, client.ErrDenied) && !errors.Is(err, client.ErrThrottled) {
			out.refused = reason(err)
			return out, nil
		}
		if err != nil {
			return chosen{}, err
		}
		out.tries++
		name := strings.ToLower(server.Address)
		if slices.Contains(noServer, name) {
			out.refused = server.Address
			return out, nil
		}
		out.ports[name] = server.Port
		out.session, out.key = sessionOf(server.Session), out.key || server.Key
	}
	return out, nil
}

// pool are the servers that a broker may choose, in order.
func (c chosen) pool() []string {
	out := slices.AppendSeq(slices.Clone(c.listed), maps.Keys(c.ports))
	slices.Sort(out)
	return slices.Compact(out)
}

// servers compares the servers chosen. By chance or by load, a broker may choose
// any that it lists, so that only a server which the other would not choose is
// a difference.
func (x *run) servers(id string, a, b chosen) {
	foreign := func(c, other chosen) bool {
		return slices.ContainsFunc(slices.Collect(maps.Keys(c.ports)), func(name string) bool { return !other.mayChoose(name) })
	}
	if foreign(a, b) || foreign(b, a) {
		x.differs(id, "server", "server: %s at the old broker, %s at the new one", oneOf(a.pool()), oneOf(b.pool()))
	}
	for _, name := range slices.Sorted(maps.Keys(a.ports)) {
		if port, ok := b.ports[name]; ok && port != a.ports[name] {
			x.differs(id, "server", "server: %s has port %d at the old broker, %d at the new one", name, a.ports[name], port)
		}
	}
}

func oneOf(servers []string) string {
	if len(servers) == 1 {
		return servers[0]
	}
	return "one of " + strings.Join(servers, ", ")
}

// sessions compares whether a session is resumed, and how the user gets in.
func (x *run) sessions(id string, a, b chosen) {
	show := func(session string) string {
		if session == "" {
			return "a new session starts"
		}
		return "the session " + session + " is resumed"
	}
	if a.session != b.session {
		x.differs(id, "session", "session: with the old broker %s, with the new one %s", show(a.session), show(b.session))
	}
	way := map[bool]string{true: "hands out a key for the login at the server", false: "hands out none"}
	if a.key != b.key {
		x.differs(id, "session", "key: the old broker %s, the new one %s", way[a.key], way[b.key])
	}
}

// sessionOf gives the id of a session that can be resumed. x2gobroker sends
// others, too, which no client resumes.
func sessionOf(info string) string {
	fields := strings.Split(info, "|")
	if len(fields) < 5 || states[fields[4]] == "" {
		return ""
	}
	return fields[1]
}
