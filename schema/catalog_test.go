package schema_test

import (
	"context"
	"fmt"
	"io/fs"
	"maps"
	"net/netip"
	"os"
	"path"
	"slices"
	"strings"
	"testing"
	"testing/fstest"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"

	"github.com/x2broker/x2broker/schema"
)

func site(files ...string) fstest.MapFS {
	tree := fstest.MapFS{}
	for i := 0; i < len(files); i += 2 {
		tree[files[i]] = &fstest.MapFile{Data: []byte(files[i+1])}
	}
	return tree
}

func compile(t *testing.T, tree fs.FS) *schema.Catalog {
	t.Helper()
	catalog, diags := schema.NewCompiler().Compile(context.Background(), tree)
	for _, d := range diags {
		t.Log(d)
	}
	if catalog == nil {
		t.Fatal("the site does not compile")
	}
	return catalog
}

func TestCatalogHasAllThatASiteSays(t *testing.T) {
	catalog := compile(t, site("site.cue", `package site

site: {name: "Uni", timezone: "Europe/Berlin"}
networks: campus: ["10.0.0.0/8", "2001:db8::/32"]
params: {hours: [8, 18], open: true}
servers: {
	ts01: {address: "ts01.example.edu", port: 2222, hostname: "h1", labels: pool: "a", weight: 7, capacity: sessions: 40, state: "drain"}
	ts02: labels: pool: "a"
}
cases: c: {user: {name: "alice", groups: ["staff"]}, address: "10.1.2.3", exactly: [], time: "2026-03-02T09:00:00+01:00"}
`, "profiles/staff/office.cue", `package site

profiles: office: {
	name: "Office"
	labels: room: "101"
	hosts: labels: pool: "a"
	access: {
		users: ["alice"]
		from: ["campus"]
		deny: groups: ["interns"]
	}
	autologin: true
}
`))
	want := &schema.Server{
		ID: "ts01", Address: "ts01.example.edu", Port: 2222, Hostname: "h1", Labels: map[string]string{"pool": "a"},
		Weight: 7, Sessions: 40, State: schema.Drain, Pos: schema.Position{File: "site.cue", Line: 7, Column: 2},
	}
	if diff := cmp.Diff(want, catalog.Servers["ts01"]); diff != "" {
		t.Errorf("server (-want +got):\n%s", diff)
	}
	want = &schema.Server{
		ID: "ts02", Address: "ts02", Port: 22, Hostname: "ts02", Labels: map[string]string{"pool": "a"},
		Weight: 100, State: schema.Active, Pos: schema.Position{File: "site.cue", Line: 8, Column: 2},
	}
	if diff := cmp.Diff(want, catalog.Servers["ts02"]); diff != "" {
		t.Errorf("server with defaults (-want +got):\n%s", diff)
	}
	p := catalog.Profiles["office"]
	if diff := cmp.Diff(&schema.Profile{
		ID: "office", Name: "Office", Labels: map[string]string{"room": "101"}, Servers: []string{"ts01", "ts02"},
		Autologin: true, Pos: schema.Position{File: "profiles/staff/office.cue", Line: 3, Column: 11},
		Access: schema.Access{
			Users: []string{"alice"}, From: []string{"campus"}, Deny: schema.Deny{Groups: []string{"interns"}},
			Pos: map[string]schema.Position{
				"users":       {File: "profiles/staff/office.cue", Line: 8, Column: 3},
				"from":        {File: "profiles/staff/office.cue", Line: 9, Column: 3},
				"deny.groups": {File: "profiles/staff/office.cue", Line: 10, Column: 9},
			},
		},
	}, p, cmpopts.IgnoreFields(schema.Profile{}, "Settings")); diff != "" {
		t.Errorf("profile (-want +got):\n%s", diff)
	}
	if got, want := catalog.Networks["campus"].Prefixes, []netip.Prefix{netip.MustParsePrefix("10.0.0.0/8"), netip.MustParsePrefix("2001:db8::/32")}; !cmp.Equal(want, got, cmpopts.EquateComparable(netip.Prefix{})) {
		t.Errorf("networks: got %v", got)
	}
	c := catalog.Cases["c"]
	if c.User != "alice" || c.Exactly == nil || !c.Time.Equal(time.Date(2026, 3, 2, 8, 0, 0, 0, time.UTC)) || c.Time.Location().String() != "Europe/Berlin" {
		t.Errorf("case: got %+v", c)
	}
	if len(catalog.Params) != 2 {
		t.Errorf("params: got %v", catalog.Params)
	}
}

