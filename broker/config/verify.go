package config

import (
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"time"

	"cuelang.org/go/cue"
	"cuelang.org/go/cue/cuecontext"
	"github.com/go-git/go-git/v5/plumbing"

	"github.com/x2broker/x2broker/broker/source/verify"
)

// Modes of Verify. An empty one is off.
const (
	VerifyOff     = "off"
	VerifyWarn    = "warn"
	VerifyEnforce = "enforce"
)

// Verify says whose commits are served.
type Verify struct {
	Mode  string
	Rules verify.Rules
}

// maxKeyFile is how many bytes a file of keys may have.
const maxKeyFile = 4 << 20

// rawVerify is the verify block as CUE decodes it.
type rawVerify struct {
	Mode         string
	Since        string
	AllowRewrite bool
	Signers      []struct {
		Principal   string
		Keys        []string
		KeyFile     string
		ValidAfter  string
		ValidBefore string
		Groups      []string
	}
	AllowedSignersFile string
	Forges             []struct {
		Name    string
		KeyFile string
		MayEdit bool
	}
	Rules []struct {
		Paths   []string
		Signers []string
	}
	Revoked []string
}

// LoadVerify reads the verify block alone: of a broker.cue, or of a file that
// has nothing else. The error joins all mistakes, as that of [Load].
func LoadVerify(filename string) (Verify, error) {
	data, err := os.ReadFile(filename)
	if err != nil {
		return Verify{}, err
	}
	ctx := cuecontext.New()
	schema := ctx.CompileBytes(schemaSource, cue.Filename("<x2broker>"))
	if err := schema.Err(); err != nil {
		return Verify{}, fmt.Errorf("built-in schema of broker.cue: %w", err)
	}
	given := ctx.CompileBytes(data, cue.Filename(filename))
	if err := given.Err(); err != nil {
		return Verify{}, explain(filename, err)
	}
	block := given.LookupPath(cue.ParsePath("verify"))
	if !block.Exists() {
		return Verify{}, fmt.Errorf("%s: has no verify block, so it says of nobody that he may sign: docs/verify.md shows one", filename)
	}
	// Under its name, so that a mistake has the path that the file has.
	only := ctx.CompileString("close({verify?: _})").FillPath(cue.ParsePath("verify"), schema.LookupPath(cue.ParsePath("#Verify"))).FillPath(cue.ParsePath("verify"), block)
	if err := only.Validate(cue.Concrete(true)); err != nil {
		return Verify{}, errors.Join(checkUnknown(schema, given, filename), explain(filename, err))
	}
	var r struct{ Verify rawVerify }
	if err := only.Decode(&r); err != nil {
		return Verify{}, explain(filename, err)
	}
	return r.Verify.load(filename, given)
}

// verifyLoader gathers mistakes with their places.
type verifyLoader struct {
	filename string
	given    cue.Value
	all      []error
}

// add notes a mistake in a field, "signers.0.keys.1".
func (l *verifyLoader) add(field string, format string, args ...any) {
	// The innermost part of the field that the file has.
	selectors := []cue.Selector{cue.Str("verify")}
	v := l.given.LookupPath(cue.MakePath(selectors...))
	for name := range strings.SplitSeq(field, ".") {
		s := cue.Str(name)
		if i, err := strconv.Atoi(name); err == nil {
			s = cue.Index(i)
		}
		selectors = append(selectors, s)
		inner := l.given.LookupPath(cue.MakePath(selectors...))
		if !inner.Exists() {
			break
		}
		v = inner
	}
	l.all = append(l.all, fmt.Errorf("%s: verify.%s: %s", place(l.filename, v.Pos()), field, fmt.Sprintf(format, args...)))
}

