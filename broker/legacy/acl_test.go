package legacy

import (
	"bufio"
	"compress/gzip"
	"encoding/json"
	"net/netip"
	"os"
	"slices"
	"testing"
)

// A goldenCase is what the old broker (0.0.4.3) showed one user of a file.
type goldenCase struct {
	ID              string
	SessionProfiles string
	Profiles        map[string]map[string]string
	IgnorePrimary   bool `json:"ignore_primary"`
	User            string
	Groups          map[string][]string // members by group
	Primary         map[string]string   // group by user
	Address         netip.Addr
	Visible         []string
}

func goldenCases(t *testing.T) []goldenCase {
	t.Helper()
	f, err := os.Open("testdata/acl-cases.jsonl.gz")
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	z, err := gzip.NewReader(f)
	if err != nil {
		t.Fatal(err)
	}
	var cases []goldenCase
	for d := json.NewDecoder(bufio.NewReader(z)); d.More(); {
		var c goldenCase
		if err := d.Decode(&c); err != nil {
			t.Fatal(err)
		}
		cases = append(cases, c)
	}
	if len(cases) != 5000 {
		t.Fatalf("%d cases, want 5000", len(cases))
	}
	return cases
}

// userGroups are the groups of the case's user, as the old broker finds them.
func (c *goldenCase) userGroups() []string {
	var groups []string
	for g, members := range c.Groups {
		if slices.Contains(members, c.User) || !c.IgnorePrimary && c.Primary[c.User] == g {
			groups = append(groups, g)
		}
	}
	if g, ok := c.Primary[c.User]; ok && !c.IgnorePrimary && !slices.Contains(groups, g) {
		groups = append(groups, g)
	}
	return groups
}

// options are those of a profile with what it inherits.
func (c *goldenCase) options(id string) map[string]string {
	options := map[string]string{}
	for _, section := range []string{"DEFAULT", id} {
		for k, v := range c.Profiles[section] {
			options[k] = v
		}
	}
	return options
}

func TestACLDecidesAsTheOldBroker(t *testing.T) {
	different := 0
	for _, c := range goldenCases(t) {
		var visible []string
		for id := range c.Profiles {
			acl, _ := ParseACL(c.options(id))
			if id != "DEFAULT" && acl.Decide(c.User, c.userGroups(), c.Address) {
				visible = append(visible, id)
			}
		}
		slices.Sort(visible)
		slices.Sort(c.Visible)
		if !slices.Equal(visible, c.Visible) {
			if different++; different < 5 {
				t.Errorf("case %s: user %q in %q at %s sees %q, the old broker showed %q\n%s", c.ID, c.User, c.userGroups(), c.Address, visible, c.Visible, c.SessionProfiles)
			}
		}
	}
	if different > 0 {
		t.Errorf("%d of 5000 cases differ", different)
	}
}

