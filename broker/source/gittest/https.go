package gittest

import (
	"encoding/pem"
	"io"
	"log"
	"net/http"
	"net/http/cgi"
	"net/http/httptest"
	"os"
	"path/filepath"
	"sync"
	"testing"
)

// HTTPS is a server that answers about a repository with git http-backend.
type HTTPS struct {
	URL    string // of the repository
	CAFile string // with the certificate of the server, in PEM form
	Server *httptest.Server

	mu      sync.Mutex
	instead func(w http.ResponseWriter, r *http.Request, git http.Handler)
}

// ServeHTTPS starts a server, which ends with the test.
func (r *Repo) ServeHTTPS() *HTTPS {
	r.tb.Helper()
	s := &HTTPS{}
	git := &cgi.Handler{
		Path:   filepath.Join(r.Run("--exec-path"), "git-http-backend"),
		Env:    []string{"GIT_PROJECT_ROOT=" + filepath.Dir(r.Dir), "GIT_HTTP_EXPORT_ALL=1", "GIT_CONFIG_NOSYSTEM=1", "HOME=" + r.tb.TempDir()},
		Stderr: io.Discard,
		Logger: log.New(io.Discard, "", 0), // clients hang up, on purpose
	}
	s.Server = httptest.NewUnstartedServer(http.HandlerFunc(func(w http.ResponseWriter, req *http.Request) {
		s.mu.Lock()
		instead := s.instead
		s.mu.Unlock()
		if instead == nil {
			git.ServeHTTP(w, req)
			return
		}
		instead(w, req, git)
	}))
	s.Server.Config.ErrorLog = git.Logger
	s.Server.StartTLS()
	r.tb.Cleanup(func() {
		s.Server.CloseClientConnections()
		s.Server.Close()
	})
	s.URL = s.Server.URL + "/" + filepath.Base(r.Dir)
	s.CAFile = WriteFile(r.tb, "ca.pem", pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: s.Server.Certificate().Raw}))
	return s
}

// Instead has requests answered by f, which may leave them to git; nil has git
// answer again.
func (s *HTTPS) Instead(f func(w http.ResponseWriter, r *http.Request, git http.Handler)) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.instead = f
}

// WriteFile writes a file that only its owner may read, in a directory of the
// test's own, and gives its path.
func WriteFile(tb testing.TB, name string, data []byte) string {
	tb.Helper()
	path := filepath.Join(tb.TempDir(), name)
	if err := os.WriteFile(path, data, 0o600); err != nil {
		tb.Fatal(err)
	}
	return path
}
