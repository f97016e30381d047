package frontend

import (
	"bytes"
	"encoding/json"
	"testing"

	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"
)

// What Python 3.11 prints for json.dumps(value, indent=4, sort_keys=True).
func TestJSONIsWrittenAsPythonDoes(t *testing.T) {
	var b bytes.Buffer
	WriteJSON(&b, map[string]any{
		"z": map[string]any{}, "a": []string{}, "l": []string{"x", "y"}, "n": 7, "t": true, "": nil,
		"s": "<a href=\"x\">&ü€🖥\x7f\\\t\n\r\b\f\x01\u2028</a>",
	}, "    ")
	want := `{
    "": null,
    "a": [],
    "l": [
        "x",
        "y"
    ],
    "n": 7,
    "s": "<a href=\"x\">&\u00fc\u20ac\ud83d\udda5\u007f\\\t\n\r\b\f\u0001\u2028</a>",
    "t": true,
    "z": {}
}`
	if diff := cmp.Diff(want, b.String()); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
}

func TestJSONIsASCIIAndReadsBack(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		want := rapid.MapOf(rapid.String(), rapid.String()).Draw(t, "value")
		var b bytes.Buffer
		WriteJSON(&b, want, " ")
		for _, c := range b.Bytes() {
			if c > '~' {
				t.Fatalf("byte %#x in %q", c, b.String())
			}
		}
		got := map[string]string{}
		if err := json.Unmarshal(b.Bytes(), &got); err != nil {
			t.Fatal(err)
		}
		if diff := cmp.Diff(want, got); diff != "" {
			t.Fatalf("(-want +got):\n%s", diff)
		}
	})
}
