// Package gittest makes Git repositories for tests, with the git program.
package gittest

import (
	"bytes"
	"fmt"
	"maps"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

// Repo is a bare repository in a directory of the test's own.
type Repo struct {
	tb  testing.TB
	Dir string // absolute
}

// Commit is a whole new state of a branch.
type Commit struct {
	Branch     string            // "" for main
	Subject    string            // "" for "change"
	Files      map[string]string // path to content; all that is not here is gone
	Links      map[string]string // path to target, symbolic links
	Submodules []string          // paths
	Orphan     bool              // forget the history: what a force push does
}

// New makes an empty repository. Without the git program the test fails.
func New(tb testing.TB) *Repo {
	tb.Helper()
	if _, err := exec.LookPath("git"); err != nil {
		tb.Fatalf("this test needs the git program: install git (%v)", err)
	}
	r := &Repo{tb: tb, Dir: filepath.Join(tb.TempDir(), "site.git")}
	if err := os.Mkdir(r.Dir, 0o700); err != nil {
		tb.Fatal(err)
	}
	r.Run("init", "--quiet", "--bare", "--initial-branch=main", ".")
	return r
}

// URL gives the repository's file:// URL.
func (r *Repo) URL() string { return "file://" + r.Dir }

// Run runs git in the repository and gives what it printed, trimmed.
func (r *Repo) Run(args ...string) string {
	r.tb.Helper()
	return r.run(nil, args...)
}

// Commit adds a commit and gives its id. Commits of the same content have the
// same id.
func (r *Repo) Commit(c Commit) string {
	r.tb.Helper()
	branch, subject := "refs/heads/main", "change"
	if c.Branch != "" {
		branch = "refs/heads/" + c.Branch
	}
	if c.Subject != "" {
		subject = c.Subject
	}
	var in bytes.Buffer
	// fast-import starts a new branch where "from" is missing.
	fmt.Fprintf(&in, "commit %s\ncommitter Ada Admin <ada@example.edu> 1767610800 +0100\ndata %d\n%s\n", branch, len(subject), subject)
	if parent := r.tip(branch); parent != "" && !c.Orphan {
		fmt.Fprintf(&in, "from %s\n", parent)
	} else if parent != "" {
		r.Run("update-ref", "-d", branch)
	}
	in.WriteString("deleteall\n")
	file := func(mode, path, data string) {
		fmt.Fprintf(&in, "M %s inline %s\ndata %d\n%s\n", mode, quote(path), len(data), data)
	}
	for _, path := range slices.Sorted(maps.Keys(c.Files)) {
		file("100644", path, c.Files[path])
	}
	for _, path := range slices.Sorted(maps.Keys(c.Links)) {
		file("120000", path, c.Links[path])
	}
	for _, path := range c.Submodules {
		fmt.Fprintf(&in, "M 160000 %s %s\n", strings.Repeat("1", 40), quote(path))
	}
	r.run(in.Bytes(), "fast-import", "--quiet", "--force")
	return r.tip(branch)
}

// Object writes an object, whatever is in it, and gives its id. The kind is
// blob, tree or commit.
func (r *Repo) Object(kind string, data []byte) string {
	r.tb.Helper()
	return r.run(data, "hash-object", "-t", kind, "-w", "--stdin", "--literally")
}

// Sign makes the newest commit of a branch anew, with the signature that sign
// makes of its bytes, and gives its id.
func (r *Repo) Sign(branch string, sign func(payload []byte) string) string {
	r.tb.Helper()
	payload := r.Run("cat-file", "commit", branch) + "\n"
	headers, message, _ := strings.Cut(payload, "\n\n")
	signature := strings.ReplaceAll(strings.TrimSpace(sign([]byte(payload))), "\n", "\n ")
	id := r.Object("commit", []byte(headers+"\ngpgsig "+signature+"\n\n"+message))
	r.Branch(branch, id)
	return id
}

// Branch points a branch to a commit.
func (r *Repo) Branch(name, commit string) {
	r.tb.Helper()
	r.Run("update-ref", "refs/heads/"+name, commit)
}

func (r *Repo) tip(ref string) string {
	r.tb.Helper()
	return r.Run("for-each-ref", "--format=%(objectname)", ref)
}

func (r *Repo) run(stdin []byte, args ...string) string {
	r.tb.Helper()
	cmd := exec.Command("git", args...)
	cmd.Dir = r.Dir
	cmd.Stdin = bytes.NewReader(stdin)
	cmd.Env = append(os.Environ(),
		"GIT_CONFIG_GLOBAL="+os.DevNull, "GIT_CONFIG_NOSYSTEM=1",
		"GIT_AUTHOR_NAME=Ada Admin", "GIT_AUTHOR_EMAIL=ada@example.edu",
		"GIT_COMMITTER_NAME=Ada Admin", "GIT_COMMITTER_EMAIL=ada@example.edu")
	out, err := cmd.CombinedOutput()
	if err != nil {
		r.tb.Fatalf("git %s: %v\n%s", strings.Join(args, " "), err, out)
	}
	return strings.TrimSpace(string(out))
}

// quote writes a path as fast-import reads it, so that any bytes may be in it.
func quote(path string) string {
	var b strings.Builder
	b.WriteByte('"')
	for i := range len(path) {
		fmt.Fprintf(&b, `\%03o`, path[i])
	}
	b.WriteByte('"')
	return b.String()
}
