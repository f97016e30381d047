// Package source reads site repositories. A source gives revisions, and a
// revision gives a [Tree]: the files of one commit, or of one state of a
// directory, held in memory and never changed.
//
//	src, err := source.Open(source.Config{URL: "file:///srv/site.git", Ref: "main", StoreDir: dir, Log: log})
//	rev, err := src.Fetch(ctx)
//	tree, err := src.Tree(ctx, rev)
//
// The package knows nothing of CUE or Rego beyond which files are worth
// keeping. It never writes to what it reads from.
package source

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net/url"
	"path/filepath"
	"regexp"
	"strings"
	"time"
)

// Revision is one state of a site.
type Revision struct {
	ID      string    `json:"id"`                // 40 hex digits of a commit, or "files-" and 12 hex digits
	Subject string    `json:"subject,omitempty"` // first line of the commit message, without control characters
	Author  string    `json:"author,omitempty"`  // name of the commit's author
	Time    time.Time `json:"time"`              // when the commit was made, or the newest file was written; UTC
}

// Source is where a site comes from. Its methods may be called at the same time.
type Source interface {
	// Fetch gives the newest revision. It is cheap when nothing has changed.
	Fetch(ctx context.Context) (Revision, error)
	// Tree reads the files of a revision that Fetch gave.
	Tree(ctx context.Context, rev Revision) (*Tree, error)
	// String names the source for people and logs, without passwords. Two
	// sources that would read the same thing have the same name.
	String() string
}

// Config says what to open.
type Config struct {
	URL      string        // a directory, or file:///absolute/path/of/repository.git
	Ref      string        // "main", "refs/tags/v1"; for Git only, "" for main
	StoreDir string        // where Git keeps its objects; one process at a time
	Timeout  time.Duration // for one fetch, 0 for [FetchTimeout]
	Log      *slog.Logger
}

// FetchTimeout is how long one fetch may take.
const FetchTimeout = 60 * time.Second

const possible = "a site is a directory, or a Git repository as file:///path/site.git"

// Open returns the [Directory] or [Git] source that cfg.URL names. It touches
// neither disk nor network: what is wrong there, Fetch says, each time anew,
// so that a broker may start before its site is there.
func Open(cfg Config) (Source, error) {
	if cfg.Log == nil {
		cfg.Log = slog.New(slog.DiscardHandler)
	}
	scheme, _, isURL := strings.Cut(cfg.URL, "://")
	switch {
	case cfg.URL == "":
		return nil, errors.New("no site given: " + possible)
	case isURL && strings.EqualFold(scheme, "file"):
		return newGit(cfg)
	case isURL && (strings.EqualFold(scheme, "https") || strings.EqualFold(scheme, "ssh")), scpLike.MatchString(cfg.URL):
		return nil, fmt.Errorf("site %q: this version reads directories and file:// repositories only", redact(cfg.URL))
	case isURL, strings.HasPrefix(cfg.URL, "file:"):
		return nil, fmt.Errorf("site %q: %s", redact(cfg.URL), possible)
	}
	abs, err := filepath.Abs(cfg.URL)
	if err != nil {
		return nil, fmt.Errorf("site %q: %w", cfg.URL, err)
	}
	return &Directory{path: abs}, nil
}

// scpLike matches git@host:path, which git takes for SSH.
var scpLike = regexp.MustCompile(`^[^/@:]+@[^/:]+:`)

// userinfo matches the user and password of a URL that does not parse.
var userinfo = regexp.MustCompile(`//[^/]*@`)

// redact takes out of a URL what may be a secret: a password, and with https
// the user name, because access tokens are given as one.
func redact(raw string) string {
	u, err := url.Parse(raw)
	if err != nil {
		return userinfo.ReplaceAllString(raw, "//xxxxx@")
	}
	if u.User == nil {
		return raw
	}
	if _, secret := u.User.Password(); !secret && strings.EqualFold(u.Scheme, "ssh") {
		return raw
	}
	u.User = url.User("xxxxx")
	return u.String()
}
