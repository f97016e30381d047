package verify

import (
	"bytes"
	"fmt"
	"strings"
	"unicode"

	"github.com/go-git/go-git/v5/plumbing"
)

// commit is a commit that can be read in one way only.
type commit struct {
	tree      plumbing.Hash
	parents   []plumbing.Hash
	author    person
	committer person
	message   string
	signature string // armoured; "" without
	payload   []byte // what was signed: all but the signature
}

type person struct{ name, email string }

func (p person) String() string { return plain(p.name) + " <" + plain(p.email) + ">" }

// subject is the first line of the message.
func (c *commit) subject() string {
	first, _, _ := strings.Cut(strings.TrimSpace(c.message), "\n")
	return plain(first)
}

// parseCommit reads a commit strictly. Programs differ in what they make of a
// header that is there twice, out of its place or without an end, and so it
// could be signed as one thing and served as another. Git writes none of that.
func parseCommit(data []byte) (*commit, error) {
	if len(data) > maxCommit {
		return nil, fmt.Errorf("has %d bytes, more than %d: write less into its message", len(data), maxCommit)
	}
	if bytes.IndexByte(data, 0) >= 0 {
		return nil, malformed("a NUL byte")
	}
	end := bytes.Index(data, []byte("\n\n"))
	if end < 0 {
		return nil, malformed("no empty line after its headers")
	}
	c := &commit{message: string(data[end+2:])}
	var rest []byte
	var ok bool
	if c.tree, rest, ok = cutHash(data[:end+1], "tree "); !ok {
		return nil, malformed("no tree at its beginning")
	}
	for bytes.HasPrefix(rest, []byte("parent ")) {
		var p plumbing.Hash
		if p, rest, ok = cutHash(rest, "parent "); !ok {
			return nil, malformed("a parent that is no commit id")
		}
		c.parents = append(c.parents, p)
	}
	if c.author, rest, ok = cutPerson(rest, "author "); !ok {
		return nil, malformed("no author in its place, or one that is not name, address and time")
	}
	if c.committer, rest, ok = cutPerson(rest, "committer "); !ok {
		return nil, malformed("no committer in its place, or one that is not name, address and time")
	}
	c.payload = append(make([]byte, 0, len(data)), data[:end+1-len(rest)]...)
	if err := c.parseExtra(rest); err != nil {
		return nil, err
	}
	c.payload = append(c.payload, data[end+1:]...)
	return c, nil
}

// parseExtra reads the headers after the committer.
func (c *commit) parseExtra(rest []byte) error {
	seen := map[string]bool{}
	for len(rest) > 0 {
		header, value, size := cutHeader(rest)
		raw := rest[:size]
		rest = rest[size:]
		switch {
		case !isHeaderName(header) || value == "":
			return malformed("a header that is no name and value")
		case header == "tree" || header == "parent" || header == "author" || header == "committer":
			return malformed("a second " + header + ", or one out of its place")
		case seen[header] && header != "mergetag": // a merge of several tags has one for each
			return malformed("two headers " + header)
		case header == "encoding" && strings.Contains(value, "\n"):
			return malformed("an encoding of two lines")
		case header == "gpgsig":
			c.signature = value
		case strings.HasPrefix(header, "gpgsig"):
			return fmt.Errorf("has a signature %s, which is for repositories of another format: sign it anew", header)
		}
		seen[header] = true
		if header != "gpgsig" {
			c.payload = append(c.payload, raw...)
		}
	}
	return nil
}

func malformed(what string) error {
	return fmt.Errorf("is malformed, it has %s: make it anew with git", what)
}

// cutHeader takes the first header, with the lines that continue it.
func cutHeader(data []byte) (name, value string, size int) {
	for {
		n := bytes.IndexByte(data[size:], '\n')
		if n < 0 {
			size = len(data)
			break
		}
		size += n + 1
		if size == len(data) || data[size] != ' ' {
			break
		}
	}
	name, value, _ = strings.Cut(string(data[:size]), " ")
	value = strings.ReplaceAll(strings.TrimSuffix(value, "\n"), "\n ", "\n")
	return name, value, size
}

// isHeaderName holds for what Git, hg-git and jj write.
func isHeaderName(s string) bool {
	for _, r := range s {
		if (r < 'a' || r > 'z') && (r < 'A' || r > 'Z') && (r < '0' || r > '9') && !strings.ContainsRune("-_:", r) {
			return false
		}
	}
	return s != ""
}

// cutPerson takes "NAME name <address> seconds +hhmm\n" off data.
func cutPerson(data []byte, header string) (p person, rest []byte, ok bool) {
	value, ok := bytes.CutPrefix(data, []byte(header))
	if !ok {
		return p, nil, false
	}
	text, rest, ok := bytes.Cut(value, []byte("\n"))
	if !ok {
		return p, nil, false
	}
	line := string(text)
	name, after, ok1 := strings.Cut(line, "<")
	email, when, ok2 := strings.Cut(after, ">")
	if !ok1 || !ok2 || strings.ContainsAny(email, "<") || strings.ContainsAny(when, "<>") || strings.Contains(name, ">") {
		return p, nil, false
	}
	if strings.IndexFunc(line, unicode.IsControl) >= 0 || name != "" && !strings.HasSuffix(name, " ") {
		return p, nil, false
	}
	seconds, zone, ok := strings.Cut(strings.TrimPrefix(when, " "), " ")
	if !ok || !strings.HasPrefix(when, " ") || len(seconds) > 12 || !digits(seconds) ||
		len(zone) != 5 || zone[0] != '+' && zone[0] != '-' || !digits(zone[1:]) {
		return p, nil, false
	}
	return person{strings.TrimSuffix(name, " "), email}, rest, true
}

func digits(s string) bool {
	return s != "" && strings.Trim(s, "0123456789") == ""
}

// short is a commit id as people write it.
func short(hash plumbing.Hash) string { return hash.String()[:shortDigits] }

// plain makes one short line, harmless to a terminal, of text that strangers wrote.
func plain(s string) string {
	s = strings.Map(func(r rune) rune {
		if !unicode.IsPrint(r) {
			return unicode.ReplacementChar
		}
		return r
	}, strings.ToValidUTF8(s, string(unicode.ReplacementChar)))
	if len(s) > maxShown {
		s = strings.ToValidUTF8(s[:maxShown], "") + "..."
	}
	return strings.TrimSpace(s)
}
