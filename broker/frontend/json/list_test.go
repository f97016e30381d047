package json

import (
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/x2broker/x2broker/broker/session"
	"github.com/x2broker/x2broker/schema"
)

// python-x2go fails at either.
func TestTextsAndListsUnderKeysOfOthersAreLeftOut(t *testing.T) {
	got := valuesOf(session.Profile{
		Hosts: []string{"h"}, Port: 22,
		Profile: &schema.Profile{Name: "N", Settings: []schema.Setting{
			{Key: "newtext", Value: "x"}, {Key: "newlist", Value: []string{"x"}}, {Key: "newflag", Value: true}, {Key: "newnumber", Value: 7},
		}},
	})
	want := map[string]any{"name": "N", "host": []string{"h"}, "sshport": 22, "user": gap, "newflag": true, "newnumber": 7}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
}

func TestFoldersAreSharedAsTheTextSays(t *testing.T) {
	for text, want := range map[string]any{
		"": "", ";": "", "/a": map[string]bool{"/a": true}, "/a:0": map[string]bool{"/a": false},
		"/a:1; /b#0;": map[string]bool{"/a": true, "/b": false}, `C:\a#1;`: map[string]bool{`C:\a`: true},
		"/a:2;:1": map[string]bool{"/a:2": true},
	} {
		if diff := cmp.Diff(want, folders(text)); diff != "" {
			t.Errorf("%q (-want +got):\n%s", text, diff)
		}
	}
}