func TestEveryClientKeyIsSentWithItsDefault(t *testing.T) {
	catalog := compile(t, os.DirFS("../examples/minimal"))
	got := map[string]any{}
	for _, s := range catalog.Profiles["xfce"].Settings {
		got[s.Key] = s.Value
	}
	want := map[string]any{ // all that the reference broker sends, less what a broker sets itself
		"command": "XFCE", "kdrive": false, "defsndport": true, "useiconv": false, "iconvfrom": "UTF-8", "iconvto": "UTF-8",
		"width": 800, "height": 600, "export": "", "quality": 9, "fullscreen": false, "layout": "", "variant": "",
		"useexports": true, "speed": 2, "soundsystem": "pulse", "print": true, "type": "auto", "sndport": 4713,
		"xinerama": true, "usekbd": true, "fstunnel": true, "applications": []string{"TERMINAL", "WWWBROWSER", "MAILCLIENT", "OFFICE"},
		"multidisp": false, "sshproxyport": 22, "sound": true, "rootless": false, "soundtunnel": true, "dpi": 96, "setdpi": false,
		"pack": "16m-jpeg", "directrdp": false,
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("settings (-want +got):\n%s", diff)
	}
}

func TestFolderDefaultsReachTheirFolderOnly(t *testing.T) {
	catalog := compile(t, os.DirFS("../examples/demo"))
	fullscreen := func(id string) any {
		for _, s := range catalog.Profiles[id].Settings {
			if s.Key == "fullscreen" {
				return s.Value
			}
		}
		return nil
	}
	for id, want := range map[string]bool{"office-xfce": true, "office-terminal": false, "lab-mate": false, "exam-room": true} {
		if got := fullscreen(id); got != want {
			t.Errorf("%s: fullscreen is %v, want %v", id, got, want)
		}
	}
}

func TestSymbolicLinksAreRefused(t *testing.T) {
	tree := site("site.cue", "package site\nsite: name: \"S\"\n")
	tree["link.cue"] = &fstest.MapFile{Data: []byte("/etc/passwd"), Mode: fs.ModeSymlink}
	_, diags := schema.NewCompiler().Compile(context.Background(), tree)
	if len(diags) != 1 || !strings.Contains(diags[0].String(), "link.cue: symbolic links are not read") {
		t.Errorf("got %v", diags)
	}
}

func TestCompileStopsBetweenDirectories(t *testing.T) {
	ctx, cancel := context.WithCancel(context.Background())
	cancel()
	catalog, diags := schema.NewCompiler().Compile(ctx, os.DirFS("../examples/demo"))
	if catalog != nil || !diags.HasErrors() {
		t.Errorf("got catalog %v, diagnostics %v", catalog, diags)
	}
}

// compileInTime fails if Compile breaks a promise that it gives for any input.
// A context much longer than its deadline is the only clock.
func compileInTime(t *testing.T, files fstest.MapFS) {
	ctx, cancel := context.WithTimeout(t.Context(), 2*time.Second)
	defer cancel()
	done := make(chan struct{})
	go func() {
		defer close(done)
		catalog, diags := schema.NewCompiler().Compile(ctx, files)
		if (catalog == nil) != diags.HasErrors() {
			t.Errorf("catalog %v with diagnostics %v", catalog, diags)
		}
	}()
	select {
	case <-done:
	case <-time.After(time.Minute):
		t.Fatal("did not return at its deadline")
	}
}

