package endpoint

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"unicode/utf8"

	"github.com/x2broker/x2broker/broker/identity"
)

// parse reads {"user": "...", "groups": ["..."]}: both fields, each once, spelt
// so, nothing else and nothing behind. encoding/json alone would take "User",
// the last of several, and null for anything.
func parse(body []byte) (identity.Identity, error) {
	var id identity.Identity
	if !utf8.Valid(body) {
		return id, errors.New("not UTF-8")
	}
	d := json.NewDecoder(bytes.NewReader(body))
	if t, err := d.Token(); err != nil || t != json.Delim('{') {
		return id, errors.New("no object")
	}
	seen := map[string]bool{}
	for d.More() {
		t, err := d.Token()
		if err != nil {
			return id, err
		}
		field, _ := t.(string)
		if seen[field] {
			return id, fmt.Errorf("field %q is there twice", field)
		}
		seen[field] = true
		switch field {
		case "user":
			id.Name, err = text(d)
		case "groups":
			id.Groups, err = texts(d)
		default:
			err = errors.New("unknown field")
		}
		if err != nil {
			return id, fmt.Errorf("field %q: %w", field, err)
		}
	}
	if _, err := d.Token(); err != nil { // the closing brace
		return id, err
	}
	if _, err := d.Token(); !errors.Is(err, io.EOF) {
		return id, errors.New("something follows the object")
	}
	if id.Name == "" || !identity.ValidName(id.Name) || !seen["groups"] {
		return id, errors.New("both are required, and the user needs a name")
	}
	return id, nil
}

func text(d *json.Decoder) (string, error) {
	t, err := d.Token()
	if err != nil {
		return "", err
	}
	s, ok := t.(string)
	if !ok {
		return "", errors.New("want a string")
	}
	return s, nil
}

func texts(d *json.Decoder) ([]string, error) {
	if t, err := d.Token(); err != nil || t != json.Delim('[') {
		return nil, errors.New("want a list of strings")
	}
	var all []string
	for d.More() {
		s, err := text(d)
		if err != nil {
			return nil, err
		}
		all = append(all, s)
	}
	_, err := d.Token() // the closing bracket
	return all, err
}
