package config

import (
	"crypto/tls"
	_ "embed"
	"errors"
	"fmt"
	"strings"

	"cuelang.org/go/cue"
	"cuelang.org/go/cue/cuecontext"
	cueerrors "cuelang.org/go/cue/errors"
	"cuelang.org/go/cue/token"
)

//go:embed schema.cue
var schemaSource []byte

// raw is broker.cue as CUE decodes it.
type raw struct {
	Site struct {
		URL, Ref, Poll, Timeout string
		Auth                    SiteAuth
	}
	Listen struct {
		HTTP           *string
		HTTPS          string
		SSH            string
		Metrics        string
		TLS            struct{ Cert, Key string }
		TrustedProxies []string
		BasePath       string
	}
	Authenticators []rawAuthenticator
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

	verify Verify
}

type rawAuthenticator struct {
	Type  string
	Users map[string]struct {
		Password string
		Groups   []string
	}
	From   []string
	Groups []string
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
	if err := checkAuthenticators(schema, given, filename); err != nil {
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

// checkAuthenticators checks each entry against the definition of its type: a
// disjunction of all would report the mistakes of every alternative.
func checkAuthenticators(schema, given cue.Value, filename string) error {
	definitions := map[string]string{"static": "#Static", "none": "#None"}
	entries, err := given.LookupPath(cue.ParsePath("authenticators")).List()
	if err != nil {
		return explain(filename, err)
	}
	var all []error
	for i := 0; entries.Next(); i++ {
		entry := entries.Value()
		kind, _ := entry.LookupPath(cue.ParsePath("type")).String()
		def, ok := definitions[kind]
		if !ok {
			all = append(all, fmt.Errorf("%s: authenticators.%d.type: %q is none of \"static\", \"none\"", place(filename, entry.Pos()), i, kind))
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
	if r.Listen.HTTP != nil {
		c.Listen.HTTP = *r.Listen.HTTP
	}
	if r.Listen.SSH != "" {
		p.add("listen.ssh", "this version has no SSH broker yet: leave it empty")
	}
	r.fillTLS(c, p)
	c.Listen.Metrics = r.Listen.Metrics
	r.Webhook.fill(c, p)
	c.Listen.TrustedProxies = p.prefixes("listen.trustedProxies", r.Listen.TrustedProxies)
	if r.Listen.BasePath != "" {
		c.Listen.BasePath = p.basePath(r.Listen.BasePath)
	}
	for _, a := range r.Authenticators {
		if a.Type == "none" {
			none := Authenticator{From: p.prefixes("authenticators.none.from", a.From), Groups: a.Groups}
			if len(a.From) == 0 {
				p.add("authenticators.none.from", "is empty: name the networks whose users need no password")
			}
			c.Authenticators = append(c.Authenticators, none)
			continue
		}
		static := map[string]StaticUser{}
		for name, u := range a.Users {
			static[name] = StaticUser{Password: u.Password, Groups: u.Groups}
		}
		c.Authenticators = append(c.Authenticators, Authenticator{Static: static})
	}
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

func (r *raw) fillTLS(c *Config, p *problems) {
	c.Listen.HTTPS = r.Listen.HTTPS
	if c.Listen.HTTPS == "" {
		return
	}
	if r.Listen.TLS.Cert == "" || r.Listen.TLS.Key == "" {
		p.add("listen.tls", "https needs the PEM files cert and key")
		return
	}
	cert, err := tls.LoadX509KeyPair(r.Listen.TLS.Cert, r.Listen.TLS.Key)
	if err != nil {
		p.add("listen.tls", "%v", err)
		return
	}
	c.Listen.Certificate = &cert
}
