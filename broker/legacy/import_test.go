package legacy

import (
	"bytes"
	"context"
	"flag"
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"testing/fstest"

	"cuelang.org/go/cue/format"
	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"
	"github.com/rogpeppe/go-internal/txtar"
	"pgregory.net/rapid"

	brokerconfig "github.com/x2broker/x2broker/broker/config"
	"github.com/x2broker/x2broker/schema"
)

var update = flag.Bool("update", false, "rewrite the golden files")

// TestSites imports the two files of each archive; the others are the report,
// the site and broker.cue as they must be.
func TestSites(t *testing.T) {
	names, err := filepath.Glob("testdata/import/*.txtar")
	if err != nil || len(names) == 0 {
		t.Fatal("no test data", err)
	}
	for _, name := range names {
		t.Run(strings.TrimSuffix(filepath.Base(name), ".txtar"), func(t *testing.T) {
			archive, err := txtar.ParseFile(name)
			if err != nil {
				t.Fatal(err)
			}
			given := map[string]string{}
			want := map[string]string{}
			for _, f := range archive.Files {
				if f.Name == "x2gobroker.conf" || f.Name == "profiles.conf" {
					given[f.Name] = string(f.Data)
				} else {
					want[f.Name] = string(f.Data)
				}
			}
			i := importTexts(t, given["x2gobroker.conf"], given["profiles.conf"])
			got := map[string]string{}
			for name, data := range files(t, i) {
				got["site/"+name] = string(data)
			}
			var report strings.Builder
			if err := i.Report.Write(&report); err != nil {
				t.Fatal(err)
			}
			got["report"] = report.String()
			config, err := i.Config("/srv/site")
			if err != nil {
				t.Fatal(err)
			}
			got["broker.cue"] = string(config)
			compile(t, i)
			loads(t, t.TempDir(), config)
			if *update {
				archive.Files = slices.DeleteFunc(archive.Files, func(f txtar.File) bool { return given[f.Name] == "" })
				for _, name := range slices.Sorted(maps.Keys(got)) {
					archive.Files = append(archive.Files, txtar.File{Name: name, Data: []byte(got[name])})
				}
				if err := os.WriteFile(name, txtar.Format(archive), 0o644); err != nil {
					t.Fatal(err)
				}
				return
			}
			if diff := cmp.Diff(want, got); diff != "" {
				t.Errorf("(-want +got)\n%s", diff)
			}
		})
	}
}

// failer is what a test and a property have in common.
type failer interface {
	Helper()
	Fatalf(format string, args ...any)
}

func importTexts(t failer, conf, profiles string) *Import {
	t.Helper()
	c, err := ParseINI("x2gobroker.conf", []byte(conf))
	if err != nil {
		t.Fatalf("%v", err)
	}
	p, err := ParseINI("profiles.conf", []byte(profiles))
	if err != nil {
		t.Fatalf("%v", err)
	}
	return New(c, p, true)
}

func files(t failer, i *Import) map[string][]byte {
	t.Helper()
	out, err := i.Files()
	if err != nil {
		t.Fatalf("%v", err)
	}
	return out
}

// compile fails unless the site is one without a warning, as cue fmt writes it.
func compile(t failer, i *Import) *schema.Catalog {
	t.Helper()
	tree := fstest.MapFS{}
	written := files(t, i)
	for name, data := range written {
		tree[name] = &fstest.MapFile{Data: data}
		if formatted, err := format.Source(data); err != nil || !bytes.Equal(formatted, data) {
			t.Fatalf("cue fmt would change %s (%v):\n%s", name, err, data)
		}
	}
	catalog, diags := schema.NewCompiler().Compile(context.Background(), tree)
	if len(diags) > 0 {
		var text strings.Builder
		for _, name := range slices.Sorted(maps.Keys(written)) {
			fmt.Fprintf(&text, "-- %s\n%s", name, written[name])
		}
		t.Fatalf("the site is not clean:\n%v\n%s", diags, text.String())
	}
	return catalog
}

// confOptions are those of x2gobroker.conf that the old broker documents.
var confOptions = map[string][]string{
	"global": {
		"check-credentials", "require-password", "require-cookie", "use-static-cookie", "verify-ip", "auth-timeout",
		"cookie-directory", "my-cookie", "my-cookie-file", "pre_auth_scripts", "post_auth_scripts", "select_session_scripts",
		"enable-plain-output", "enable-json-output", "enable-uccs-output", "my-uccs-url-base", "default-auth-mech",
		"default-user-db", "default-group-db", "ignore-primary-group-memberships", "default-session-autologin",
		"default-authorized-keys", "default-sshproxy-authorized-keys", "default-agent-query-mode",
		"default-agent-hostkey-policy", "default-portscan-x2goservers", "default-use-load-checker", "load-checker-intervals",
		"no-such-option",
	},
	"broker_zeroconf": {"enable", "auth-mech", "user-db", "group-db", "desktop-shell", "load-checker", "no-such-option"},
	"broker_inifile": {
		"enable", "session-profiles", "auth-mech", "user-db", "group-db", "use-load-checker", "agent-query-mode",
		"agent-hostkey-policy", "no-such-option",
	},
	"broker_base":        {"enable"},
	"broker_ldap":        {"enable", "uri", "starttls"},
	"authmech_https_get": {"host", "path", "port"},
	"no_such_section":    {"x"},
}