func FuzzCompile(f *testing.F) {
	f.Add([]byte("package site\n\nsite: name: \"S\"\nservers: a: {}\nprofiles: p: {name: \"P\", hosts: ids: [\"a\"], access: everyone: true}\n"))
	f.Add([]byte("package site\nprofiles: [string]: x2go: fullscreen: *true | bool\n"))
	f.Add([]byte("package site\nprofiles: a: b: c: [{\"x\": 1}, ...] & (x | y)\n"))
	f.Fuzz(func(t *testing.T, data []byte) {
		if len(data) > 1000 {
			return // what CUE has begun goes on after the deadline and slows the rest
		}
		compileInTime(t, site("site.cue", string(data)))
	})
}

// FuzzCompileMutated exchanges a part of one file of a good site.
func FuzzCompileMutated(f *testing.F) {
	good := fstest.MapFS{}
	var names []string
	campus := os.DirFS("../examples/campus")
	err := fs.WalkDir(campus, ".", func(name string, d fs.DirEntry, err error) error {
		if err == nil && !d.IsDir() && path.Ext(name) == ".cue" {
			var data []byte
			data, err = fs.ReadFile(campus, name)
			good[name] = &fstest.MapFile{Data: data}
			names = append(names, name)
		}
		return err
	})
	if err != nil {
		f.Fatal(err)
	}
	f.Add(uint8(0), uint16(10), uint8(3), []byte(" & "))
	f.Add(uint8(3), uint16(40), uint8(0), []byte("{"))
	f.Add(uint8(5), uint16(70), uint8(9), []byte("\nprofiles: [_]: _\n"))
	f.Fuzz(func(t *testing.T, file uint8, at uint16, cut uint8, insert []byte) {
		if len(insert) > 200 {
			return
		}
		name := names[int(file)%len(names)]
		data := good[name].Data
		from := int(at) % (len(data) + 1)
		to := min(from+int(cut), len(data))
		files := maps.Clone(good)
		files[name] = &fstest.MapFile{Data: slices.Concat(data[:from], insert, data[to:])}
		compileInTime(t, files)
	})
}

// CUE takes seconds for this chain of alternatives, and cannot be interrupted.
func TestAnEndlessEvaluationEndsAtItsDeadline(t *testing.T) {
	var alternatives []string
	for i := range 12 {
		alternatives = append(alternatives, fmt.Sprintf("({a%d: 1} | {b%d: 2})", i, i))
	}
	endless := site("site.cue", "package site\n\nsite: name: \"S\"\n_x: "+strings.Join(alternatives, " & ")+"\n")
	compiler := schema.NewCompiler()
	for _, files := range []fstest.MapFS{endless, site("site.cue", "package site\n\nsite: name: \"Waits\"\n")} {
		ctx, cancel := context.WithTimeout(t.Context(), 100*time.Millisecond)
		catalog, diags := compiler.Compile(ctx, files)
		cancel()
		if catalog != nil || len(diags) != 1 {
			t.Fatalf("%v, %v", catalog, diags)
		}
		if got := diags[0].String(); !strings.HasPrefix(got, "site.cue: gave up: context deadline exceeded; CUE is still evaluating this") {
			t.Error(got)
		}
	}
}

// A file that names profiles once, to look at them all, was taken for one whose
// only mention is the label, and evaluated without the leaves.
func TestAFileThatLooksAtAllProfilesSeesThem(t *testing.T) {
	catalog := compile(t, site(
		"site.cue", "package site\n\nsite: name: \"S\"\nservers: s: {}\n",
		"a.cue", "package site\n\nprofiles: a: {name: \"A\", hosts: ids: [\"s\"], access: everyone: true}\n",
		"b.cue", "package site\n\nprofiles: b: {name: \"B\", hosts: ids: [\"s\"], access: everyone: true}\n",
		"cases.cue", "package site\n\ncases: all: {user: name: \"u\", address: \"10.0.0.1\", sees: [for id, _ in profiles {id}]}\n",
	))
	if diff := cmp.Diff([]string{"a", "b"}, catalog.Cases["all"].Sees); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
}
