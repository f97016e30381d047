package source_test

import (
	"fmt"
	"net/http"
	"net/http/httptest"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/x2broker/x2broker/broker/source"
	"github.com/x2broker/x2broker/broker/source/gittest"
)

// needToken lets requests with that user and token pass.
func needToken(user, token string) func(http.ResponseWriter, *http.Request, http.Handler) {
	return func(w http.ResponseWriter, r *http.Request, git http.Handler) {
		if u, p, ok := r.BasicAuth(); !ok || u != user || p != token {
			http.Error(w, "who are you", http.StatusUnauthorized)
			return
		}
		git.ServeHTTP(w, r)
	}
}

func TestAnExpiredTokenThatIsRenewedWorksAtOnce(t *testing.T) {
	repo := gittest.New(t)
	repo.Commit(gittest.Commit{Files: site("1")})
	server := repo.ServeHTTPS()
	for user, given := range map[string]string{"x-access-token": "", "deploy": "deploy"} {
		server.Instead(needToken(user, "geheim-1"))
		file := gittest.WriteFile(t, "token", []byte("geheim-1\n"))
		cfg := source.Config{
			URL: server.URL, StoreDir: t.TempDir(), Auth: source.Auth{TokenFile: file, User: given, CAFile: server.CAFile},
		}
		src := open(t, cfg)
		before, _ := fetch(t, src)

		server.Instead(needToken(user, "geheim-2"))
		want := repo.Commit(gittest.Commit{Files: site(user)})
		err := fails(t, cfg, src, before, source.Lasting, "the server refuses the token in "+file+" (status 401)")
		if strings.Contains(err.Error()+src.String(), "geheim") {
			t.Errorf("the token is in %q", err)
		}
		if err := os.WriteFile(file, []byte("geheim-2\r\n"), 0o600); err != nil {
			t.Fatal(err)
		}
		if rev, _ := fetch(t, src); rev.ID != want {
			t.Errorf("fetched %v, want %s", rev, want)
		}
	}
}

func TestTokenFilesThatCannotBeUsed(t *testing.T) {
	missing := t.TempDir() + "/token"
	public := gittest.WriteFile(t, "token", []byte("geheim"))
	if err := os.Chmod(public, 0o644); err != nil {
		t.Fatal(err)
	}
	for file, want := range map[string]string{
		missing:                            "site.auth.tokenFile: open " + missing + ": no such file",
		public:                             public + " can be read by every user of this machine: chmod o= " + public,
		gittest.WriteFile(t, "token", nil): "must hold one token",
		gittest.WriteFile(t, "token", []byte("geheim 1\ngeheim 2")):     "must hold one token",
		gittest.WriteFile(t, "token", []byte(strings.Repeat("x", 1e6))): "is it the right file?",
	} {
		cfg := source.Config{URL: "https://127.0.0.1:1/site.git", StoreDir: t.TempDir(), Auth: source.Auth{TokenFile: file}}
		err := fails(t, cfg, open(t, cfg), source.Revision{}, source.Lasting, want)
		if strings.Contains(err.Error(), "geheim") {
			t.Errorf("the token is in %q", err)
		}
	}
}

func TestWhatAWebServerSaysIsExplained(t *testing.T) {
	repo := gittest.New(t)
	repo.Commit(gittest.Commit{Files: site("1")})
	server := repo.ServeHTTPS()
	elsewhere := httptest.NewTLSServer(http.HandlerFunc(func(http.ResponseWriter, *http.Request) {
		t.Error("the redirect to another host was followed")
	}))
	defer elsewhere.Close()
	token := gittest.WriteFile(t, "token", []byte("geheim"))
	for name, c := range map[string]struct {
		answer    http.HandlerFunc
		anonymous bool
		kind      source.Kind
		after     time.Duration
		want      string
	}{
		"no token":       {status(401), true, source.Lasting, 0, "wants a token (status 401)"},
		"no right":       {status(403), false, source.Lasting, 0, "the token in " + token + " may not read this repository"},
		"nobody":         {status(403), true, source.Lasting, 0, "does not let anybody read"},
		"not found":      {status(404), false, source.Lasting, 0, "check the url, and that the token in"},
		"not public":     {status(404), true, source.Lasting, 0, "if it is not public"},
		"broken":         {status(500), false, source.Passing, 0, "status 500: look into its log"},
		"too many":       {status(429, "Retry-After", "120"), false, source.Passing, 2 * time.Minute, "come back later (status 429)"},
		"maintenance":    {status(503, "Retry-After", "garbage"), false, source.Passing, 0, "come back later (status 503)"},
		"a past date":    {status(503, "Retry-After", "Mon, 05 Jan 2026 12:00:00 GMT"), false, source.Passing, 0, "status 503"},
		"a web page":     {status(200, "Content-Type", "text/html"), false, source.Lasting, 0, `no Git repository (it says "text/html")`},
		"another host":   {status(302, "Location", elsewhere.URL+"/x"), false, source.Lasting, 0, "redirects to " + elsewhere.URL + ", which is not followed"},
		"plain http":     {status(302, "Location", strings.Replace(server.URL, "https", "http", 1)), false, source.Lasting, 0, "redirects to http://"},
		"a login page":   {redirectOnce("/login"), false, source.Lasting, 0, "no Git repository"},
		"in circles":     {status(302, "Location", "/site.git/info/refs?service=git-upload-pack"), false, source.Lasting, 0, "more than 3 times"},
		"an endless one": {status(200, "Content-Type", "application/x-git-upload-pack-advertisement"), false, source.Passing, 0, "answer breaks off"},
	} {
		t.Run(name, func(t *testing.T) {
			cfg := source.Config{URL: server.URL, StoreDir: t.TempDir(), Auth: source.Auth{TokenFile: token, CAFile: server.CAFile}}
			if c.anonymous {
				cfg.Auth.TokenFile = ""
			}
			src := open(t, cfg)
			server.Instead(nil)
			before, _ := fetch(t, src)
			server.Instead(func(w http.ResponseWriter, r *http.Request, _ http.Handler) { c.answer(w, r) })
			err := fails(t, cfg, src, before, c.kind, c.want)
			if err.RetryAfter != c.after {
				t.Errorf("retry after %v, want %v", err.RetryAfter, c.after)
			}
			server.Instead(nil)
			want := repo.Commit(gittest.Commit{Files: site(name)})
			if rev, _ := fetch(t, src); rev.ID != want {
				t.Errorf("fetched %v, want %s", rev, want)
			}
		})
	}
}

