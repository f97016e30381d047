package policy

import (
	"fmt"
	"net/netip"
	"strings"
	"time"

	"pgregory.net/rapid"

	"github.com/x2broker/x2broker/schema"
)

// What random sites, policies and requests are made of: few names, so that they
// meet often.
var (
	someUsers   = []string{"alice", "bob", "carol", ""}
	someGroups  = []string{"staff", "students", "interns"}
	somePlaces  = []string{"campus", "exam", "10.1.0.0/16", "2001:db8:1::/48", "0.0.0.0/0"}
	someClients = []string{"10.1.2.3", "10.9.0.1", "192.0.2.1", "::ffff:10.1.2.3", "2001:db8:1::1"}
)

// conditions are what a site may ask besides. Some fail for some profiles or
// requests. In all of them id and p are known.
var conditions = []string{
	`input.time.hour < 12`,
	`input.time.minute == 30`,
	`input.time.date == "2026-03-02"`,
	`input.time.unix % 120 == 0`,
	`input.time.weekday in data.site.params.days`,
	`p.labels.room == "101"`,
	`not p.labels.exam`,
	`not input.user.name == "bob"`,
	`input.user.name == "alice"`,
	`input.user.name in ["alice", "bob"]`,
	`input.user.name in {"alice", "carol", 7}`,
	`input.user.name in []`,
	`not input.user.name in p.access.deny.users`,
	`p.labels.owner == input.user.name`,
	`input.user.name != p.labels.owner`,
	`"staff" in input.user.groups`,
	`not "interns" in input.user.groups`,
	`p.labels.group in input.user.groups`,
	`input.user.groups[_] == p.labels.group`,
	`input.user.groups[0] == p.labels.group`,
	`input.client.networks[_] == p.labels.net`,
	`input.task == "list"`,
	`input.account != "root"`,
	`input.account == p.labels.owner`,
	`input.client.frontend in {"plain", "ssh"}`,
	`startswith(input.user.name, "a")`,
	`net.cidr_contains("10.0.0.0/8", input.client.address)`,
	`net.cidr_contains(p.labels.cidr, input.client.address)`,
	`not net.cidr_contains(p.labels.cidr, input.client.address)`,
	`lib.client.at("campus")`,
	`not lib.client.at(p.labels.net)`,
	`lib.legacy.allows(p.legacyACL)`,
	`not lib.legacy.allows(p.legacyACL)`,
	`not lib.access.granted(p)`,
	`count(input.user.groups) > 1`,
	`not count(input.user.groups) == p.labels.room`,
	`count([g | some g in input.user.groups; g == p.labels.group]) > 0`,
	`count({g | some g in input.user.groups} & {"staff", "students"}) == 2`,
	`every g in p.access.groups { g in input.user.groups }`,
	`every g in input.user.groups { g != "interns" }`,
	`not helpers.closed(id)`,
	`helpers.closed(id)`,
	`helpers.opened`,
	`not helpers.opened`,
	`helpers.level(p) == "high"`,
	`not helpers.level(p) == "high"`,
	`helpers.member(input, "staff")`,
	`helpers.allowed[id]`,
	`helpers.of_user[input.user.name][id]`,
	`helpers.pick(id) == 1`,
	`helpers.named with input.user as {"name": "alice", "groups": []}`,
	`not helpers.named with input.user.name as p.labels.owner`,
	`helpers.listed with data.site.params as {"names": ["alice"]}`,
	`helpers.listed`,
	`1 / to_number(p.labels.div) > 0`,
	`not to_number(p.labels.div) == 7`,
	`data.site.params.ranks[input.user.name] > 1`,
	`input.user == {"name": "alice", "groups": ["staff"]}`,
	`{input.user.name} == {p.labels.owner}`,
	`[input.user.name, "x"] == [p.labels.owner, "x"]`,
	`input.user.name == p.labels[_]`,
	`object.get(input.user, "name", "") == "bob"`,
	`$"{input.user.name}!" == "alice!"`,
	`count(data.site.profiles) > 3`,
	`data.site.profiles[input.user.name].name == "x"`,
	`some other in lib.access.visible
	other != id`,
	`some who in [input.user.name, "root"]
	who == p.labels.owner`,
	`asking := input.user
	asking.name == "alice"`,
	`some key, value in input.user
	key == "name"
	value == "bob"`,
	`[path, leaf] := walk(p.labels)[_]
	count(path) == 1
	leaf == input.user.name`,
	`some g in input.user.groups
	some h in p.access.groups
	g == h`,
	`input.user.name == "alice"
	input.user.name == "bob"`,
}

