package client

import (
	"testing"

	"github.com/google/go-cmp/cmp"
)

func TestValuesAreReadAsQSettingsDoes(t *testing.T) {
	for in, want := range map[string]string{
		`Office`:            "Office",
		` padded `:          "padded",
		`"a, b; c"`:         "a, b; c",
		`cut ; here`:        "cut ",
		`say \"hi\"`:        `say "hi"`,
		`bare " quote`:      "bare  quote",
		`B\xfcro \x2013`:    "Büro –",
		`\xfc\x31`:          "ü1",
		`\xd83d\xdda5 desk`: "🖥 desk",
		"B\xc3\xbcro":       "BÃ¼ro", // UTF-8 is read as Latin-1
		`a\nb`:              "a\nb",
		`@@x`:               "@x",
		`ends with \`:       `ends with \`,
	} {
		if got := parseValue(in); got != want {
			t.Errorf("%s: got %q, want %q", in, got, want)
		}
	}
}

func TestWhatTheClientReadsAndWhatIsMeant(t *testing.T) {
	for raw, want := range map[string]struct {
		read  []string
		meant string
	}{
		`Office`:        {[]string{"Office"}, "Office"},
		`Office, 2nd`:   {[]string{"Office", "2nd"}, "Office, 2nd"},
		`"Office, 2nd"`: {[]string{"Office, 2nd"}, "Office, 2nd"},
		`a ,b`:          {[]string{"a", "b"}, "a ,b"},
		`a; b`:          {[]string{"a"}, "a; b"},
		`Büro`:          {[]string{"BÃ¼ro"}, "Büro"},
		`B\xfcro`:       {[]string{"Büro"}, "Büro"},
		`\,a`:           {[]string{",a"}, ",a"},
		``:              {[]string{""}, ""},
	} {
		if diff := cmp.Diff(want.read, AsRead(raw)); diff != "" {
			t.Errorf("%s as read (-want +got):\n%s", raw, diff)
		}
		if got := AsWritten(raw); got != want.meant {
			t.Errorf("%s as written: got %q, want %q", raw, got, want.meant)
		}
	}
}

func TestLists(t *testing.T) {
	got := parseList("AUTHID:x\nAccess granted\nSTART_USER_SESSIONS\n\n[a]\nname=\"A\"\nhost=h\n\n[b]\nname=B\n\nEND_USER_SESSIONS\n[c]\n")
	want := []Profile{
		{ID: "a", Keys: map[string]string{"name": "A", "host": "h"}, Raw: map[string]string{"name": `"A"`, "host": "h"}},
		{ID: "b", Keys: map[string]string{"name": "B"}, Raw: map[string]string{"name": "B"}},
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
	if got := parseList("Access granted\n"); got != nil {
		t.Errorf("without a list: %v", got)
	}
}
