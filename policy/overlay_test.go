package policy

import (
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/x2broker/x2broker/schema"
)

// desktops are three profiles with the usual settings.
func desktops(t *testing.T) *schema.Catalog {
	t.Helper()
	cat := three(t)
	for id, p := range cat.Profiles {
		cat.Profiles[id] = p.WithSettings(map[string]any{"command": "XFCE"})
	}
	return cat
}

// setting gives the value of a key, nil if it is not sent.
func setting(p *schema.Profile, key string) any {
	i := slices.IndexFunc(p.Settings, func(s schema.Setting) bool { return s.Key == key })
	if i < 0 {
		return nil
	}
	return p.Settings[i].Value
}

func TestAnOverlayChangesSettingsForOneRequest(t *testing.T) {
	cat := desktops(t)
	e := engine(t, cat, own(`overlay[id].fullscreen contains true if {
		some id in ["a", "b"]
		"staff" in input.user.groups
	}

	overlay.a.width contains 1024

	overlay.b.clipboard contains "none"

	overlay.b.applications contains ["OFFICE"]`))
	l := e.Visible(t.Context(), alice())
	if len(l.Failed) > 0 || len(l.Profiles) != 3 {
		t.Fatalf("Visible = %v, %v", l.Profiles, l.Failed)
	}
	type values map[string]any
	for i, want := range []values{
		{"fullscreen": true, "width": 1024, "clipboard": nil, "command": "XFCE"},
		{"fullscreen": true, "width": 800, "clipboard": "none", "applications": []string{"OFFICE"}},
		{"fullscreen": false, "width": 800, "clipboard": nil},
	} {
		got := values{}
		for key := range want {
			got[key] = setting(l.Profiles[i], key)
		}
		if diff := cmp.Diff(want, got); diff != "" {
			t.Errorf("%s (-want +got):\n%s", l.Profiles[i].ID, diff)
		}
		p, err := e.Sees(t.Context(), alice(), l.Profiles[i].ID)
		if diff := cmp.Diff(l.Profiles[i], p); diff != "" || err != nil {
			t.Errorf("Sees: %v\n%s", err, diff)
		}
	}
	if l.Profiles[2] != cat.Profiles["c"] {
		t.Error("a profile without changes was copied")
	}
	if setting(cat.Profiles["a"], "width") != 800 {
		t.Error("the catalog has changed")
	}
	other := e.Visible(t.Context(), alice(func(r *Request) { r.Groups = nil }))
	if setting(other.Profiles[0], "fullscreen") != false {
		t.Error("another user has the overlay, too")
	}
}

func TestAWrongOverlayHidesItsProfile(t *testing.T) {
	for _, tt := range []struct{ name, rules, want string }{
		{"two values", "overlay.b.width contains 800\n\noverlay.b.width contains 1024", "policy/access.rego:3:1, policy/access.rego:5:1: x2go.access.overlay: key width: two rules give different values: 800, 1024; one must win"},
		{"a wrong type", `overlay.b.width contains "800"`, `policy/access.rego:3:1: x2go.access.overlay: key width: must be a whole number from 1 to 32767, not "800"`},
		{"out of range", `overlay.b.width contains 0`, `key width: must be a whole number from 1 to 32767, not 0`},
		{"none of the choices", `overlay.b.clipboard contains "all"`, `key clipboard: must be one of "both", "client", "server", "none", not "all"`},
		{"an unknown key", `overlay.b.witdh contains 800`, `"witdh" is no session key, did you mean "width"?`},
		{"a key of the broker's", `overlay.b.host contains "evil"`, `key "host" cannot be set below x2go: the broker sets it from the server`},
		{"a key of the profile's", `overlay.b.autologin contains true`, `key "autologin" cannot be set below x2go: write it at the top of the profile`},
		{"a line break", `overlay.b.command contains "x\nhost=evil"`, "has a control character"},
		{"a key that is no text", `overlay.b[7] contains true`, "7 is no session key"},
		{"an error", "overlay[id].dpi contains x if {\n\tsome id, p in data.site.profiles\n\tx := 96 / divisor(id)\n}\n\ndivisor(\"b\") := 0\n\ndivisor(id) := 1 if id != \"b\"", "divide by zero"},
		{"no end", "overlay.b.dpi contains 96 if " + endless, "did not decide in time"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			e := engine(t, desktops(t), own(tt.rules))
			if tt.name == "no end" {
				e.deadline = time.Second
			}
			ids, failed := shown(e.Visible(t.Context(), alice()))
			if !slices.Equal(ids, []string{"a", "c"}) || len(failed) != 1 || failed["b"] == nil {
				t.Fatalf("Visible = %v, %v", ids, failed)
			}
			if !strings.Contains(failed["b"].Error(), tt.want) {
				t.Errorf("error %v\nwant  %s", failed["b"], tt.want)
			}
			for _, id := range []string{"a", "b", "c"} {
				p, err := e.Sees(t.Context(), alice(), id)
				if (p == nil) != (id == "b") || (err != nil) != (id == "b") {
					t.Errorf("Sees(%s) = %v, %v", id, p, err)
				}
			}
		})
	}
}

func TestAnOverlayShowsNothing(t *testing.T) {
	cat := site(t, map[string]schema.Access{"hidden": {}})
	e := engine(t, cat, own("overlay.hidden.dpi contains 100\n\noverlay.ghost.dpi contains \"x\""))
	if ids, failed := shown(e.Visible(t.Context(), alice())); len(ids)+len(failed) > 0 {
		t.Errorf("Visible = %v, %v", ids, failed)
	}
}

func TestAListingKeepsWhatIsMadeOfIt(t *testing.T) {
	e := engine(t, site(t, map[string]schema.Access{"office": {Groups: []string{"staff"}}}), nil)
	type key struct{}
	made := 0
	for range 3 {
		e.Visible(t.Context(), alice()).Derive(key{}, func() any {
			made++
			return "text"
		})
	}
	if made != 1 {
		t.Errorf("made %d times", made)
	}
	if v := e.Visible(t.Context(), alice(func(r *Request) { r.Groups = nil })).Derive(key{}, func() any { return "other" }); v != "other" {
		t.Errorf("another listing has %v", v)
	}
}
