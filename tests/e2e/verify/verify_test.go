//go:build e2e

// Package verify signs commits with git, ssh-keygen and gpg as people and
// forges do, and asks the real x2broker binary about them.
package verify

import (
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"github.com/x2broker/x2broker/tests/brokertest"
)

func TestMain(m *testing.M) {
	for _, program := range []string{"git", "gpg", "ssh-keygen", "bash"} {
		if _, err := exec.LookPath(program); err != nil {
			fmt.Fprintln(os.Stderr, "this test needs the program", program)
			os.Exit(1)
		}
	}
	brokertest.Main(m)
}

// home is a home directory with keys of people and a forge.
type home struct {
	t   *testing.T
	dir string
	env []string
}

func newHome(t *testing.T) *home {
	t.Helper()
	// Not t.TempDir: the socket of gpg's agent allows 100 bytes of path.
	dir, err := os.MkdirTemp("", "verify-")
	if err != nil {
		t.Fatal(err)
	}
	h := &home{t: t, dir: dir, env: append(os.Environ(),
		"HOME="+dir, "GNUPGHOME="+filepath.Join(dir, "gnupg"), "GIT_CONFIG_NOSYSTEM=1", "LC_ALL=C",
		"PATH="+filepath.Dir(brokertest.Binary(t))+":"+os.Getenv("PATH"))}
	t.Cleanup(func() {
		_ = h.command("gpgconf", "--kill", "all").Run()
		os.RemoveAll(dir)
	})
	h.sh(`umask 077; mkdir gnupg .ssh; umask 022; mkdir keys
git config --global user.name Ada
git config --global user.email alice@example.edu
git config --global init.defaultBranch main
gpg --batch --quiet --passphrase "" --quick-generate-key "Forge <noreply@forge.example.edu>" rsa3072 sign never
gpg --batch --armor --export noreply@forge.example.edu >keys/forge.asc`)
	return h
}

func (h *home) command(name string, args ...string) *exec.Cmd {
	cmd := exec.Command(name, args...)
	cmd.Dir, cmd.Env = h.dir, h.env
	return cmd
}

// try runs a script in the home directory; what it printed comes back.
func (h *home) try(script string) (string, error) {
	out, err := h.command("bash", "-euo", "pipefail", "-c", script).CombinedOutput()
	return string(out), err
}

func (h *home) sh(script string) string {
	h.t.Helper()
	out, err := h.try(script)
	if err != nil {
		h.t.Fatalf("%s\n%v\n%s", script, err, out)
	}
	return out
}

func (h *home) write(name, text string) {
	h.t.Helper()
	if err := os.WriteFile(filepath.Join(h.dir, name), []byte(text), 0o644); err != nil {
		h.t.Fatal(err)
	}
}

// byForge makes git sign as a forge does.
const byForge = `git -c gpg.format=openpgp -c user.signingKey=noreply@forge.example.edu -c user.name=Forge -c user.email=noreply@forge.example.edu `

func by(name string) string {
	return fmt.Sprintf("git -c gpg.format=ssh -c user.signingKey=$HOME/.ssh/%[1]s.pub -c user.email=%[1]s@example.edu ", name)
}

const rules = `verify: {
	signers: [
		{principal: "alice@example.edu", keyFile: ".ssh/alice.pub", groups: ["policy"]},
		{principal: "bob@example.edu", keyFile: ".ssh/bob.pub"},
		{principal: "carol@example.edu", keyFile: "keys/carol.asc"},
	]
	allowedSignersFile: "allowed"
	forges: [{name: "forge", keyFile: "keys/forge.asc"}]
	rules: [{paths: ["policy/**"], signers: ["group:policy"]}, {paths: ["**"], signers: ["*"]}]
}
`

