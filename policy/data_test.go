package policy

import (
	"encoding/json"
	"maps"
	"reflect"
	"slices"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/x2broker/x2broker/schema"
)

func TestPoliciesSeeTheCatalogAsTheSiteWroteIt(t *testing.T) {
	cat := site(t, map[string]schema.Access{"office": {
		Users: []string{"bob", "alice"},
		From:  []string{"campus", "203.0.113.0/24"},
		Deny:  schema.Deny{Groups: []string{"interns"}},
	}}, server("ts01", func(s *schema.Server) {
		s.Sessions, s.Weight, s.State, s.Labels = 40, 100, schema.Drain, map[string]string{"pool": "staff"}
	}), server("ts02"))
	cat.Params = map[string]any{"closed": []any{"2026-12-24", json.Number("7"), true, nil}, "deep": map[string]any{"x": "y"}}
	office := cat.Profiles["office"]
	office.Labels = map[string]string{"room": "101"}
	office.Settings = []schema.Setting{{Key: "command", Value: "XFCE"}, {Key: "width", Value: 800}, {Key: "export", Value: []string{"/a", "/b"}}, {Key: "fullscreen", Value: true}}
	office.Servers, office.Autologin, office.Icon = []string{"ts01"}, true, ":icons/x.png"

	const want = `{
		"site": {"name": "Example University", "timezone": "Europe/Berlin"},
		"networks": {"campus": ["10.0.0.0/8", "2001:db8::/32"], "exam": ["10.9.0.0/16"]},
		"params": {"closed": ["2026-12-24", 7, true, null], "deep": {"x": "y"}},
		"servers": {
			"ts01": {
				"address": "ts01.example.edu", "port": 22, "hostname": "ts01", "labels": {"pool": "staff"},
				"weight": 100, "capacity": {"sessions": 40}, "state": "drain"
			},
			"ts02": {
				"address": "ts02.example.edu", "port": 22, "hostname": "ts02", "labels": {},
				"weight": 1, "capacity": {}, "state": "active"
			}
		},
		"profiles": {"office": {
			"name": "office", "labels": {"room": "101"},
			"x2go": {"command": "XFCE", "width": 800, "export": ["/a", "/b"], "fullscreen": true},
			"servers": ["ts01"],
			"access": {
				"everyone": false, "users": ["bob", "alice"], "groups": [], "from": ["campus", "203.0.113.0/24"],
				"deny": {"users": [], "groups": ["interns"], "from": []}
			},
			"autologin": true, "usebrokerpass": false, "icon": ":icons/x.png"
		}}
	}`
	site, err := newSiteData(cat, nil)
	if err != nil {
		t.Fatal(err)
	}
	data := site.value
	if diff := cmp.Diff(decode(t, want), decode(t, data.String())); diff != "" {
		t.Errorf("data.site (-want +got):\n%s", diff)
	}
	if diff := cmp.Diff(catalogParts(), slices.Sorted(maps.Keys(decode(t, data.String()).(map[string]any)))); diff != "" {
		t.Errorf("catalogParts (-listed +there):\n%s", diff)
	}
}

// TestEveryChangeThatPoliciesSeeIsSeen changes one field of a profile at a time.
func TestEveryChangeThatPoliciesSeeIsSeen(t *testing.T) {
	cat := site(t, map[string]schema.Access{"office": {}})
	cat.Profiles["office"].Settings = []schema.Setting{{Key: "dpi", Value: 96}}
	cat.Profiles["office"].LegacyACL = &schema.LegacyACL{}
	before, err := newSiteData(cat, nil)
	if err != nil {
		t.Fatal(err)
	}
	var fields func(v reflect.Value, name string, check func(name string))
	fields = func(v reflect.Value, name string, check func(name string)) {
		old := reflect.ValueOf(v.Interface())
		switch v.Interface().(type) {
		case schema.Position, map[string]schema.Position: // policies see no positions
			return
		case *schema.LegacyACL:
			var own schema.LegacyACL // that of the profile before stays as it is
			v.Set(reflect.ValueOf(&own))
			fields(v.Elem(), name, check)
			v.SetZero()
		case bool:
			v.SetBool(!v.Bool())
		case string:
			v.SetString(v.String() + "x")
		case []string:
			v.Set(reflect.ValueOf([]string{"another"}))
		case map[string]string:
			v.Set(reflect.ValueOf(map[string]string{"another": "x"}))
		case []schema.Setting:
			v.Set(reflect.ValueOf([]schema.Setting{{Key: "dpi", Value: 97}}))
		default:
			if v.Kind() != reflect.Struct {
				t.Fatalf("%s: a field of a kind that this test does not know", name)
			}
			for i := range v.NumField() {
				fields(v.Field(i), name+"."+v.Type().Field(i).Name, check)
			}
			return
		}
		check(name)
		v.Set(old)
	}
	next := *cat
	p := *cat.Profiles["office"]
	next.Profiles = map[string]*schema.Profile{"office": &p}
	fields(reflect.ValueOf(&p).Elem(), "Profile", func(name string) {
		if name == "Profile.ID" {
			return
		}
		after, err := newSiteData(&next, before)
		if err != nil {
			t.Fatal(err)
		}
		if !slices.Equal(after.changed, []string{"office"}) || after.profiles["office"] == before.profiles["office"] {
			t.Errorf("a change of %s is not seen", name)
		}
	})
	again, err := newSiteData(&next, before)
	if err != nil || len(again.changed) > 0 || again.parts["profiles"] != before.parts["profiles"] {
		t.Errorf("nothing has changed: %v, %v", again.changed, err)
	}
}

func TestParamsThatAreNoDataAreRefused(t *testing.T) {
	cat := site(t, nil)
	cat.Params = map[string]any{"f": func() {}}
	if e, ds := Compile(t.Context(), cat, nil); e != nil || !ds.HasErrors() {
		t.Errorf("engine %v, %v", e != nil, ds)
	}
}

func decode(t *testing.T, text string) any {
	t.Helper()
	var v any
	if err := json.Unmarshal([]byte(text), &v); err != nil {
		t.Fatal(err)
	}
	return v
}
