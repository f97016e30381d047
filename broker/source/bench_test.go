package source_test

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/x2broker/x2broker/broker/source"
	"github.com/x2broker/x2broker/broker/source/gittest"
)

func BenchmarkGit(b *testing.B) {
	repo := gittest.New(b)
	tree := map[string]string{}
	for i := range 10_000 {
		tree[fmt.Sprintf("profiles/f%03d/p%05d.cue", i/100, i)] = fmt.Sprintf("profiles: p%d: name: %q\n", i, strings.Repeat("x", 200))
	}
	repo.Commit(gittest.Commit{Files: tree})
	src, err := source.Open(source.Config{URL: repo.URL(), StoreDir: b.TempDir()})
	if err != nil {
		b.Fatal(err)
	}
	rev, err := src.Fetch(b.Context())
	if err != nil {
		b.Fatal(err)
	}
	b.Run("fetch of nothing", func(b *testing.B) {
		for b.Loop() {
			if _, err := src.Fetch(b.Context()); err != nil {
				b.Fatal(err)
			}
		}
	})
	store := b.TempDir()
	again := func() source.Source {
		src, err := source.Open(source.Config{URL: repo.URL(), StoreDir: store})
		if err != nil {
			b.Fatal(err)
		}
		if rev, err = src.Fetch(b.Context()); err != nil {
			b.Fatal(err)
		}
		return src
	}
	again()
	b.Run("tree of 10,000", func(b *testing.B) {
		for b.Loop() {
			b.StopTimer()
			src := again()
			b.StartTimer()
			if _, err := src.Tree(b.Context(), rev); err != nil {
				b.Fatal(err)
			}
		}
	})
	b.Run("tree of one commit", func(b *testing.B) {
		src := again()
		for i := 0; b.Loop(); i++ {
			b.StopTimer()
			if _, err := src.Tree(b.Context(), rev); err != nil {
				b.Fatal(err)
			}
			tree["profiles/f050/p05000.cue"] = fmt.Sprint(i)
			repo.Commit(gittest.Commit{Files: tree})
			if rev, err = src.Fetch(b.Context()); err != nil {
				b.Fatal(err)
			}
			b.StartTimer()
			if _, err := src.Tree(b.Context(), rev); err != nil {
				b.Fatal(err)
			}
		}
	})
	b.Run("fetch of one commit", func(b *testing.B) {
		for i := 0; b.Loop(); i++ {
			b.StopTimer()
			tree["site.cue"] = fmt.Sprint(i)
			repo.Commit(gittest.Commit{Files: tree})
			b.StartTimer()
			if _, err := src.Fetch(b.Context()); err != nil {
				b.Fatal(err)
			}
		}
	})
	b.Run("directory of 10,000", func(b *testing.B) {
		dir := b.TempDir()
		for path, data := range tree {
			path = filepath.Join(dir, path)
			if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
				b.Fatal(err)
			}
			if err := os.WriteFile(path, []byte(data), 0o644); err != nil {
				b.Fatal(err)
			}
		}
		src, err := source.Open(source.Config{URL: dir})
		if err != nil {
			b.Fatal(err)
		}
		for b.Loop() {
			if _, err := src.Fetch(b.Context()); err != nil {
				b.Fatal(err)
			}
		}
	})
}