const helpersModule = `package x2go.site.helpers

import data.x2go.lib

closed(id) if {
	data.site.profiles[id].labels.room == "101"
	input.time.hour < 8
}

closed(_) if input.user.name == "carol"

default opened := false

opened if input.time.hour >= 9

level(p) := "high" if {
	p.labels.room == "101"
	"staff" in input.user.groups
} else := "low" if {
	input.user.name == p.labels.owner
} else := "high" if p.access.everyone

member(request, group) if group in request.user.groups

allowed contains id if {
	some id, p in data.site.profiles
	p.labels.owner == input.user.name
}

allowed contains id if {
	some id in ["p0", "p1"]
	lib.access.visible[id]
}

of_user[name] contains id if {
	some id, p in data.site.profiles
	name := p.labels.owner
}

pick("p1") := 2

pick(_) := 1

named if input.user.name == "alice"

listed if input.user.name in data.site.params.names
`

// overlays are what a site may change, rightly or not.
var overlays = []string{
	`overlay[id].fullscreen contains true if {
	some id, p in data.site.profiles
	"staff" in input.user.groups
}`,
	`overlay[id].width contains 1024 if {
	some id, p in data.site.profiles
	p.labels.room == "101"
}`,
	`overlay[id].width contains 800 if {
	some id, p in data.site.profiles
	input.time.hour < 12
}`,
	`overlay[id].command contains input.user.name if some id, p in data.site.profiles`,
	`overlay[id][key] contains to_number(p.labels.div) if {
	some id, p in data.site.profiles
	key := "dpi"
}`,
	`overlay["p0"].host contains "evil"`,
	`overlay["ghost"].dpi contains 1`,
}

// randomSite gives a catalog of a few profiles, often more than are tried first.
func randomSite(rt *rapid.T, empty *schema.Catalog) *schema.Catalog {
	cat := *empty
	cat.Profiles = map[string]*schema.Profile{}
	for i := range rapid.IntRange(0, 14).Draw(rt, "profiles") {
		id := fmt.Sprintf("p%d", i)
		cat.Profiles[id] = randomProfile(rt, id)
		if i > 0 && rapid.IntRange(0, 2).Draw(rt, "same access") == 0 {
			cat.Profiles[id].Access, cat.Profiles[id].LegacyACL = cat.Profiles["p0"].Access, cat.Profiles["p0"].LegacyACL
		}
	}
	cat.Params = map[string]any{
		"days":  []any{"mon", "tue"},
		"names": []any{rapid.SampledFrom(someUsers).Draw(rt, "named")},
		"ranks": map[string]any{"alice": 1, "bob": 2},
	}
	return &cat
}

func randomProfile(rt *rapid.T, id string) *schema.Profile {
	some := func(what string, from []string) []string {
		return rapid.SliceOfN(rapid.SampledFrom(from), 0, 2).Draw(rt, what)
	}
	p := &schema.Profile{ID: id, Name: id, Labels: map[string]string{}, Access: schema.Access{
		Everyone: rapid.IntRange(0, 4).Draw(rt, "everyone") == 0,
		Users:    some("users", someUsers), Groups: some("groups", someGroups), From: some("from", somePlaces),
		Deny: schema.Deny{Users: some("no users", someUsers), Groups: some("no groups", someGroups), From: some("not from", somePlaces)},
	}}
	if rapid.IntRange(0, 2).Draw(rt, "legacy") == 0 {
		p.Access, p.LegacyACL = schema.Access{}, randomLegacyACL(rt)
	}
	for _, label := range []struct {
		key    string
		values []string
	}{
		{"room", []string{"101", "102"}},
		{"exam", []string{"x"}},
		{"owner", someUsers},
		{"group", someGroups},
		{"net", []string{"campus", "exam"}},
		{"cidr", []string{"10.1.0.0/16", "10.0.0.0/8", "2001:db8::/32", "nonsense"}},
		{"div", []string{"0", "7", "x"}},
	} {
		if rapid.Bool().Draw(rt, "has "+label.key) {
			p.Labels[label.key] = rapid.SampledFrom(label.values).Draw(rt, label.key)
		}
	}
	return p
}

