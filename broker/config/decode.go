package config

import (
	_ "embed"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"

	"cuelang.org/go/cue"
	"cuelang.org/go/cue/cuecontext"
	cueerrors "cuelang.org/go/cue/errors"
	"cuelang.org/go/cue/token"

	"github.com/x2broker/x2broker/broker/identity"
)

//go:embed schema.cue
var schemaSource []byte

// raw is broker.cue as CUE decodes it.
type raw struct {
	Site struct {
		URL, Ref, Poll, Timeout string
		Auth                    SiteAuth
	}
	Listen         rawListen
	Authenticators []rawAuthenticator
	Groups         []rawAuthenticator
	Ticket         struct {
		Lifetime      string
		KeyRotation   string
		KeyFile       string
		Rotate        *bool
		VerifyAddress *bool
		Shared        struct {
			File            string
			WithoutPassword bool
			From            []string
		}
	}
	Frontends struct {
		Plain struct {
			Enabled      *bool
			DeniedStatus int
		}
		JSON struct{ Enabled *bool }
		UCCS struct {
			Enabled *bool
			URL     string
		}
		Zeroconf struct {
			Enabled *bool
			Command string
		}
	}
	StateDir string
	Verify   *rawVerify
	Webhook  *rawWebhook
	SSH      rawSSH

	verify Verify
}

type rawAuthenticator struct {
	Type  string
	Users map[string]struct {
		Password string
		Groups   []string
	}
	Socket string
	From   []string
	Groups []string

	rawDirectory
	URL       string // of https
	LookupURL string
	TokenFile string
}

// decode checks the file against the schema. The error joins all mistakes.
func decode(filename string, data []byte) (*raw, error) {
	ctx := cuecontext.New()
	schema := ctx.CompileBytes(schemaSource, cue.Filename("<x2broker>"))
	if err := schema.Err(); err != nil {
		return nil, fmt.Errorf("built-in schema of broker.cue: %w", err)
	}
	given := ctx.CompileBytes(data, cue.Filename(filename))
	if err := given.Err(); err != nil {
		return nil, explain(filename, err)
	}
	v := schema.LookupPath(cue.ParsePath("#Config")).Unify(given)
	if err := v.Validate(cue.Concrete(true)); err != nil {
		return nil, errors.Join(checkUnknown(schema, given, filename), explain(filename, err))
	}
	if err := errors.Join(
		checkTyped(schema, given, filename, "authenticators", map[string]string{"static": "#Static", "ldap": "#LDAP", "https": "#HTTPS", "none": "#None", "pam": "#PAM"}),
		checkTyped(schema, given, filename, "groups", map[string]string{"ldap": "#LDAP", "pam": "#PAMGroups"}),
	); err != nil {
		return nil, err
	}
	var r raw
	if err := v.Decode(&r); err != nil {
		return nil, explain(filename, err)
	}
	if r.Verify != nil {
		var err error
		if r.verify, err = r.Verify.load(filename, given); err != nil {
			return nil, err
		}
	}
	return &r, nil
}

// checkUnknown finds unknown top-level fields, which CUE does not report beside
// other mistakes.
func checkUnknown(schema, given cue.Value, filename string) error {
	fields, err := given.Fields()
	if err != nil {
		return nil // reported as what it is
	}
	var all []error
	for fields.Next() {
		name := fields.Selector().Unquoted()
		path := cue.MakePath(cue.Def("#Config"), cue.Str(name).Optional())
		if name != "authenticators" && !schema.LookupPath(path).Exists() {
			all = append(all, fmt.Errorf("%s: %s: unknown field", place(filename, fields.Value().Pos()), name))
		}
	}
	return errors.Join(all...)
}

// checkTyped checks each entry of a list against the definition of its type: a
// disjunction of all would report the mistakes of every alternative.
func checkTyped(schema, given cue.Value, filename, field string, definitions map[string]string) error {
	list := given.LookupPath(cue.ParsePath(field))
	if !list.Exists() {
		return nil
	}
	entries, err := list.List()
	if err != nil {
		return explain(filename, err)
	}
	var all []error
	for i := 0; entries.Next(); i++ {
		entry := entries.Value()
		kind, _ := entry.LookupPath(cue.ParsePath("type")).String()
		def, ok := definitions[kind]
		if !ok {
			known := slices.Sorted(maps.Keys(definitions))
			all = append(all, fmt.Errorf("%s: %s.%d.type: %q is none of \"%s\"", place(filename, entry.Pos()), field, i, kind, strings.Join(known, `", "`)))
			continue
		}
		if err := schema.LookupPath(cue.ParsePath(def)).Unify(entry).Validate(cue.Concrete(true)); err != nil {
			all = append(all, explain(filename, err))
		}
	}
	return errors.Join(all...)
}

