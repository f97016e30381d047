package verify

import (
	"errors"
	"fmt"
	"strings"
	"time"

	"golang.org/x/crypto/ssh"
)

// ParseAllowedSigners reads a file of allowed signers as ssh-keygen(1) has it
// under ALLOWED SIGNERS: a line for each key, of principals, options, key.
// Certificate authorities and patterns that exclude are refused. zone is that
// of times without a Z. The error joins all mistakes, each with its line.
func ParseAllowedSigners(data []byte, zone *time.Location) ([]Signer, error) {
	var signers []Signer
	var all []error
	n := 0
	for line := range strings.Lines(string(data)) {
		n++
		line = strings.TrimSpace(line)
		if line == "" || line[0] == '#' {
			continue
		}
		s, err := parseAllowedSigner(line, zone)
		if err != nil {
			all = append(all, fmt.Errorf("line %d: %w", n, err))
			continue
		}
		signers = append(signers, s)
	}
	return signers, errors.Join(all...)
}

func parseAllowedSigner(line string, zone *time.Location) (Signer, error) {
	principals, rest := cutField(line)
	if isKeyType(principals) {
		return Signer{}, errors.New("has no principal before the key: write the e-mail address of whoever has it")
	}
	s := Signer{Principals: strings.Split(principals, ",")}
	for _, p := range s.Principals {
		if err := checkPattern(p); err != nil {
			return s, fmt.Errorf("principal %q %w", plain(p), err)
		}
	}
	if kind, _ := cutField(rest); !isKeyType(kind) {
		var options string
		options, rest = cutField(rest)
		if err := s.parseOptions(options, zone); err != nil {
			return s, err
		}
	}
	key, err := ParseSSHKey(rest)
	if err != nil {
		return s, err
	}
	s.Keys.SSH = []ssh.PublicKey{key}
	return s, nil
}

// cutField takes off the text before the first blank that is not in quotes.
func cutField(s string) (field, rest string) {
	quoted := false
	for i, r := range s {
		if r == '"' {
			quoted = !quoted
		}
		if (r == ' ' || r == '\t') && !quoted {
			return s[:i], strings.TrimLeft(s[i:], " \t")
		}
	}
	return s, ""
}

func isKeyType(s string) bool {
	return strings.HasPrefix(s, "ssh-") || strings.HasPrefix(s, "ecdsa-") || strings.HasPrefix(s, "sk-")
}

// checkPattern refuses what would read as one thing here and another in OpenSSH.
func checkPattern(p string) error {
	switch {
	case p == "":
		return errors.New("is empty")
	case p[0] == '!':
		return errors.New("excludes, which is not followed: name whom you mean")
	case strings.ContainsAny(p, `"\/`):
		return errors.New("has a quote, slash or backslash: write an e-mail address")
	}
	return nil
}

// parseOptions reads the second field of a line.
func (s *Signer) parseOptions(text string, zone *time.Location) error {
	seen := map[string]bool{}
	for text != "" {
		var option string
		option, text = cutOption(text)
		name, value, hasValue := strings.Cut(option, "=")
		name = strings.ToLower(name)
		if unquoted, ok := strings.CutPrefix(value, `"`); ok {
			if value, ok = strings.CutSuffix(unquoted, `"`); !ok || strings.Contains(value, `"`) {
				return fmt.Errorf("option %s: quotes do not match", plain(name))
			}
		}
		if seen[name] {
			return fmt.Errorf("option %s is there twice", plain(name))
		}
		seen[name] = true
		var err error
		switch {
		case name == "cert-authority":
			return errors.New("cert-authority: certificates are not followed: write the keys themselves")
		case !hasValue || value == "":
			return fmt.Errorf("option %q is not known, or has no value: there are namespaces, valid-after and valid-before", plain(name))
		case name == "namespaces":
			s.Namespaces = strings.Split(value, ",")
			for _, p := range s.Namespaces {
				if err := checkPattern(p); err != nil {
					return fmt.Errorf("namespace %q %w", plain(p), err)
				}
			}
		case name == "valid-after":
			s.ValidAfter, err = parseSSHTime(value, zone)
		case name == "valid-before":
			s.ValidBefore, err = parseSSHTime(value, zone)
		default:
			return fmt.Errorf("option %q is not known: there are namespaces, valid-after and valid-before", plain(name))
		}
		if err != nil {
			return fmt.Errorf("option %s: %w", name, err)
		}
	}
	return nil
}

// cutOption takes off the text before the first comma that is not in quotes.
func cutOption(s string) (option, rest string) {
	quoted := false
	for i, r := range s {
		if r == '"' {
			quoted = !quoted
		}
		if r == ',' && !quoted {
			return s[:i], s[i+1:]
		}
	}
	return s, ""
}

// parseSSHTime reads YYYYMMDD or YYYYMMDDHHMM[SS], with or without a Z.
func parseSSHTime(s string, zone *time.Location) (time.Time, error) {
	body, utc := strings.CutSuffix(s, "Z")
	if utc {
		zone = time.UTC
	}
	for _, layout := range []string{"20060102", "200601021504", "20060102150405"} {
		if len(body) == len(layout) && digits(body) {
			if t, err := time.ParseInLocation(layout, body, zone); err == nil {
				return t, nil
			}
		}
	}
	return time.Time{}, fmt.Errorf("%q is no time: write YYYYMMDD or YYYYMMDDHHMMSS, and a Z behind it for UTC", plain(s))
}
