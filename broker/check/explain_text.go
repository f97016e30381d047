package check

import (
	"fmt"
	"io"
	"slices"
	"strings"

	"github.com/x2broker/x2broker/policy"
	"github.com/x2broker/x2broker/schema"
)

// mostLines is how many lines a profile takes among others.
const mostLines = 2

// Write prints the answer for people: who asks, then a profile per line with
// what decided, in columns.
func (x Explained) Write(w io.Writer) error {
	p := printer{w: w}
	for _, d := range x.Diagnostics {
		p.printf("%s\n", d)
	}
	if len(x.Diagnostics) > 0 {
		return p.err
	}
	x.writeWho(&p)
	p.printf("\n")
	if x.one {
		x.writeOne(&p, x.Profiles[0])
		return p.err
	}
	var rows [][]string
	for _, e := range x.Profiles {
		found := lines(e)
		if len(found) == 0 {
			found = append(deciders(e), []string{"", "no rule is about it"})[:1]
		}
		for i, line := range found[:min(len(found), mostLines)] {
			row := []string{"", "", line[0], line[1]}
			if i == 0 {
				row[0], row[1] = e.Profile, verdict(e)
			}
			rows = append(rows, row)
		}
	}
	p.columns("", rows)
	if n := x.Granted + x.Hidden - len(x.Profiles); n > 0 {
		p.printf("%s hidden: name one with --profile, or list all with --all\n", are(n))
	}
	return p.err
}

func (x Explained) writeWho(p *printer) {
	p.printf("%s (%s) from %s on %s\n", x.Who.User, named("groups", x.Who.Groups, "no groups"), x.Who.Address,
		x.Who.Time.Format("Mon 2006-01-02 15:04 MST"))
	rows := [][]string{{"networks", named("", x.Who.Networks, "none of the site's")}}
	const refused = "refused, and none of this is served: "
	for _, d := range x.Login.Deny {
		rows = append(rows, []string{"login", fmt.Sprintf("%s%s (%s)", refused, d.Reason, where(d.Pos))})
	}
	switch {
	case x.Login.Allowed:
		rows = append(rows, []string{"login", "allowed"})
	case x.Login.Error != "":
		rows = append(rows, []string{"login", refused + x.Login.Error})
	case !slices.Contains(x.Login.Accounts, x.Who.Account):
		rows = append(rows, []string{"login", fmt.Sprintf("%sthe account %s is not one of his", refused, x.Who.Account)})
	}
	if x.Login.Error == "" && !slices.Equal(x.Login.Accounts, []string{x.Who.User}) {
		rows = append(rows, []string{"accounts", named("", x.Login.Accounts, "none")})
	}
	rows = append(rows, []string{"decided by", x.decided("x2go.access.visible")})
	p.columns("    ", rows)
}

// writeOne prints all that there is to say about a profile.
func (x Explained) writeOne(p *printer, e policy.Explanation) {
	p.printf("%s  %s\n", e.Profile, verdict(e))
	rows := append(deciders(e), lines(e)...)
	for _, r := range e.Reasons {
		rows = append(rows, []string{"reason " + r.Code, r.Message})
	}
	p.columns("    ", rows)
	if x.Placement == nil {
		return
	}
	p.printf("\nservers, by %s; %s\n", x.decided("x2go.placement.scores"), x.decided("x2go.placement.excluded"))
	if x.Placement.Error != "" {
		p.printf("    none: %s\n", x.Placement.Error)
	}
	rows = nil
	for _, c := range x.Placement.Servers {
		row := []string{c.Server, "", "", c.Excluded}
		if c.Wins {
			row[1] = "wins"
		}
		if c.Score != nil {
			row[2] = fmt.Sprintf("score %.6g", *c.Score)
		}
		rows = append(rows, row)
	}
	p.columns("    ", rows)
}

// lines gives what decided about a profile, each with its place.
func lines(e policy.Explanation) [][]string {
	var out [][]string
	if e.Error != "" {
		out = append(out, []string{"", e.Error})
	}
	for _, c := range e.Because {
		if !e.Visible {
			out = append(out, []string{where(c.Pos), c.String()})
		}
	}
	for _, g := range e.Access {
		out = append(out, []string{where(g.Pos), g.Text})
	}
	return out
}

// deciders gives the rules that grant a profile, or all that do not.
func deciders(e policy.Explanation) [][]string {
	var out [][]string
	for _, d := range e.Rules {
		out = append(out, []string{where(d.Pos), d.Rule})
	}
	return out
}

func verdict(e policy.Explanation) string {
	if e.Visible {
		return "granted"
	}
	return "hidden"
}

// decided says where the site defines a rule.
func (x Explained) decided(rule string) string {
	places := x.rules[rule]
	if len(places) == 0 {
		return rule + ", built in"
	}
	texts := make([]string, len(places))
	for i, p := range places {
		texts[i] = where(p)
	}
	return rule + " at " + strings.Join(texts, ", ")
}

// where gives file and line: here the column helps nobody.
func where(p schema.Position) string {
	p.Column = 0
	return p.String()
}

func named(what string, names []string, none string) string {
	if len(names) == 0 {
		return none
	}
	return strings.TrimSpace(what + " " + strings.Join(names, ", "))
}

func are(n int) string {
	if n == 1 {
		return "1 more profile is"
	}
	return fmt.Sprintf("%d more profiles are", n)
}

// columns prints rows with all columns but the last aligned.
func (p *printer) columns(indent string, rows [][]string) {
	var widths []int
	for _, row := range rows {
		for i, cell := range row[:len(row)-1] {
			if i == len(widths) {
				widths = append(widths, 0)
			}
			widths[i] = max(widths[i], len([]rune(cell)))
		}
	}
	for _, row := range rows {
		line := indent
		for i, cell := range row[:len(row)-1] {
			if widths[i] > 0 {
				line += fmt.Sprintf("%-*s  ", widths[i], cell)
			}
		}
		p.printf("%s\n", strings.TrimRight(line+row[len(row)-1], " "))
	}
}