// profileOptions are those of a profile: typed ones, broker-*, those that
// clients know, ACLs, and some that nobody knows.
var profileOptions = append(slices.Sorted(maps.Keys(builtin)),
	"host", "sshport", "user", "name",
	"broker-agent-query-mode", "broker-agent-hostkey-policy", "broker-session-autologin", "broker-portscan-x2goservers",
	"broker-authorized-keys", "broker-sshproxy-authorized-keys", "broker-use-load-checker", "broker-no-such-option",
	"acl-users-allow", "acl-users-deny", "acl-users-order", "acl-groups-allow", "acl-groups-deny", "acl-groups-order",
	"acl-clients-allow", "acl-clients-deny", "acl-clients-order", "acl-any-order", "acl-no-such-option",
	"icon", "autologin", "krblogin", "krbdelegation", "published", "directxdmcp", "maxdim", "startembed",
	"startsoundsystem", "usebrokerpass", "usebrokerpassforproxy", "usesshproxy", "sshproxyautologin", "sshproxykrblogin",
	"sshproxysameuser", "sshproxysamepass", "sshproxysamekey", "shadowfullaccess", "sshproxytype", "sshproxyhost",
	"sshproxyuser", "sshproxykeyfile", "key", "clipboard", "rdpserver", "rdpport", "rdpclient", "rdpoptions",
	"directrdpsettings", "directxdmcpsettings", "xdmcpserver", "xdmcpclient", "shadowuser", "shadowdisplay", "display",
	"status", "default", "no-such-option", "p1",
)

// someValues are right for some options and wrong for others.
var someValues = []string{
	"", "not-set", "true", "FALSE", "on", "0", "1", "22", "-1", "007", "1_000", "99999999999999999999", "maybe",
	"true ; no comment", "a,b", "a,,b,", "['a','b']", "[1+1]", "SSH", "LOCAL", "none", "pam", "libnss", "KDE", "kde", "SHADOW",
	"xterm -e sh", "ts01", "ts01, ts02", "ts01,localhost", "ts01 (10.0.2.4:2222)", "ts01 (::1)", "n_ü", "10.0.0.0/8",
	"10.1.2.3,ALL", "host.example.org", "ALL", "allow-deny", "BROKER_USER", "first\n  second", "ö; \"x\"", "both", "WarningPolicy",
	"\x00", "{{}}", `\(x)`, "\"\"\"",
}

// TestEveryOptionIsAccountedFor: nothing is dropped silently, whatever the
// value.
func TestEveryOptionIsAccountedFor(t *testing.T) {
	for _, value := range someValues {
		var conf, profiles strings.Builder
		for _, section := range slices.Sorted(maps.Keys(confOptions)) {
			fmt.Fprintf(&conf, "[%s]\n", section)
			for _, option := range confOptions[section] {
				fmt.Fprintf(&conf, "%s=%s\n", option, value)
			}
		}
		for _, section := range []string{"DEFAULT", "p1", "p2"} {
			fmt.Fprintf(&profiles, "[%s]\n", section)
			for n, option := range profileOptions {
				if section != "p2" || n%2 == 0 { // the rest is inherited
					fmt.Fprintf(&profiles, "%s=%s\n", option, value)
				}
			}
		}
		i := importTexts(t, conf.String(), profiles.String())
		accounted(t, i, conf.String(), profiles.String())
		compile(t, i)
	}
}

// accounted fails where an option is in no part of the report.
func accounted(t failer, i *Import, conf, profiles string) {
	t.Helper()
	said := map[string]bool{}
	for _, entries := range [][]Entry{i.Report.Carried, i.Report.Notes, i.Report.Losses} {
		for _, e := range entries {
			said[fmt.Sprint(e.File, " ", e.Section, " ", e.Option)] = true
			if e.Text == "" || strings.Contains(e.Text, "\n") {
				t.Fatalf("%+v says nothing, or not in one line", e)
			}
		}
	}
	for name, text := range map[string]string{"x2gobroker.conf": conf, "profiles.conf": profiles} {
		f, err := ParseINI(name, []byte(text))
		if err != nil {
			t.Fatalf("%v", err)
		}
		for _, s := range append([]*Section{f.Defaults}, f.Sections...) {
			for _, o := range s.Options {
				if !said[fmt.Sprint(name, " ", s.Name, " ", o.Name)] {
					t.Fatalf("%s:%d: [%s] %s=%q is dropped silently\n%s", name, o.Line, s.Name, o.Name, o.Value, text)
				}
			}
		}
	}
}