func TestWhatGitAndGnuPGSignIsVerified(t *testing.T) {
	h := newHome(t)
	h.write("broker.cue", rules)
	h.sh(`ssh-keygen -q -t ed25519 -N "" -f .ssh/alice
ssh-keygen -q -t ecdsa -b 384 -N "" -f .ssh/bob
ssh-keygen -q -t rsa -b 3072 -N "" -f .ssh/dora
ssh-keygen -q -t rsa -b 2048 -N "" -f .ssh/weak
echo "dora@example.edu namespaces=\"git\" $(cat .ssh/dora.pub)" >allowed
gpg --batch --quiet --passphrase "" --quick-generate-key "Carol <carol@example.edu>" ed25519 cert never
gpg --batch --quiet --passphrase "" --quick-add-key "$(gpg --list-keys --with-colons carol@example.edu | awk -F: '/^fpr/{print $10; exit}')" ed25519 sign 1y
gpg --batch --armor --export carol@example.edu >keys/carol.asc
git init --quiet site; cd site; mkdir policy profiles; echo old >policy/a.rego; echo lab >profiles/lab.cue
git add .; git commit --quiet -m Begin; git tag begin`)
	carol := `git -c gpg.format=openpgp -c user.signingKey=carol@example.edu -c user.email=carol@example.edu `
	steps := []struct {
		name, script, want string
	}{
		{"ed25519", "echo new >policy/a.rego; " + by("alice") + "commit -qaS -m x", "ok .* alice@example.edu "},
		{"ecdsa", "echo b >profiles/lab.cue; " + by("bob") + "commit -qaS -m x", "ok .* bob@example.edu "},
		{"RSA of the allowed signers", "echo d >profiles/lab.cue; " + by("dora") + "commit -qaS -m x", "ok .* dora@example.edu "},
		{"OpenPGP subkey", "echo c >profiles/lab.cue; " + carol + "commit -qaS -m x", "ok .* carol@example.edu "},
		{"weak RSA", "echo w >profiles/lab.cue; " + by("weak") + "commit -qaS -m x", "RSA with less than 3072 bits"},
		{"outside his path", "echo evil >policy/a.rego; " + by("bob") + "commit -qaS -m x", `bob@example.edu, who may not change policy/a.rego \(rule 1\)`},
		{"unsigned", "echo u >profiles/lab.cue; git commit -qa -m x", "is not signed"},
		{"SHA-1", "echo s >profiles/lab.cue; echo 'digest-algo SHA1' >$GNUPGHOME/gpg.conf; " + carol + "commit -qaS -m x; rm $GNUPGHOME/gpg.conf", "with SHA-1, which can be forged"},
		{"merge by the forge", "git checkout -qb side HEAD~1; echo y >profiles/y.cue; git add .; " + by("bob") + "commit -qS -m x; git checkout -q main; echo z >policy/z.rego; git add .; " + by("alice") + "commit -qS -m x; " + byForge + "merge -qS --no-ff -m x side", "ok .* the forge forge "},
		{"squash by the forge", "git checkout -qb side2; echo y >profiles/z.cue; git add .; " + by("bob") + "commit -qS -m x; git checkout -q main; git merge -q --squash side2; " + byForge + "commit -qS -m x", "is signed by the forge forge, which may only merge"},
		{"evil merge by the forge", "git checkout -qb side3 HEAD~1; echo y >profiles/e.cue; git add .; " + by("bob") + "commit -qS -m x; git checkout -q main; " + byForge + "merge -q --no-ff --no-commit side3; echo evil >policy/z.rego; git add .; " + byForge + "commit -qS -m x", `which may change nothing itself, but policy/z.rego is`},
		{"merge that takes the policy back", "git checkout -qb side4 begin; " + by("bob") + "commit -qS --allow-empty -m x; " + by("bob") + "merge -qS -s ours -m x main; git checkout -q main; git merge -q --ff-only side4", `is a merge signed by bob@example.edu, who may not change policy/a.rego \(rule 1\)`},
		{"merge of a signed tag", "git checkout -qb side5 HEAD; echo t >profiles/t.cue; git add .; " + by("bob") + "commit -qS -m x; " + by("alice") + "tag -s v1 -m v1; git checkout -q main; " + by("alice") + "commit -qS --allow-empty -m x; " + by("alice") + "merge -qS -m x v1", "ok .* alice@example.edu "},
		{"octopus", "for i in 1 2; do git checkout -qb o$i main; echo $i >profiles/o$i.cue; git add .; " + by("bob") + "commit -qS -m x; done; git checkout -q main; " + by("alice") + "commit -qS --allow-empty -m x; " + by("alice") + "merge -qS -m x o1 o2", "is a merge of 3 commits at once"},
	}
	for _, s := range steps {
		t.Run(s.name, func(t *testing.T) {
			h.sh("cd site; " + s.script)
			out := h.sh("cd site; x2broker verify --config ../broker.cue --since begin --dry-run")
			lines := strings.Split(strings.TrimSpace(out), "\n")
			last := lines[len(lines)-2] // before the sum
			if !regexp.MustCompile(s.want).MatchString(last) {
				t.Errorf("got\n%s\nwant %s", out, s.want)
			}
		})
	}
	// What is accepted, git finds good, too.
	h.sh(`for who in alice bob dora; do echo "$who@example.edu $(cat .ssh/$who.pub)"; done >all
git config --global gpg.ssh.allowedSignersFile "$HOME/all"`)
	var report struct {
		Commits []struct {
			Hash     string
			Accepted bool
		}
	}
	if err := json.Unmarshal([]byte(h.sh("x2broker verify --site site --since begin --dry-run --format json")), &report); err != nil {
		t.Fatal(err)
	}
	accepted := 0
	for _, c := range report.Commits {
		if c.Accepted {
			accepted++
			h.sh("git -C site verify-commit " + c.Hash)
		}
	}
	if accepted < len(steps)/2 {
		t.Errorf("%d commits only were accepted", accepted)
	}
}

