package main

import (
	"crypto/rand"
	"fmt"
	"io"
	"os"
	"strings"

	"github.com/x2broker/x2broker/broker/config"
	"github.com/x2broker/x2broker/broker/identity"
	"github.com/x2broker/x2broker/broker/source"
	"github.com/x2broker/x2broker/examples"
)

// demoUsers are the people of the built-in demo site.
var demoUsers = []struct {
	name   string
	groups []string
}{
	{"alice", []string{"staff"}},
	{"sam", []string{"students"}},
}

// A demoSite is the built-in site with users whose passwords last as long as
// the process.
type demoSite struct {
	source    source.Source
	passwords map[string]string // empty when broker.cue names authenticators
	temporary string            // state directory to remove, or ""
}

// newDemo puts the demo's users and a state directory of its own into cfg,
// where broker.cue and the flags say nothing else.
func newDemo(cfg *config.Config, stateDir string) (*demoSite, error) {
	tree, err := source.FromFS(examples.Demo())
	if err != nil {
		return nil, fmt.Errorf("built-in demo site: %w", err)
	}
	d := &demoSite{source: source.NewFixed("the built-in demo site", tree), passwords: map[string]string{}}
	if stateDir == "" && cfg.StateDir == config.DefaultStateDir {
		if d.temporary, err = os.MkdirTemp("", "x2broker-demo-"); err != nil {
			return nil, err
		}
		cfg.StateDir = d.temporary
	}
	if len(cfg.Authenticators) > 0 {
		return d, nil
	}
	users := map[string]config.StaticUser{}
	for _, u := range demoUsers {
		password := strings.ToLower(rand.Text()[:8])
		hash, err := identity.HashPassword(password, 10)
		if err != nil {
			d.close()
			return nil, err
		}
		d.passwords[u.name] = password
		users[u.name] = config.StaticUser{Password: hash, Groups: u.groups}
	}
	cfg.Authenticators = []config.Authenticator{{Static: users}}
	return d, nil
}

func (d *demoSite) close() {
	if d.temporary != "" {
		os.RemoveAll(d.temporary)
	}
}

// print tells how to try the demo; ssh is the address of the SSH server, "" for
// none.
func (d *demoSite) print(w io.Writer, program, address, base, ssh string) {
	url := fmt.Sprintf("http://%s%s/plain/", address, strings.TrimSuffix(base, "/"))
	fmt.Fprintf(w, "\nThe built-in demo site is at %s\n", url)
	if len(d.passwords) == 0 {
		return
	}
	fmt.Fprintf(w, "\n  %-8s %-10s %s\n", "user", "password", "groups")
	for _, u := range demoUsers {
		fmt.Fprintf(w, "  %-8s %-10s %s\n", u.name, d.passwords[u.name], strings.Join(u.groups, ", "))
	}
	fmt.Fprintf(w, "\nTry it:\n\n  echo %s | %s login --user alice --select office-xfce %s\n", d.passwords["alice"], program, url)
	fmt.Fprintf(w, "\nor X2Go Client:  x2goclient --broker-url=%s\n", strings.Replace(url, "http://", "http://alice@", 1))
	if ssh != "" {
		fmt.Fprintf(w, "over SSH:        x2goclient --broker-url=ssh://alice@%s/x2broker\n", ssh)
	}
	fmt.Fprintln(w)
}
