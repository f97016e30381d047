package legacy

import (
	"maps"
	"slices"
	"strings"

	"cuelang.org/go/cue/ast"

	"github.com/x2broker/x2broker/schema"
)

// access is who may see a profile.
type access struct{ acl ACL }

// access reports on the lists of a profile, and converts them.
func (i *importer) access(p *Profile, options map[string]Origin) {
	acl, problems := ParseACL(p.Options)
	p.ACL, p.access = acl, access{acl}
	bad := map[string]bool{}
	for _, problem := range problems {
		bad[problem.Option] = true
		text, remedy, _ := strings.Cut(problem.Text, ": ")
		i.lossOnce(options[problem.Option], oneLine(problem.Entry)+": "+text, remedy)
	}
	if len(problems) == 0 && acl.hidesFromAll() {
		i.Report.note(Origin{File: i.file.Name, Line: p.Line, Section: p.Section}, "its lists showed it to nobody, and so does the site",
			"to show it to those in its allow list, write order=allow-deny; to all but those in its deny list, allow ALL; and import again")
	}
	for name, at := range options {
		switch {
		case bad[name]:
		case !aclOptions[name]:
			i.noteOnce(at, "the old broker knows no such option and ignores it"+schema.DidYouMean(name, slices.Sorted(maps.Keys(aclOptions))),
				"if a list is meant, correct its name, and import again")
		case name == "acl-any-order":
			i.noteOnce(at, "had no effect in the old broker, nor has it here: who is in both lists of a kind is denied",
				"if who is allowed should win, write acl-users-order, acl-groups-order or acl-clients-order=allow-deny, and import again")
		case strings.HasSuffix(name, "-order") && !slices.Contains([]string{"", "allow-deny", "deny-allow"}, at.Value):
			i.noteOnce(at, "is neither allow-deny nor deny-allow, so that the old broker took deny-allow; so does the site", "")
		default:
			i.carriedOnce(at, "access")
		}
	}
}

// aclOptions are the names that the old broker knows.
var aclOptions = map[string]bool{
	"acl-users-allow": true, "acl-users-deny": true, "acl-users-order": true,
	"acl-groups-allow": true, "acl-groups-deny": true, "acl-groups-order": true,
	"acl-clients-allow": true, "acl-clients-deny": true, "acl-clients-order": true,
	"acl-any-order": true,
}

func (a access) put(n *node, comments []Comment) {
	acl := a.acl.Safe()
	access, ok := acl.Access()
	if !ok {
		a.putLegacy(n, acl.LegacyACL(), comments)
		return
	}
	if access.Everyone {
		n.put("access.everyone", ast.NewBool(true), comments)
		comments = nil
	}
	for _, list := range []struct {
		path  string
		names []string
	}{
		{"users", access.Users},
		{"groups", access.Groups},
		{"from", access.From},
		{"deny.users", access.Deny.Users},
		{"deny.groups", access.Deny.Groups},
		{"deny.from", access.Deny.From},
	} {
		if len(list.names) > 0 {
			n.put("access."+list.path, expr(list.names), comments)
			comments = nil
		}
	}
}

func (access) putLegacy(n *node, acl *schema.LegacyACL, comments []Comment) {
	put := func(path string, value ast.Expr) {
		n.put("legacyACL."+path, value, comments)
		comments = nil
	}
	for _, r := range []struct {
		name string
		rule schema.LegacyRule
	}{{"users", acl.Users}, {"groups", acl.Groups}, {"clients", acl.Clients}} {
		if len(r.rule.Allow) > 0 {
			put(r.name+".allow", expr(r.rule.Allow))
		}
		if len(r.rule.Deny) > 0 {
			put(r.name+".deny", expr(r.rule.Deny))
		}
		if r.rule.AllowFirst && len(r.rule.Allow)+len(r.rule.Deny) > 0 {
			put(r.name+".order", ast.NewString("allow-deny"))
		}
	}
}
