package golden_test

import (
	"net/http"
	"net/netip"
	"net/url"
	"regexp"
	"slices"
	"strings"
	"testing"

	"golang.org/x/crypto/bcrypt"

	"github.com/x2broker/x2broker/broker/identity"
	"github.com/x2broker/x2broker/broker/legacy"
)

// option reads an option of x2gobroker.conf as the old broker does; "" is none.
func (t *transcript) option(section, name string) string {
	if t.Config.Broker == nil {
		return ""
	}
	f, err := legacy.ParseINI("x2gobroker.conf", []byte(*t.Config.Broker))
	if err != nil {
		return ""
	}
	if s, ok := f.Section(section); ok {
		if o, ok := s.Option(name); ok {
			return o.Value
		}
	}
	o, _ := f.Defaults.Option(name)
	return o.Value
}

// mechanism is how the old broker checked passwords.
func (t *transcript) mechanism() string {
	for _, m := range []string{t.option("broker_inifile", "auth-mech"), t.option("global", "default-auth-mech")} {
		if m != "" {
			return strings.ToLower(m)
		}
	}
	return "pam"
}

// open reports whether the case needs a broker that lets everybody in without a
// password. The recordings were made with a mechanism that finds every password
// right; where each user who was let in sent one, it is his password here.
func (t *transcript) open() bool {
	switch {
	case t.option("global", "check-credentials") == "false":
		return true
	case t.option("global", "require-password") == "false":
		return t.option("global", "require-cookie") != "true"
	case t.mechanism() != "none":
		return false
	}
	return slices.ContainsFunc(t.forms(true), func(f url.Values) bool {
		return f.Get("user") == "" || f.Get("password") == "" && f.Get("authid") == ""
	})
}

// forms gives the forms of the requests, of all or of those that were let in.
func (t *transcript) forms(granted bool) []url.Values {
	var all []url.Values
	for _, s := range t.Steps {
		if s.Request == nil || s.Request.Command != nil || granted && s.answers()[0].Status != http.StatusOK {
			continue
		}
		path, query, _ := strings.Cut(s.Request.Path, "?")
		if !strings.HasPrefix(path, "/plain") && !strings.HasPrefix(path, "/json") {
			continue
		}
		form, err := url.ParseQuery(strings.ReplaceAll(query+"&"+s.Request.Body, ";", "%3B"))
		if err != nil {
			continue // a case about that
		}
		for name, values := range form {
			if name != "password" {
				values[len(values)-1] = strings.TrimSpace(values[len(values)-1])
			}
			form[name] = values[len(values)-1:]
		}
		all = append(all, form)
	}
	return all
}

// passwords are those of the users of the case.
func (t *transcript) passwords() map[string]string {
	switch t.mechanism() {
	case "testsuite": // built into the old broker
		return map[string]string{"test": "sweet", "jacques": "thérèse"}
	case "pam":
		all := map[string]string{}
		list := strings.TrimPrefix(t.Config.Users, "local accounts with passwords ")
		for account := range strings.SplitSeq(list, ", ") {
			if name, password, ok := strings.Cut(account, "/"); ok {
				all[name] = password
			}
		}
		return all
	case "none":
		return t.sent()
	}
	return nil // nobody can log in
}

// sent are the passwords that users send.
func (t *transcript) sent() map[string]string {
	all := map[string]string{}
	for _, s := range t.Steps {
		if s.Request == nil {
			continue
		}
		for _, h := range s.Request.Headers {
			basic := http.Request{Header: http.Header{h[0]: {h[1]}}}
			if name, password, ok := basic.BasicAuth(); ok {
				name, _, _ = strings.Cut(name, "@")
				all[name] = password
			}
		}
	}
	for _, s := range t.Steps {
		if s.Request != nil && s.Request.Command != nil {
			all[s.Request.login()] = "of the SSH login"
		}
	}
	for _, form := range t.forms(false) {
		if p := form.Get("password"); p != "" {
			all[form.Get("user")] = p
		}
	}
	return all
}

var (
	groupEntry   = regexp.MustCompile(`(\S+?)(?:\(\d+\))?=(\S*)`)
	primaryEntry = regexp.MustCompile(`(\S+)\(\d+, primary (\S+)\)`)
)

// groups are those of a user in the group database that the case says to use.
func (t *transcript) groups(user string) []string {
	database := t.option("broker_inifile", "group-db")
	if database == "" {
		database = t.option("global", "default-group-db")
	}
	if !strings.HasPrefix(t.Config.Groups, database+":") {
		return nil // in an unknown database nobody is in a group
	}
	var all []string
	for _, entry := range groupEntry.FindAllStringSubmatch(t.Config.Groups, -1) {
		for member := range strings.SplitSeq(strings.TrimRight(entry[2], ";"), ",") {
			if member == user {
				all = append(all, entry[1])
			}
		}
	}
	if t.option("global", "ignore-primary-group-memberships") == "false" {
		for _, entry := range primaryEntry.FindAllStringSubmatch(t.Config.Users, -1) {
			if entry[1] == user {
				all = append(all, entry[2])
			}
		}
	}
	return all
}

// authenticator knows the users of the case.
func (t *transcript) authenticator(tb testing.TB) identity.Authenticator {
	tb.Helper()
	if t.open() {
		none, err := identity.NewNone([]netip.Prefix{netip.MustParsePrefix("0.0.0.0/0"), netip.MustParsePrefix("::/0")}, nil)
		if err != nil {
			tb.Fatal(err)
		}
		return none
	}
	users := map[string]identity.StaticUser{}
	for name, password := range t.passwords() {
		if len(name) > identity.MaxName || len(password) > 72 {
			continue // nobody can have these
		}
		hash, err := bcrypt.GenerateFromPassword([]byte(password), bcrypt.MinCost)
		if err != nil {
			tb.Fatal(err)
		}
		users[name] = identity.StaticUser{Hash: string(hash), Groups: t.groups(name)}
	}
	static, _, err := identity.NewStatic(identity.StaticConfig{Users: users})
	if err != nil {
		tb.Fatal(err)
	}
	return static
}