// Whatever is in the files: every option is accounted for, the site is clean,
// and each profile has the settings that the old broker sent.
func TestAnyFilesBecomeTheirSite(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		options := rapid.SampledFrom(profileOptions)
		values := rapid.SampledFrom(someValues)
		var profiles strings.Builder
		for _, section := range rapid.SliceOfNDistinct(rapid.SampledFrom([]string{
			"DEFAULT", "p1", "p2", "p3", "Büro 1", "Büro/1", ".p", "defaults", "General", "P1", "x_test",
		}), 1, 5, rapid.ID).Draw(t, "sections") {
			fmt.Fprintf(&profiles, "# of %s\n[%s]\n", section, section)
			for _, option := range rapid.SliceOfNDistinct(options, 0, 12, rapid.ID).Draw(t, "options") {
				if rapid.Bool().Draw(t, "comment") {
					fmt.Fprintf(&profiles, "; of %s\n\n", option)
				}
				fmt.Fprintf(&profiles, "%s=%s\n", option, values.Draw(t, "value"))
			}
		}
		i := importTexts(t, "", profiles.String())
		accounted(t, i, "", profiles.String())
		catalog := compile(t, i)
		if len(catalog.Profiles) != len(i.Profiles) {
			t.Fatalf("%d profiles in the site, %d in the import", len(catalog.Profiles), len(i.Profiles))
		}
		for _, p := range i.Profiles {
			compareSettings(t, p, catalog.Profiles[p.ID])
		}
	})
}

// loads fails unless the broker takes its settings.
func loads(t failer, dir string, settings []byte) {
	t.Helper()
	file := filepath.Join(dir, "broker.cue")
	if err := os.WriteFile(file, settings, 0o600); err != nil {
		t.Fatalf("%v", err)
	}
	if _, err := brokerconfig.Load(file); err != nil {
		t.Fatalf("%v\n%s", err, settings)
	}
}

func TestEveryOptionOfAnyConfIsAccountedFor(t *testing.T) {
	dir := t.TempDir()
	rapid.Check(t, func(t *rapid.T) {
		conf := drawConf(t)
		profiles := rapid.SampledFrom([]string{
			"", "[p]\nhost=a", "[p]\nhost=a,b", "[DEFAULT]\nbroker-agent-query-mode=SSH\nbroker-session-autologin=1\n[p]\nhost=a,b",
		}).Draw(t, "profiles")
		i := importTexts(t, conf, profiles)
		accounted(t, i, conf, profiles)
		settings, err := i.Config("/srv/site")
		if err != nil {
			t.Fatalf("%v", err)
		}
		loads(t, dir, settings)
	})
}

// drawConf draws an x2gobroker.conf; [DEFAULT] has options of every section.
func drawConf(t *rapid.T) string {
	var conf strings.Builder
	sections := slices.Sorted(maps.Keys(confOptions))
	every := slices.Compact(slices.Sorted(slices.Values(slices.Concat(slices.Collect(maps.Values(confOptions))...))))
	for _, section := range rapid.SliceOfNDistinct(rapid.SampledFrom(append(sections, "DEFAULT")), 0, 4, rapid.ID).Draw(t, "conf sections") {
		options := confOptions[section]
		if section == "DEFAULT" {
			options = every
		}
		fmt.Fprintf(&conf, "[%s]\n", section)
		for _, option := range rapid.SliceOfNDistinct(rapid.SampledFrom(options), 0, len(options), rapid.ID).Draw(t, "conf options") {
			fmt.Fprintf(&conf, "%s=%s\n", option, rapid.SampledFrom(someValues).Draw(t, "conf value"))
		}
	}
	return conf.String()
}

// compareSettings holds a profile of the site against the options of the old
// file, one by one and without the defaults that the site has lifted.
func compareSettings(t failer, p *Profile, got *schema.Profile) {
	want := map[string]any{}
	maps.Copy(want, builtin)
	for option, text := range p.Options {
		if option == "key" || option == "status" || text == notSet {
			continue
		}
		if s, err := readSetting(option, text); err == nil && s.set && (text != "" || builtin[option] != nil) && strings.HasPrefix(s.field, "x2go.") {
			want[option] = s.value
		}
	}
	if name := strings.ToUpper(want["command"].(string)); desktops[name] {
		want["command"], want["rootless"] = name, false
	}
	have := map[string]any{}
	for _, s := range got.Settings {
		have[s.Key] = s.Value
	}
	if diff := cmp.Diff(want, have, cmpopts.EquateEmpty()); diff != "" {
		t.Fatalf("profile %s (-old broker +site)\n%s", p.ID, diff)
	}
}

// The old broker's defaults for options that nobody writes are x2broker's.
func TestBuiltInDefaultsAreTheSame(t *testing.T) {
	i := importTexts(t, "", "[p]\nhost=a\n")
	compareSettings(t, i.Profiles[0], compile(t, i).Profiles["p"])
}
