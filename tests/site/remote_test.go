package site_test

import (
	"fmt"
	"net/http"
	"os"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/x2broker/x2broker/broker/source/gittest"
	"github.com/x2broker/x2broker/tests/brokertest"
)

func TestATokenThatExpiresAndIsRenewedNeedsNoRestart(t *testing.T) {
	repo := gittest.New(t)
	repo.Commit(gittest.Commit{Files: campus})
	server := repo.ServeHTTPS()
	grant := func(token string) {
		server.Instead(func(w http.ResponseWriter, r *http.Request, git http.Handler) {
			if _, p, _ := r.BasicAuth(); p != token {
				http.Error(w, "", http.StatusUnauthorized)
				return
			}
			git.ServeHTTP(w, r)
		})
	}
	grant("geheim-1")
	file := gittest.WriteFile(t, "token", []byte("geheim-1\n"))
	b := brokertest.Start(t, settings(t, server.URL, t.TempDir())+
		fmt.Sprintf("site: auth: {tokenFile: %q, caFile: %q}\n", file, server.CAFile))
	sam := b.Client("sam", "127.0.0.2")
	eventually(t, sam, "lab")

	grant("geheim-2")
	b.WaitLog("cannot be read until somebody corrects this.*the server refuses the token in " + file)
	more := map[string]string{"profiles/extra.cue": "package site\n\nprofiles: extra: {name: \"E\", hosts: ids: [\"lab01\"], access: everyone: true}\n"}
	for name, text := range campus {
		more[name] = text
	}
	repo.Commit(gittest.Commit{Files: more})
	if diff := cmp.Diff([]string{"lab"}, ids(t, sam)); diff != "" {
		t.Errorf("while the token is refused (-want +got):\n%s", diff)
	}
	if err := os.WriteFile(file, []byte("geheim-2\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	eventually(t, sam, "extra", "lab")
	if strings.Contains(b.Log(), "geheim") {
		t.Errorf("the token is in the log:\n%s", b.Log())
	}
}

func TestAFileSiteWithoutTheGitProgram(t *testing.T) {
	repo := brokertest.NewRepo(t, campus)
	brokertest.Binary(t) // before the path is gone
	t.Setenv("PATH", t.TempDir())
	b := brokertest.Start(t, settings(t, repo.URL(), t.TempDir()))
	b.WaitLog("file:// needs the git program: install git")
}

func TestSiteSettingsThatCannotWorkEndServe(t *testing.T) {
	for url, want := range map[string]string{
		"ssh://git@git.example.org/site.git":        "needs site.auth.keyFile",
		"https://geheim@git.example.org/site.git":   "name it as site.auth.tokenFile",
		"http://git.example.org/site.git":           "write https://",
		"https://git.example.org/site.git?a=geheim": "no ? and no #",
	} {
		if out := brokertest.Refuses(t, settings(t, url, t.TempDir()), 2); !strings.Contains(out, want) || strings.Contains(out, "geheim") {
			t.Errorf("%s: got %s, want %q", url, out, want)
		}
	}
}
