package ldap

import (
	"fmt"
	"strings"

	ber "github.com/go-asn1-ber/asn1-ber"
	"github.com/go-ldap/ldap/v3"
)

// The placeholders of filters.
const (
	placeUser = "{user}"
	placeDN   = "{dn}"
)

// template is a filter (RFC 4515) with placeholders where values stand.
type template struct{ text string }

// with puts escaped values into the filter.
func (t template) with(user, dn string) string {
	return strings.NewReplacer(placeUser, ldap.EscapeFilter(user), placeDN, ldap.EscapeFilter(dn)).Replace(t.text)
}

func (t template) has(placeholder string) bool { return strings.Contains(t.text, placeholder) }

// parseTemplate takes a filter whose placeholders stand where a value stands
// and nowhere else: in the place of an attribute no escaping would help.
func parseTemplate(field, text string) (template, error) {
	t := template{text}
	const probe = "x2brokerprobe"
	filter, err := ldap.CompileFilter(t.with(probe, probe))
	if err != nil {
		return t, fmt.Errorf("%s: %q is no filter: %w", field, text, err)
	}
	outside, inside := 0, 0
	eachPart(filter, func(p *ber.Packet, value bool) {
		switch n := strings.Count(p.Data.String(), probe); {
		case n > 0 && value:
			inside += n
		case n > 0:
			outside += n
		}
	})
	if outside > 0 || inside != strings.Count(t.with(probe, probe), probe) || inside == 0 {
		return t, fmt.Errorf("%s: %q: a placeholder must stand for a value, as in \"(uid={user})\"", field, text)
	}
	return t, nil
}

// parseUserFilter also wants the filter to find a user by his canonical name,
// because that is all a ticket has.
func parseUserFilter(text, nameAttribute string) (template, error) {
	t, err := parseTemplate("filter", text)
	if err != nil {
		return t, err
	}
	if t.has(placeDN) {
		return t, fmt.Errorf("filter: %q: {dn} is not known before the user is found", text)
	}
	if !strings.Contains(strings.ToLower(text), strings.ToLower("("+nameAttribute+"="+placeUser+")")) {
		return t, fmt.Errorf("filter: %q must also find users by the name they have for the broker: put (%s={user}) into it, as in \"(|(%[2]s={user})(mail={user}))\"", text, nameAttribute)
	}
	return t, nil
}

// eachPart calls f for each leaf of a compiled filter (RFC 4511 section
// 4.5.1.7), and says whether it is a value that is compared with.
func eachPart(p *ber.Packet, f func(p *ber.Packet, value bool)) {
	switch p.Tag {
	case ldap.FilterAnd, ldap.FilterOr, ldap.FilterNot:
		for _, c := range p.Children {
			eachPart(c, f)
		}
	case ldap.FilterSubstrings:
		f(p.Children[0], false)
		for _, c := range p.Children[1].Children {
			f(c, true)
		}
	case ldap.FilterExtensibleMatch:
		for _, c := range p.Children {
			f(c, c.Tag == ldap.MatchingRuleAssertionMatchValue)
		}
	case ldap.FilterPresent:
		f(p, false)
	default: // attribute and value
		f(p.Children[0], false)
		f(p.Children[1], true)
	}
}
