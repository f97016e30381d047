package keys

import (
	"errors"
	"fmt"
	"io/fs"
	"path/filepath"
	"strings"
	"unicode"
)

const (
	placeUser = "{user}"

	// maxFile bounds in bytes a file of keys, and the keys that a directory has
	// for a user.
	maxFile = 64 << 10
)

// template is the name of a file of keys, with {user} in it.
type template struct {
	text  string
	fixed string   // the directory that all users share
	below []string // the rest, part by part
}

func parseTemplates(texts []string) ([]template, error) {
	var all []template
	for _, s := range texts {
		t, err := parseTemplate(s)
		if err != nil {
			return nil, err
		}
		for _, other := range all {
			if t.meets(other) {
				return nil, fmt.Errorf("%s and %s can be the same file for users of different names: put them into different directories", other.text, s)
			}
		}
		all = append(all, t)
	}
	return all, nil
}

func parseTemplate(s string) (template, error) {
	t := template{text: s}
	switch {
	case !strings.Contains(s, placeUser):
		return t, fmt.Errorf("%q has no {user}: its keys would let everybody in as everybody; write it as in \"/etc/x2broker/keys/{user}\"", s)
	case !filepath.IsAbs(s) || filepath.Clean(s) != s:
		return t, fmt.Errorf("%q is no absolute path without detours, like \"/etc/x2broker/keys/{user}\"", s)
	case strings.ContainsAny(strings.ReplaceAll(s, placeUser, ""), "{}%"):
		return t, fmt.Errorf("%q: {user} is the only thing that is filled in", s)
	}
	before, _, _ := strings.Cut(s, placeUser)
	t.fixed = filepath.Clean(before[:strings.LastIndexByte(before, '/')+1])
	rest := strings.TrimPrefix(strings.TrimPrefix(s, t.fixed), "/")
	t.below = strings.Split(rest, "/")
	return t, nil
}

// meets reports whether both can be the same file for two different names.
func (t template) meets(other template) bool {
	a, b := strings.Split(t.text, "/"), strings.Split(other.text, "/")
	if len(a) != len(b) {
		return false
	}
	for i := range a {
		if a[i] != b[i] && !strings.Contains(a[i], placeUser) && !strings.Contains(b[i], placeUser) {
			return false
		}
	}
	return true
}

// fileName reports whether a user's name can be part of a path and stay there.
func fileName(user string) bool {
	return user != "" && user[0] != '.' && user[0] != '-' && !strings.Contains(user, "/") && !strings.Contains(user, `\`) &&
		!strings.Contains(user, "..") && strings.IndexFunc(user, unicode.IsControl) < 0
}

// checkFixed says what is wrong with the directory that all users share.
func (t template) checkFixed() error {
	dir, err := openShared(t.fixed)
	if err != nil {
		return err
	}
	dir.close()
	return nil
}

// read gives a user's file, and its name. That there is none is an error like
// any other.
func (t template) read(user string, uid func(string) (uint32, bool)) (place string, data []byte, err error) {
	if !fileName(user) {
		return t.text, nil, fmt.Errorf("%s: the name %s cannot be part of a file's name", t.text, short(user))
	}
	place = strings.ReplaceAll(t.text, placeUser, user)
	dir, err := openShared(t.fixed)
	if err != nil {
		return place, nil, fmt.Errorf("%s: %w", t.text, err)
	}
	parts := make([]string, len(t.below))
	for i, part := range t.below {
		parts[i] = strings.ReplaceAll(part, placeUser, user)
	}
	file, err := dir.open(parts, owner(user, uid))
	if errors.Is(err, fs.ErrNotExist) {
		return place, nil, fmt.Errorf("%s: there is no such file", place)
	}
	if err != nil {
		return place, nil, err
	}
	defer file.Close()
	data, err = readAll(file, maxFile)
	return place, data, err
}

// owner tells to whom a user's file may belong: root, the broker, himself.
func owner(user string, uid func(string) (uint32, bool)) func(uint32) bool {
	return func(id uint32) bool {
		if ours(id) {
			return true
		}
		his, ok := uid(user)
		return ok && id == his
	}
}
