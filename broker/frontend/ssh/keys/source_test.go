package keys

import (
	"fmt"
	"strings"
	"testing"
	"time"
)

func TestKeysOfADirectory(t *testing.T) {
	w := newWorld(t)
	w.write("keys/alice", line("", key("alice")))
	d := &fakeSource{keys: map[string][]string{
		"bob":   {line("", key("bob")) + "\n", "garbage", line(`from="192.0.2.0/24"`, key("bob, far away"))},
		"carol": {line("", key("carol")) + "\r\n" + line(`command="x"`, key("carol, backup"))},
	}}
	w.opts.Sources = []Source{d}
	c := w.checker()
	allows(t, c, "alice", key("alice"))
	for range 2 {
		allows(t, c, "bob", key("bob"))
	}
	allows(t, c, "carol", key("carol"))
	refuses(t, c, "bob", key("bob, far away"), "directory: line 4: not from 10.1.2.3")
	refuses(t, c, "carol", key("carol, backup"), "command=")
	refuses(t, c, "carol", key("bob"), "directory: the key is not there")
	refuses(t, c, "alice", key("bob"), "the key is not there; directory: the key is not there")
	if n := strings.Count(w.log.String(), "cannot be read"); n != 1 {
		t.Errorf("the broken line is in the log %d times:\n%s", n, &w.log)
	}
}

// Alice's key is taken out of the directory because it was stolen.
func TestAnAnswerOfADirectoryIsKeptAMinute(t *testing.T) {
	w := newWorld(t)
	d := &fakeSource{keys: map[string][]string{"alice": {line("", key("alice"))}}}
	w.opts.Files, w.opts.Sources = nil, []Source{d}
	c := w.checker()
	allows(t, c, "alice", key("alice"))
	d.set(func() { d.keys["alice"] = []string{line("", key("new"))} })
	w.advance(MaxSourceAge - 1)
	allows(t, c, "alice", key("alice"))
	refuses(t, c, "alice", key("new"), "not there")
	w.advance(1)
	refuses(t, c, "alice", key("alice"), "not there")
	allows(t, c, "alice", key("new"))
	w.advance(-time.Hour) // the clock was set back
	d.set(func() { d.keys["alice"] = nil })
	refuses(t, c, "alice", key("new"), "not there")
}

// The limits of a line count in each login, however old the answer is.
func TestAKeptAnswerStillExpires(t *testing.T) {
	w := newWorld(t)
	d := &fakeSource{keys: map[string][]string{"alice": {line(`expiry-time="20260302120010Z"`, key("alice"))}}}
	w.opts.Files, w.opts.Sources = nil, []Source{d}
	c := w.checker()
	allows(t, c, "alice", key("alice"))
	w.advance(10 * time.Second)
	refuses(t, c, "alice", key("alice"), "expired")
	if d.asked != 1 {
		t.Errorf("asked %d times", d.asked)
	}
}

func TestADirectoryThatIsAwayLetsNobodyIn(t *testing.T) {
	w := newWorld(t)
	w.write("keys/alice", line("", key("alice")))
	w.write("keys/bob", line("", key("other")))
	d := &fakeSource{keys: map[string][]string{"bob": {line("", key("bob"))}}, err: errAway}
	w.opts.Sources = []Source{d}
	c := w.checker()
	refuses(t, c, "bob", key("bob"), "directory: no server answers")
	allows(t, c, "alice", key("alice")) // who is not its affair
	d.set(func() { d.err = nil })
	allows(t, c, "bob", key("bob"))
	d.set(func() { d.err = errAway })
	w.advance(MaxSourceAge)
	refuses(t, c, "bob", key("bob"), "directory: no server answers")
}

func TestAnswersOfADirectoryAreBounded(t *testing.T) {
	w := newWorld(t)
	d := &fakeSource{keys: map[string][]string{"alice": {line("", key("alice")), strings.Repeat("#", maxFile)}}}
	w.opts.Files, w.opts.Sources = nil, []Source{d}
	c := w.checker()
	refuses(t, c, "alice", key("alice"), `"alice" has more than 64 KiB of keys`)
	for n := range 3 * maxKept {
		refuses(t, c, fmt.Sprint("user", n), key("alice"), "not there")
	}
	if n := len(c.sources[0].of); n > maxKept {
		t.Errorf("%d answers are kept", n)
	}
}
