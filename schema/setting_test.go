package schema

import (
	"encoding/json"
	"maps"
	"slices"
	"strings"
	"testing"

	"cuelang.org/go/cue"
	"cuelang.org/go/cue/cuecontext"
	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"
)

// TestCheckSettingSaysWhatCUESays compares values of all keys with the schema as
// CUE reads it.
func TestCheckSettingSaysWhatCUESays(t *testing.T) {
	ctx := cuecontext.New()
	definition := ctx.CompileBytes(schemaSource).LookupPath(cue.ParsePath("#X2Go"))
	keys := slices.Sorted(maps.Keys(valueRules()))
	text := rapid.OneOf(
		rapid.SampledFrom([]string{"", "both", "client", "none", "pulse", "esd", "SSH", "HTTP", "ssh", "rdesktop", "xfreerdp", "16m-jpeg", "16M", "a b", "ü", "x-9"}),
		rapid.StringMatching(`[a-z0-9-]{0,4}`), rapid.StringMatching(`[ -~]{0,6}`),
	)
	number := rapid.OneOf(rapid.IntRange(-2, 12), rapid.SampledFrom([]int{64, 65, 1000, 1001, 32767, 32768, 65535, 65536, 1 << 40}))
	rapid.Check(t, func(rt *rapid.T) {
		key := rapid.SampledFrom(keys).Draw(rt, "key")
		var value any
		switch rapid.IntRange(0, 5).Draw(rt, "kind") {
		case 0:
			value = rapid.Bool().Draw(rt, "bool")
		case 1, 2:
			value = number.Draw(rt, "number")
		case 3, 4:
			value = text.Draw(rt, "text")
		case 5:
			list := []any{}
			for _, s := range rapid.SliceOfN(text, 0, 3).Draw(rt, "list") {
				list = append(list, s)
			}
			value = list
		}
		written, err := json.Marshal(map[string]any{key: value})
		if err != nil {
			rt.Fatal(err)
		}
		want := definition.Unify(ctx.CompileBytes(written)).Validate(cue.Concrete(true))
		if list, ok := value.([]any); ok && want == nil && slices.ContainsFunc(list, func(s any) bool { return strings.Contains(s.(string), ",") }) {
			return // CUE lets it pass, the broker does not
		}

		d := json.NewDecoder(strings.NewReader(string(written)))
		d.UseNumber()
		var plain map[string]any
		if err := d.Decode(&plain); err != nil {
			rt.Fatal(err)
		}
		got, refused := CheckSetting(key, plain[key])
		if (want == nil) != (refused == nil) {
			rt.Fatalf("%s: CUE says %v, CheckSetting %v", written, want, refused)
		}
		if refused == nil {
			again, _ := json.Marshal(map[string]any{key: got})
			if string(again) != string(written) {
				rt.Errorf("%s became %s", written, again)
			}
		} else if !strings.Contains(refused.Error(), key) {
			rt.Errorf("the error does not name the key: %v", refused)
		}
	})
}

func TestCheckSettingRefusesWhatIsNoSetting(t *testing.T) {
	for _, tt := range []struct {
		key   string
		value any
		want  string
	}{
		{"host", "x", `key "host" cannot be set below x2go: the broker sets it from the server`},
		{"icon", "x", `key "icon" cannot be set below x2go: write it at the top of the profile`},
		{"widht", json.Number("1"), `"widht" is no session key, did you mean "width"?`},
		{"width", json.Number("1.5"), `key width: must be a whole number from 1 to 32767, not 1.5`},
		{"width", nil, `key width: must be a whole number from 1 to 32767, not null`},
		{"sound", "yes", `key sound: must be true or false, not "yes"`},
		{"command", "", `key command: must be a text that is not empty, not ""`},
		{"pack", "A B", `key pack: must be a text like ^[a-z0-9-]+$, not "A B"`},
		{"soundsystem", "alsa", `key soundsystem: must be one of "pulse", "esd", "arts", not "alsa"`},
		{"applications", "OFFICE", `key applications: must be a list, each entry a text that is not empty, not "OFFICE"`},
		{"applications", []any{"A,B"}, `key applications: "A,B" has a comma, which separates entries at the client`},
		{"command", "x\ny", "key command: has a control character such as a line break, which no client can read"},
		{"command", strings.Repeat("x", MaxText+1), "key command: is longer than 4096 bytes"},
	} {
		v, err := CheckSetting(tt.key, tt.value)
		if err == nil || err.Error() != tt.want || v != nil {
			t.Errorf("%s %v: %v, %v\nwant %s", tt.key, tt.value, v, err, tt.want)
		}
	}
}

func TestChangedSettingsKeepTheirOrder(t *testing.T) {
	p := &Profile{ID: "office", Settings: settings(map[string]any{"command": "XFCE"})}
	before := slices.Clone(p.Settings)
	got := p.WithSettings(map[string]any{"width": 1024, "clipboard": "none", "command": "mate", "rootless": true})
	want := settings(map[string]any{"width": 1024, "clipboard": "none", "command": "MATE", "rootless": false})
	if diff := cmp.Diff(want, got.Settings); diff != "" {
		t.Error(diff)
	}
	if diff := cmp.Diff(before, p.Settings); diff != "" {
		t.Errorf("the profile has changed: %s", diff)
	}
}