// load reads the keys and checks the rules. given is the whole file.
func (r *rawVerify) load(filename string, given cue.Value) (Verify, error) {
	l := &verifyLoader{filename: filename, given: given}
	v := Verify{Mode: r.Mode, Rules: verify.Rules{AllowRewrite: r.AllowRewrite, Revoked: r.Revoked}}
	if r.Mode == "" {
		v.Mode = VerifyOff
	}
	if info, err := os.Stat(filename); err == nil && info.Mode().Perm()&0o022 != 0 {
		l.add("signers", "%s can be changed by others than its owner, who could name themselves: chmod go-w it", filename)
	}
	if r.Since != "" {
		v.Rules.Since = plumbing.NewHash(r.Since)
		if v.Rules.Since.String() != r.Since {
			l.add("since", "%q is no commit: give the 40 hex digits that git rev-parse prints", r.Since)
		}
	}
	for i, s := range r.Signers {
		field := "signers." + strconv.Itoa(i)
		signer := verify.Signer{
			Principals:  []string{s.Principal},
			Groups:      s.Groups,
			Keys:        l.keyFile(field+".keyFile", s.KeyFile),
			ValidAfter:  l.time(field+".validAfter", s.ValidAfter),
			ValidBefore: l.time(field+".validBefore", s.ValidBefore),
		}
		for j, text := range s.Keys {
			key, err := verify.ParseSSHKey(text)
			if err != nil {
				l.add(fmt.Sprintf("%s.keys.%d", field, j), "%v", err)
				continue
			}
			signer.Keys.SSH = append(signer.Keys.SSH, key)
		}
		v.Rules.Signers = append(v.Rules.Signers, signer)
	}
	if r.AllowedSignersFile != "" {
		const field = "allowedSignersFile"
		if data, ok := l.read(field, r.AllowedSignersFile); ok {
			more, err := verify.ParseAllowedSigners(data, time.Local)
			if err != nil {
				l.add(field, "%s: %v", r.AllowedSignersFile, err)
			}
			v.Rules.Signers = append(v.Rules.Signers, more...)
		}
	}
	for i, f := range r.Forges {
		keys := l.keyFile(fmt.Sprintf("forges.%d.keyFile", i), f.KeyFile)
		v.Rules.Forges = append(v.Rules.Forges, verify.Forge{Name: f.Name, Keys: keys, MayEdit: f.MayEdit})
	}
	for _, rule := range r.Rules {
		v.Rules.Paths = append(v.Rules.Paths, verify.PathRule{Paths: rule.Paths, Signers: rule.Signers})
	}
	if len(l.all) == 0 { // else a key that could not be read would be reported as missing, too
		l.check(v.Rules, len(r.Signers))
	}
	return v, errors.Join(l.all...)
}

// check has the rules checked as a whole. Signers from own on are those of the
// allowed signers' file.
func (l *verifyLoader) check(rules verify.Rules, own int) {
	_, err := verify.New(rules)
	joined, ok := err.(interface{ Unwrap() []error })
	if !ok {
		return
	}
	for _, err := range joined.Unwrap() {
		var rule *verify.RuleError
		if !errors.As(err, &rule) {
			l.all = append(l.all, err)
			continue
		}
		field := rule.Field
		if rest, ok := strings.CutPrefix(field, "signers."); ok {
			if i, err := strconv.Atoi(strings.SplitN(rest, ".", 2)[0]); err == nil && i >= own {
				field = "allowedSignersFile"
			}
		}
		l.add(field, "%s", rule.Text)
	}
}

// keyFile reads a file of keys; "" is none.
func (l *verifyLoader) keyFile(field, name string) verify.Keys {
	if name == "" {
		return verify.Keys{}
	}
	data, ok := l.read(field, name)
	if !ok {
		return verify.Keys{}
	}
	keys, err := verify.ParseKeys(data)
	if err != nil {
		l.add(field, "%s: %v", name, err)
	}
	return keys
}

// read reads a file that says who may sign, unless others could change it.
func (l *verifyLoader) read(field, name string) ([]byte, bool) {
	if !filepath.IsAbs(name) {
		name = filepath.Join(filepath.Dir(l.filename), name)
	}
	f, err := os.Open(name)
	if err != nil {
		l.add(field, "%v", err)
		return nil, false
	}
	defer f.Close()
	info, err := f.Stat()
	switch {
	case err != nil:
		l.add(field, "%v", err)
		return nil, false
	case !info.Mode().IsRegular():
		l.add(field, "%s is no file", name)
		return nil, false
	case info.Mode().Perm()&0o022 != 0:
		l.add(field, "%s can be changed by others than its owner, who could name themselves: chmod go-w it", name)
		return nil, false
	}
	data, err := io.ReadAll(io.LimitReader(f, maxKeyFile+1))
	if err != nil || len(data) > maxKeyFile {
		l.add(field, "%s cannot be read, or has more than %d bytes", name, maxKeyFile)
		return nil, false
	}
	return data, true
}

// time reads a moment, or a day, which is its beginning in UTC; "" is none.
func (l *verifyLoader) time(field, s string) time.Time {
	if s == "" {
		return time.Time{}
	}
	if t, err := time.Parse(time.DateOnly, s); err == nil {
		return t
	}
	t, err := time.Parse(time.RFC3339, s)
	if err != nil {
		l.add(field, "%q is no time: write \"2026-01-31\" or \"2026-01-31T12:00:00Z\"", s)
	}
	return t
}