// The networks are those that netaddr 0.8.0, with which the old broker reads them,
// gives.
func TestParseNetwork(t *testing.T) {
	for entry, want := range map[string]string{
		"127/8":                          "127.0.0.0/8",
		"127":                            "127.0.0.0/32",
		"127.1":                          "127.1.0.0/32",
		"1.2.3":                          "1.2.3.0/32",
		"1.2.3/24":                       "1.2.3.0/24",
		"0127.0.0.1":                     "127.0.0.1/32",
		"010.0.0.0/8":                    "10.0.0.0/8",
		"10.0.0.0/255.255.0.0":           "10.0.0.0/16",
		"10.0.0.0/0.0.255.255":           "10.0.0.0/16",
		"10.0.0.0/255.0.255.0":           "none",
		"10.0.0.0/ 8":                    "10.0.0.0/8",
		"10.0.0.0/+8":                    "10.0.0.0/8",
		"10.0.0.0/08":                    "10.0.0.0/8",
		"10.0.0.0/1_6":                   "10.0.0.0/16",
		"10.0.0.0/-1":                    "none",
		"10.0.0.0/":                      "none",
		"/8":                             "none",
		"":                               "none",
		" ":                              "none",
		"10.0.0.0/8/9":                   "none",
		"2130706433":                     "none",
		"0x7f.0.0.1":                     "none",
		"0x7f":                           "none",
		"1_0.0.0.1":                      "10.0.0.1/32",
		"+10.0.0.1":                      "10.0.0.1/32",
		" 10.0.0.1":                      "10.0.0.1/32",
		"10.0.0.1 ":                      "10.0.0.1/32",
		"10. 0.0.1":                      "10.0.0.1/32",
		"10.-0.0.1":                      "10.0.0.1/32",
		"10.-1.0.1":                      "none",
		"10.0.0.1.":                      "none",
		"10..0.1":                        "none",
		"256.0.0.1":                      "none",
		"10.0.0.256":                     "none",
		"1.2.3.4.5":                      "none",
		"-1":                             "none",
		"-0":                             "0.0.0.0/32",
		"::1":                            "::1/128",
		"::1/128":                        "::1/128",
		"::1/129":                        "none",
		"::ffff:127.0.0.1":               "::ffff:127.0.0.1/128",
		"::ffff:127.0.0.1/104":           "::ffff:127.0.0.0/104",
		"fe80::1%eth0":                   "none",
		"fe80::1%1/64":                   "none",
		"[::1]":                          "none",
		"fd00::/ffff::":                  "fd00::/16",
		"fd00::/ffff:0:ffff::":           "none",
		"fd00::/::ffff":                  "fd00::/112",
		"FD00:AA::/32":                   "fd00:aa::/32",
		"fd00:00000aa::":                 "none",
		"1:2:3:4:5:6:7:8":                "1:2:3:4:5:6:7:8/128",
		"1:2:3:4:5:6:7::":                "1:2:3:4:5:6:7:0/128",
		"::1.2.3.4":                      "::102:304/128",
		"::127.1":                        "none",
		"::01.2.3.4":                     "none",
		"10.0.0.0/255.255.0":             "none",
		"10.0.0.0/255":                   "none",
		"10.0.0.0/0255.255.0.0":          "none",
		"10.0.0.0/33":                    "none",
		"10.0.0.0/0":                     "0.0.0.0/0",
		"10.0.0.0/0.0.0.0":               "0.0.0.0/0",
		"10.0.0.0/255.255.255.255":       "10.0.0.0/32",
		"0.0.0.0/0":                      "0.0.0.0/0",
		"1e1.0.0.0":                      "none",
		"10.0.0.0/8.0":                   "none",
		"host":                           "none",
		"10.0.0.*":                       "none",
		"10.0.0.1-10.0.0.9":              "none",
		"::/0x0":                         "none",
		"::/0":                           "::/0",
		"::":                             "::/128",
		"1::2::3":                        "none",
		"10.0.0.0/::":                    "none",
		"fd00::/255.255.0.0":             "none",
		"10/8":                           "10.0.0.0/8",
		"10./8":                          "none",
		".10":                            "none",
		"0":                              "0.0.0.0/32",
		"255":                            "255.0.0.0/32",
		"256":                            "none",
		"00000000000000000001.2.3.4":     "1.2.3.4/32",
		"10.0.0.0/000000000000000000008": "10.0.0.0/8",
		"::/ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff": "::/128",
		"::/::":                    "::/0",
		"10.0.0.0\\8":              "none",
		"172.16/12":                "172.16.0.0/12",
		"192.168.1/255.255.255.0":  "192.168.1.0/24",
		"::1/08":                   "::/8",
		"::1/-0":                   "::/0",
		"10.0.0.1/-0":              "0.0.0.0/0",
		"10.0.0.0/0.0.0.1":         "10.0.0.0/31",
		"10.0.0.0/127.255.255.255": "0.0.0.0/1",
		"10.0.0.0/_8":              "none",
		"10.0.0.0/8_":              "none",
		"1__0.0.0.0":               "none",
		"10.0.0.0/1__0":            "none",
		":::":                      "none",
		"::fffff":                  "none",
		"1:2:3:4:5:6:7:1.2.3.4":    "none",
		"1:2:3:4:5:6:1.2.3.4":      "1:2:3:4:5:6:102:304/128",
		"fd00::/+64":               "fd00::/64",
		"fd00::/ 64 ":              "fd00::/64",
		"127.1/ 8":                 "127.0.0.0/8",
		"10.0.0.0 /8":              "10.0.0.0/8",
	} {
		got := "none"
		if p, ok := parseNetwork(entry); ok {
			got = p.String()
		}
		if got != want {
			t.Errorf("parseNetwork(%q) = %s, want %s", entry, got, want)
		}
	}
}