// explain writes each of CUE's errors as "file:line:col: path: message".
func explain(filename string, err error) error {
	var all []error
	for _, e := range cueerrors.Errors(err) {
		format, args := e.Msg()
		message := fmt.Sprintf(format, args...)
		switch message {
		case "field not allowed":
			if p := e.Path(); len(p) == 2 && p[0] == "#Config" {
				continue // checkUnknown says so
			}
			message = "unknown field"
		case "field is required but not present":
			message = "required field is missing"
		}
		var pos token.Pos
		for _, p := range cueerrors.Positions(e) {
			if p.Filename() == filename {
				pos = p
				break
			}
		}
		path := strings.TrimPrefix(strings.Join(e.Path(), "."), "#Config.")
		if path != "" {
			path += ": "
		}
		all = append(all, fmt.Errorf("%s: %s%s", place(filename, pos), path, message))
	}
	return errors.Join(all...)
}

func place(filename string, pos token.Pos) string {
	if pos.Filename() != filename {
		return filename
	}
	return fmt.Sprintf("%s:%d:%d", filename, pos.Line(), pos.Column())
}

// fill overwrites the defaults in c with what the file says.
func (r *raw) fill(c *Config, p *problems) {
	c.Site.URL = r.Site.URL
	if r.Site.Ref != "" {
		c.Site.Ref = r.Site.Ref
	}
	c.Site.Poll = p.duration("site.poll", r.Site.Poll, c.Site.Poll)
	c.Site.Timeout = p.duration("site.timeout", r.Site.Timeout, c.Site.Timeout)
	c.Site.Auth = r.Site.Auth
	r.Listen.fill(c, p)
	r.Webhook.fill(c, p)
	r.SSH.fill(c, p)
	for _, a := range r.Authenticators {
		c.Authenticators = append(c.Authenticators, a.authenticator(p))
	}
	r.fillGroups(c, p)
	c.Ticket.Lifetime = p.duration("ticket.lifetime", r.Ticket.Lifetime, c.Ticket.Lifetime)
	c.Ticket.KeyRotation = p.duration("ticket.keyRotation", r.Ticket.KeyRotation, c.Ticket.KeyRotation)
	if c.Ticket.KeyFile = r.Ticket.KeyFile; c.Ticket.KeyFile != "" && r.Ticket.KeyRotation != "" {
		p.add("ticket.keyRotation", "is for keys that the broker makes itself: in keyFile each key has its time")
	}
	set(&c.Ticket.Rotate, r.Ticket.Rotate)
	set(&c.Ticket.VerifyAddress, r.Ticket.VerifyAddress)
	r.fillShared(&c.Ticket.Shared, p)
	r.fillFrontends(&c.Frontends, p)
	if r.StateDir != "" {
		c.StateDir = r.StateDir
	}
	c.Verify = r.verify
}

func (a rawAuthenticator) authenticator(p *problems) Authenticator {
	switch a.Type {
	case "pam":
		return Authenticator{PAM: p.pam("authenticators.pam", a.Socket), MaxAge: p.age("authenticators.pam.maxAge", a.MaxAge, identity.MaxLookupAge)}
	case "ldap":
		return Authenticator{LDAP: a.rawDirectory.config("authenticators.ldap", p), MaxAge: p.age("authenticators.ldap.maxAge", a.MaxAge, identity.MaxLookupAge)}
	case "https":
		return Authenticator{HTTPS: a.endpoint("authenticators.https", p), MaxAge: p.age("authenticators.https.maxAge", a.MaxAge, identity.MaxLookupAge)}
	case "none":
		if len(a.From) == 0 {
			p.add("authenticators.none.from", "is empty: name the networks whose users need no password")
		}
		return Authenticator{From: p.prefixes("authenticators.none.from", a.From), Groups: a.Groups}
	}
	static := map[string]StaticUser{}
	for name, u := range a.Users {
		static[name] = StaticUser{Password: u.Password, Groups: u.Groups}
	}
	return Authenticator{Static: static}
}

func (r *raw) fillShared(s *Shared, p *problems) {
	from := r.Ticket.Shared
	*s = Shared{File: from.File, WithoutPassword: from.WithoutPassword}
	if len(from.From) > 0 {
		s.From = p.prefixes("ticket.shared.from", from.From)
	}
	switch {
	case s.WithoutPassword && len(from.From) == 0:
		p.add("ticket.shared.from", "is missing: without a password, name the networks that the shared authid is good from")
	case !s.WithoutPassword && len(from.From) > 0:
		p.add("ticket.shared.from", "is for withoutPassword only")
	}
}

func (r *raw) fillFrontends(f *Frontends, p *problems) {
	set(&f.Plain.Enabled, r.Frontends.Plain.Enabled)
	if r.Frontends.Plain.DeniedStatus != 0 {
		f.Plain.DeniedStatus = r.Frontends.Plain.DeniedStatus
	}
	set(&f.JSON.Enabled, r.Frontends.JSON.Enabled)
	set(&f.UCCS.Enabled, r.Frontends.UCCS.Enabled)
	if u := r.Frontends.UCCS.URL; u != "" {
		f.UCCS.URL = p.url("frontends.uccs.url", u)
	}
	set(&f.Zeroconf.Enabled, r.Frontends.Zeroconf.Enabled)
	if command := r.Frontends.Zeroconf.Command; command != "" {
		f.Zeroconf.Command = command
	}
}

// set leaves what the file does not say as it is.
func set(field, given *bool) {
	if given != nil {
		*field = *given
	}
}
