package snapshot

import (
	"bytes"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/x2broker/x2broker/broker/source"
	"github.com/x2broker/x2broker/policy"
	"github.com/x2broker/x2broker/schema"
)

func built(t *testing.T, id, zone string) *Snapshot {
	t.Helper()
	tree, err := source.FromFiles(map[string][]byte{
		"site.cue": []byte("package site\n\nsite: {name: \"S\", timezone: \"" + zone + "\"}\nservers: s1: {}\n"),
	})
	if err != nil {
		t.Fatal(err)
	}
	snap, diags := Build(t.Context(), schema.NewCompiler(), source.Revision{ID: id}, tree)
	if snap == nil {
		t.Fatal(diags)
	}
	return snap
}

func TestTheSameInputsHaveTheSameDigestAndOthersAnother(t *testing.T) {
	one := built(t, "a", "Europe/Berlin").Inputs
	if again := built(t, "a", "Europe/Berlin").Inputs; again != one || again.Digest() != one.Digest() {
		t.Errorf("the same inputs: %+v, %+v", one, again)
	}
	for name, digest := range map[string]string{
		"library": one.Library, "program": one.Program, "clock": one.Clock, "all": one.Digest(),
	} {
		if len(digest) != 64 {
			t.Errorf("%s has the digest %q", name, digest)
		}
	}
	if other := built(t, "b", "Europe/Berlin").Inputs; other.Digest() == one.Digest() {
		t.Error("another commit has the same digest")
	}
	if other := built(t, "a", "Europe/London").Inputs; other.Clock == one.Clock || other.Digest() == one.Digest() {
		t.Error("another time zone has the same digest")
	}
	for name, change := range map[string]func(*Inputs){
		"library": func(i *Inputs) { i.Library = policy.LibraryDigest()[:63] + "x" },
		"program": func(i *Inputs) { i.Program = "" },
		"zone":    func(i *Inputs) { i.Timezone = "Europe/Vienna" },
		"clock":   func(i *Inputs) { i.Clock = clockDigest(time.UTC) },
	} {
		other := one
		change(&other)
		if other.Digest() == one.Digest() {
			t.Errorf("another %s has the same digest", name)
		}
	}
}

// A zone is what its clocks do, whatever database it is from: an edition with
// another rule has another digest, under the same name.
func TestAnotherEditionOfATimeZoneHasAnotherDigest(t *testing.T) {
	berlin, err := time.LoadLocation("Europe/Berlin")
	if err != nil {
		t.Fatal(err)
	}
	again, err := time.LoadLocation("Europe/Berlin")
	if err != nil || clockDigest(berlin) != clockDigest(again) {
		t.Error("one zone has two digests", err)
	}
	tzif := func(offset byte) *time.Location { // one fixed offset, as a file of the database
		head := func(version byte) string {
			return "TZif" + string(version) + strings.Repeat("\x00", 15) + "\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x01\x00\x00\x00\x04"
		}
		zone, err := time.LoadLocationFromTZData("Europe/Berlin", []byte(head(0)+"\x00\x00\x0e"+string(rune(offset))+"\x00\x00CET\x00"))
		if err != nil {
			t.Fatal(err)
		}
		return zone
	}
	if a, b := clockDigest(tzif(0x10)), clockDigest(tzif(0x11)); a == b || a == clockDigest(berlin) {
		t.Error("zones in which clocks differ have one digest")
	}
}

// Programs that were built from other sources must not share what they keep.
func TestABuildIDIsOfTheContentOrNotTaken(t *testing.T) {
	dir := t.TempDir()
	build := func(text string, flags ...string) []byte {
		t.Helper()
		source, program := filepath.Join(dir, "main.go"), filepath.Join(dir, "program")
		if err := os.WriteFile(source, []byte("package main\n\nfunc main() { println(\""+text+"\") }\n"), 0o600); err != nil {
			t.Fatal(err)
		}
		if out, err := exec.Command("go", append(append([]string{"build", "-o", program}, flags...), source)...).CombinedOutput(); err != nil {
			t.Fatalf("%v\n%s", err, out)
		}
		f, err := os.Open(program)
		if err != nil {
			t.Fatal(err)
		}
		defer f.Close()
		return buildID(f)
	}
	one := build("one")
	if one == nil || bytes.Equal(one, build("two")) || !bytes.Equal(one, build("one")) {
		t.Errorf("build id %q does not tell programs apart", one)
	}
	for _, flag := range []string{"-ldflags=-buildid=", "-ldflags=-buildid=redacted"} {
		if id := build("one", flag); id != nil {
			t.Errorf("%s: took %q", flag, id)
		}
	}
	if id := buildID(strings.NewReader("#!/bin/sh\n")); id != nil {
		t.Errorf("of a script: %q", id)
	}
}
