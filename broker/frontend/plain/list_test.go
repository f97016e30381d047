package plain

import (
	"bytes"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/x2broker/x2broker/broker/session"
	"github.com/x2broker/x2broker/schema"
)

// Users who are offered the same share the text, and nothing of each other.
func TestAListIsWrittenOnceForAllUsers(t *testing.T) {
	var profiles []session.Profile
	for _, id := range []string{"a", "b"} {
		profiles = append(profiles, session.Profile{
			Profile: &schema.Profile{ID: id, Name: id, Settings: []schema.Setting{{Key: "pack", Value: "x"}}},
			Hosts:   []string{"ts01"}, Port: 22,
		})
	}
	text := newListText(profiles)
	for user, written := range map[string]string{"maja": "maja", "willi": "willi", "a, b": `"a, b"`} {
		var b bytes.Buffer
		text.write(&b, user)
		want := strings.ReplaceAll("START_USER_SESSIONS\n\n"+
			"[a]\nname=a\nhost=ts01\npack=x\nuser=WHO\n\n[b]\nname=b\nhost=ts01\npack=x\nuser=WHO\n\n"+
			"END_USER_SESSIONS\n", "WHO", written)
		if diff := cmp.Diff(want, b.String()); diff != "" {
			t.Errorf("%s (-want +got):\n%s", user, diff)
		}
	}
}

func TestNoProfilesAreNoList(t *testing.T) {
	var b bytes.Buffer
	newListText(nil).write(&b, "maja")
	if b.Len() > 0 {
		t.Errorf("got %q", b.String())
	}
}
