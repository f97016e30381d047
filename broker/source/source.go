// Package source reads site repositories. A source gives revisions, and a
// revision gives a [Tree]: the files of one commit, or of one state of a
// directory, held in memory and never changed.
//
//	src, err := source.Open(source.Config{URL: "https://git.example.edu/site.git", Ref: "main", StoreDir: dir, Log: log})
//	rev, err := src.Fetch(ctx)
//	tree, err := src.Tree(ctx, rev)
//
// The package knows nothing of CUE or Rego beyond which files are worth
// keeping. It never writes to what it reads from.
//
// Whatever a network or a Git server does, a fetch ends in time, takes bounded
// memory and disk, and leaves the revisions that were fetched before as they
// are. All commits of the ref are fetched, not only the newest: who signed a
// commit, and whether history was rewritten, cannot be told without those
// before it.
package source

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net/url"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"time"

	"github.com/go-git/go-git/v5/plumbing"
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
	URL      string        // a directory, file:///path/site.git, https://host/site.git, ssh://user@host/path or user@host:path
	Ref      string        // "main", "refs/tags/v1"; for Git only, "" for main
	StoreDir string        // where Git keeps its objects; one process at a time
	Timeout  time.Duration // for one fetch, 0 for [FetchTimeout]
	Auth     Auth
	Log      *slog.Logger

	// Verify, if there is one, is asked about each commit before Fetch gives it.
	// from is the commit that it accepted last, zero for none; the store may lack
	// it. What Verify refuses Fetch does not give, and asks again the next time.
	// objects may be used until Verify returns.
	Verify func(ctx context.Context, objects *Objects, from, to plumbing.Hash) error

	// Rules names what Verify goes by; "" if Verify refuses nothing. A commit that
	// was accepted by rules of another name counts only if Recheck accepts it,
	// which is asked about it and all before it.
	Rules   string
	Recheck func(ctx context.Context, objects *Objects, commit plumbing.Hash) error
}

// Auth names the files that let a broker in at a server, and the server be
// trusted. They are read anew for each fetch.
type Auth struct {
	TokenFile      string // https: a token, or a password, on one line
	User           string // https: the user to whom it belongs, "" for "x-access-token"
	CAFile         string // https: PEM certificates to trust, "" for those of the system
	KeyFile        string // ssh: a private key without passphrase
	KnownHostsFile string // ssh: the server's host key, as ssh-keyscan prints it
}

// FetchTimeout is how long one fetch may take.
const FetchTimeout = 60 * time.Second

const possible = "a site is a directory, or a Git repository as file:///path/site.git, https://host/site.git or ssh://git@host/site.git"

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
	case isURL && remoteScheme(scheme), scpLike.MatchString(cfg.URL):
		return newGit(cfg)
	case isURL && strings.EqualFold(scheme, "http"):
		return nil, fmt.Errorf("site %q: with http:// anybody on the way could read and change the site: write https://", redact(cfg.URL))
	case isURL, strings.HasPrefix(cfg.URL, "file:"):
		return nil, fmt.Errorf("site %q: %s", redact(cfg.URL), possible)
	}
	if cfg.Auth != (Auth{}) {
		return nil, fmt.Errorf("site %q: site.auth is for https:// and ssh:// only", cfg.URL)
	}
	abs, err := filepath.Abs(cfg.URL)
	if err != nil {
		return nil, fmt.Errorf("site %q: %w", cfg.URL, err)
	}
	return &Directory{path: abs}, nil
}

func remoteScheme(scheme string) bool {
	return slices.Contains([]string{"file", "https", "ssh"}, strings.ToLower(scheme))
}

// scpLike matches git@host:path, which git takes for SSH.
var scpLike = regexp.MustCompile(`^([^/@:]+)@([^/:]+):(.*)$`)

// userinfo matches the user and password of a URL that does not parse.
var userinfo = regexp.MustCompile(`//[^/]*@`)

// redact takes out of a URL what may be a secret: a password, all behind a
// question mark, and with https the user name, because access tokens are given
// as one.
func redact(raw string) string {
	if before, _, query := strings.Cut(raw, "?"); query {
		raw = before + "?xxxxx"
	}
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