// randomLegacyACL has short lists, in which ALL is often.
func randomLegacyACL(rt *rapid.T) *schema.LegacyACL {
	rule := func(kind string, names []string) schema.LegacyRule {
		some := rapid.SliceOfN(rapid.SampledFrom(append([]string{schema.LegacyAll}, names...)), 0, 2)
		return schema.LegacyRule{Allow: some.Draw(rt, kind), Deny: some.Draw(rt, "no "+kind), AllowFirst: rapid.Bool().Draw(rt, kind+" first")}
	}
	return &schema.LegacyACL{
		Users: rule("users", someUsers), Groups: rule("groups", someGroups),
		Clients: rule("clients", []string{"10.1.0.0/16", "10.1.2.3/32", "2001:db8:1::/48", "0.0.0.0/0"}),
	}
}

// randomPolicy gives the modules of a site: none, or rules made of conditions.
func randomPolicy(rt *rapid.T) map[string][]byte {
	var b strings.Builder
	b.WriteString("package x2go.access\n\nimport data.x2go.lib\nimport data.x2go.site.helpers\n\n")
	b.WriteString("_used if {\n\tlib.client.at(\"campus\")\n\thelpers.opened\n}\n\n")
	own := rapid.IntRange(0, 3).Draw(rt, "rules")
	for range own {
		b.WriteString("visible contains id if {\n")
		b.WriteString("\tsome id, p in data.site.profiles\n\tp.name != \"\"\n")
		if rapid.Bool().Draw(rt, "extends") {
			b.WriteString("\tlib.access.visible[id]\n")
		}
		for _, c := range rapid.SliceOfNDistinct(rapid.SampledFrom(conditions), 0, 3, rapid.ID[string]).Draw(rt, "conditions") {
			b.WriteString("\t" + c + "\n")
		}
		b.WriteString("}\n\n")
	}
	for _, o := range rapid.SliceOfNDistinct(rapid.SampledFrom(overlays), 0, 3, rapid.ID[string]).Draw(rt, "overlays") {
		if rapid.Bool().Draw(rt, "overlaid") {
			b.WriteString(o + "\n\n")
		}
	}
	return modules("access.rego", b.String(), "helpers.rego", helpersModule)
}

func randomRequest(rt *rapid.T) Request {
	r := Request{
		User:     rapid.SampledFrom(someUsers).Draw(rt, "user"),
		Groups:   rapid.SliceOfN(rapid.SampledFrom(someGroups), 0, 3).Draw(rt, "of groups"),
		Account:  rapid.SampledFrom([]string{"alice", "root"}).Draw(rt, "account"),
		Address:  netip.MustParseAddr(rapid.SampledFrom(someClients).Draw(rt, "address")),
		Frontend: rapid.SampledFrom([]string{"plain", "json"}).Draw(rt, "frontend"),
		Task:     rapid.SampledFrom([]string{"list", "select"}).Draw(rt, "task"),
	}
	r.Time = time.Date(2026, 3, rapid.IntRange(1, 4).Draw(rt, "day"), rapid.IntRange(5, 12).Draw(rt, "hour"),
		rapid.SampledFrom([]int{0, 29, 30}).Draw(rt, "minute"), rapid.IntRange(0, 59).Draw(rt, "second"), 0, time.UTC)
	return r
}
