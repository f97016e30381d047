package ldap

import (
	"strings"
	"testing"

	ber "github.com/go-asn1-ber/asn1-ber"
	"github.com/go-ldap/ldap/v3"
	"github.com/google/go-cmp/cmp"
)

// shape is a compiled filter without its values, and the values.
func shape(t *testing.T, filter string) (string, []string) {
	t.Helper()
	p, err := ldap.CompileFilter(filter)
	if err != nil {
		t.Fatalf("%q: %v", filter, err)
	}
	var b strings.Builder
	var values []string
	var draw func(p *ber.Packet)
	draw = func(p *ber.Packet) {
		b.WriteString(ldap.FilterMap[uint64(p.Tag)])
		b.WriteByte('(')
		if p.Tag == ldap.FilterAnd || p.Tag == ldap.FilterOr || p.Tag == ldap.FilterNot {
			for _, c := range p.Children {
				draw(c)
			}
		} else {
			eachPart(p, func(p *ber.Packet, value bool) {
				if value {
					values = append(values, p.Data.String())
					b.WriteByte('?')
				} else {
					b.WriteString(p.Data.String() + " ")
				}
			})
		}
		b.WriteByte(')')
	}
	draw(p)
	return b.String(), values
}

// FuzzFilter: no name changes the shape of a filter, and the directory compares
// with the very name, byte for byte.
func FuzzFilter(f *testing.F) {
	for _, name := range []string{
		"alice", "*", "a*", "x)(uid=*", "*)(|(objectClass=*", `a\2a`, `\`, "\x00", "(", ")", "&", "Grüße", "\xff", "{user}", "{dn}", "", " a ", "=", ":=", ":dn:",
	} {
		f.Add(name, name)
	}
	texts := []string{
		"(uid={user})",
		"(&(objectClass=person)(|(uid={user})(mail={user})(uid={user}))(!(locked=TRUE)))",
		"(&(uid={user})(mail={user}@example.org)(cn=x*{user}*y))",
		"(|(uid={user})(member:1.2.840.113556.1.4.1941:={dn})(member={dn}))",
	}
	f.Fuzz(func(t *testing.T, user, dn string) {
		for _, text := range texts {
			filter, err := parseTemplate("filter", text)
			if err != nil {
				t.Fatal(err)
			}
			wantShape, plain := shape(t, filter.with("USER", "DN"))
			gotShape, values := shape(t, filter.with(user, dn))
			var want []string
			for _, v := range plain {
				want = append(want, strings.NewReplacer("USER", user, "DN", dn).Replace(v))
			}
			if gotShape != wantShape && user != "" && dn != "" {
				t.Errorf("%s with %q, %q: shape %s, want %s", text, user, dn, gotShape, wantShape)
			}
			if diff := cmp.Diff(want, values); diff != "" && user != "" && dn != "" {
				t.Errorf("%s with %q, %q: values (-want +got):\n%s", text, user, dn, diff)
			}
		}
	})
}

func TestUserFilterMistakes(t *testing.T) {
	for text, want := range map[string]string{
		"uid={user}":                        "is no filter",
		"(uid={user}":                       "is no filter",
		"(objectClass=person)":              "a placeholder must stand for a value",
		"({user}=x)":                        "a placeholder must stand for a value",
		"(&(uid={user})({user}=x))":         "a placeholder must stand for a value",
		"(&(uid={user})({user}=*))":         "a placeholder must stand for a value",
		"(&(uid={user})({user}:=x))":        "a placeholder must stand for a value",
		"(&(uid={user})(member={dn}))":      "{dn} is not known",
		"(mail={user})":                     "put (uid={user}) into it",
		"(&(uid={user})(manager={user}*z))": "",
	} {
		_, err := parseUserFilter(text, "uid")
		if (err == nil) != (want == "") || err != nil && !strings.Contains(err.Error(), want) {
			t.Errorf("%s: %v, want %q", text, err, want)
		}
	}
}