// block matches the commands that the page tells people to type.
var block = regexp.MustCompile("(?ms)^```sh\n(.*?)^```$")

func TestTheCommandsOfThePageWork(t *testing.T) {
	root, err := exec.Command("go", "list", "-m", "-f", "{{.Dir}}").Output()
	if err != nil {
		t.Fatal(err)
	}
	page, err := os.ReadFile(filepath.Join(strings.TrimSpace(string(root)), "docs", "verify.md"))
	if err != nil {
		t.Fatal(err)
	}
	h := newHome(t)
	h.write("broker.cue", `verify: {
	signers: [{principal: "alice@example.edu", keyFile: ".ssh/site.pub"}]
	forges: [{name: "forge", keyFile: "keys/forge.asc"}]
}
`)
	// As the reader of the page: his site, and a key without a passphrase,
	// because nobody sits here to type one.
	script := `ssh-keygen() { if [ "$1" = -t ]; then command ssh-keygen -q -N "" "$@"; else command ssh-keygen "$@"; fi; }
git init --quiet site
echo old >site/site.cue
git -C site add .
`
	blocks := block.FindAllStringSubmatch(string(page), -1)
	if len(blocks) != 7 {
		t.Fatalf("%d blocks of commands, want 7: say here what goes between them", len(blocks))
	}
	between := []string{ // after each block
		`git -C site commit -q -m Begin
`,
		``,
		`echo newer >site.cue; git commit -qa --no-gpg-sign -m Forgotten
if x2broker verify --config ../broker.cue; then echo "an unsigned commit was accepted"; exit 1; fi
`,
		`git checkout -qb lab; echo lab >lab.cue; git add .; git commit -q -m Lab
git checkout -q main; echo new >site.cue; git commit -qa -m New
`,
		``, ``, ``,
	}
	for i, b := range blocks {
		script += b[1] + between[i]
	}
	out := h.sh(script)
	if strings.Count(out, " 0 refused") != 4 || !strings.Contains(out, "REFUSED") || !strings.Contains(out, "SHA256:") {
		t.Errorf("got\n%s", out)
	}
}
