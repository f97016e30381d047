package durable_test

import (
	"os"
	"path/filepath"
	"testing"

	"github.com/x2broker/x2broker/broker/durable"
)

func TestAFileIsReplacedWhole(t *testing.T) {
	file := filepath.Join(t.TempDir(), "file")
	for _, parts := range [][][]byte{{[]byte("one")}, {[]byte("tw"), nil, []byte("o")}, nil} {
		if err := durable.Replace(file, parts...); err != nil {
			t.Fatal(err)
		}
		want := ""
		for _, part := range parts {
			want += string(part)
		}
		got, err := os.ReadFile(file)
		if err != nil || string(got) != want {
			t.Errorf("%q, %v, want %q", got, err, want)
		}
	}
	if info, err := os.Stat(file); err != nil || info.Mode().Perm() != 0o600 {
		t.Errorf("%v, %v", info.Mode(), err)
	}
	nothingElse(t, file)
}

func TestWhatACrashLeftIsNotWrittenThrough(t *testing.T) {
	dir := t.TempDir()
	file, others := filepath.Join(dir, "file"), filepath.Join(t.TempDir(), "others")
	if err := os.WriteFile(others, []byte("others"), 0o600); err != nil {
		t.Fatal(err)
	}
	if err := os.Symlink(others, file+".new"); err != nil {
		t.Fatal(err)
	}
	if err := durable.Replace(file, []byte("mine")); err != nil {
		t.Fatal(err)
	}
	if got, err := os.ReadFile(others); err != nil || string(got) != "others" {
		t.Errorf("%q, %v", got, err)
	}
	nothingElse(t, file)
}

func TestAFailureLeavesWhatWasThere(t *testing.T) {
	file := filepath.Join(t.TempDir(), "file")
	if err := os.Mkdir(file, 0o700); err != nil { // no file takes its place
		t.Fatal(err)
	}
	if err := durable.Replace(file, []byte("text")); err == nil {
		t.Error("no error")
	}
	nothingElse(t, file)
}

// nothingElse wants the file alone in its directory.
func nothingElse(t *testing.T, file string) {
	t.Helper()
	all, err := os.ReadDir(filepath.Dir(file))
	if err != nil || len(all) != 1 || all[0].Name() != filepath.Base(file) {
		t.Errorf("%v, %v", all, err)
	}
}
