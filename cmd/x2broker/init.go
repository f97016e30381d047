package main

import (
	"fmt"
	"path/filepath"
	"strings"

	"github.com/x2broker/x2broker/broker/check"
)

type initCmd struct {
	Dir    string `arg:"" placeholder:"DIR" help:"Directory of the new site: empty, or not there yet. A .git in it is left alone."`
	Format string `default:"text" enum:"text,json" help:"How to print: ${enum}."`
}

// Run writes a site to start from.
func (c *initCmd) Run(io stdio) error {
	files, err := check.Init(c.Dir)
	if err != nil {
		return fmt.Errorf("init: %w", err)
	}
	if c.Format == "json" {
		return writeJSON(io.out, struct {
			Site  string   `json:"site"`
			Files []string `json:"files"`
		}{c.Dir, files})
	}
	for _, name := range files {
		fmt.Fprintln(io.out, "wrote", filepath.Join(c.Dir, name))
	}
	_, err = fmt.Fprintf(io.out, `
A site to start from; its README.md says what is where. Next:

  cd %s
  x2broker check
  git init -b main && git add . && git commit -m "Begin a site"
`, shellQuote(c.Dir))
	return err
}

// shellQuote makes one word of a shell's.
func shellQuote(word string) string {
	plain := func(r rune) bool {
		return r >= 'a' && r <= 'z' || r >= 'A' && r <= 'Z' || r >= '0' && r <= '9' || strings.ContainsRune("/._-+", r)
	}
	if word != "" && word[0] != '-' && strings.IndexFunc(word, func(r rune) bool { return !plain(r) }) < 0 {
		return word
	}
	return "'" + strings.ReplaceAll(word, "'", `'\''`) + "'"
}