// What a server says goes to logs and terminals.
func TestWhatAServerSaysCannotGarbleATerminal(t *testing.T) {
	repo := gittest.New(t)
	server := repo.ServeHTTPS()
	server.Instead(func(w http.ResponseWriter, _ *http.Request, _ http.Handler) {
		w.Header().Set("Content-Type", "application/x-git-upload-pack-advertisement")
		text := "ERR \x1b[2Jgo away " + strings.Repeat("x", 60_000)
		fmt.Fprintf(w, "%04x%s", len(text)+4, text)
	})
	cfg := source.Config{URL: server.URL, StoreDir: t.TempDir(), Auth: source.Auth{CAFile: server.CAFile}}
	err := fails(t, cfg, open(t, cfg), source.Revision{}, source.Passing, "[2Jgo away")
	if text := err.Error(); strings.Contains(text, "\x1b") || len(text) > 1500 {
		t.Errorf("%d bytes: %.100q", len(text), text)
	}
}

func status(code int, header ...string) http.HandlerFunc {
	return func(w http.ResponseWriter, _ *http.Request) {
		for i := 0; i < len(header); i += 2 {
			w.Header().Set(header[i], header[i+1])
		}
		w.WriteHeader(code)
	}
}

func redirectOnce(to string) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path != to {
			http.Redirect(w, r, to, http.StatusFound)
		}
	}
}

// Forges redirect renamed repositories; the pack must be asked for there, with
// the token.
func TestARedirectWithinTheServerIsFollowed(t *testing.T) {
	repo := gittest.New(t)
	want := repo.Commit(gittest.Commit{Files: site("1")})
	server := repo.ServeHTTPS()
	server.Instead(func(w http.ResponseWriter, r *http.Request, git http.Handler) {
		if path, old := strings.CutPrefix(r.URL.Path, "/old/"); old {
			http.Redirect(w, r, "/"+path+"?"+r.URL.RawQuery, http.StatusMovedPermanently)
			return
		}
		needToken("x-access-token", "geheim")(w, r, git)
	})
	cfg := source.Config{
		URL: strings.Replace(server.URL, "/site.git", "/old/site.git", 1), StoreDir: t.TempDir(),
		Auth: source.Auth{TokenFile: gittest.WriteFile(t, "token", []byte("geheim")), CAFile: server.CAFile},
	}
	if rev, _ := fetch(t, open(t, cfg)); rev.ID != want {
		t.Errorf("fetched %v", rev)
	}
}

func TestServersThatCannotBeTrustedOrReached(t *testing.T) {
	repo := gittest.New(t)
	repo.Commit(gittest.Commit{Files: site("1")})
	server := repo.ServeHTTPS()
	_, key := gittest.NewKey(t)
	closed := httptest.NewServer(nil)
	closed.Close()
	for name, c := range map[string]struct {
		url, ca string
		kind    source.Kind
		want    string
	}{
		"unknown authority": {server.URL, "", source.Lasting, "not trusted here: name the authority's PEM file as site.auth.caFile"},
		"another name":      {strings.Replace(server.URL, "127.0.0.1", "localhost", 1), server.CAFile, source.Lasting, "certificate is for another name"},
		"no certificates":   {server.URL, key, source.Lasting, "has no certificate in PEM form"},
		"no file":           {server.URL, "/nowhere/ca.pem", source.Lasting, "site.auth.caFile: open /nowhere/ca.pem"},
		"no such name":      {"https://git.invalid/site.git", "", source.Passing, "cannot find the host git.invalid: check the url"},
		"nobody listens":    {strings.Replace(closed.URL, "http:", "https:", 1) + "/site.git", "", source.Passing, "cannot connect: check that the server runs"},
	} {
		t.Run(name, func(t *testing.T) {
			cfg := source.Config{URL: c.url, StoreDir: t.TempDir(), Auth: source.Auth{CAFile: c.ca}}
			fails(t, cfg, open(t, cfg), source.Revision{}, c.kind, c.want)
		})
	}
}
