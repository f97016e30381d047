package x2goclient

import (
	"bytes"
	"context"
	"encoding/pem"
	"fmt"
	"os"
	"os/exec"
	"os/user"
	"path/filepath"

	"golang.org/x/crypto/ssh"
	"golang.org/x/crypto/ssh/knownhosts"
)

// accounts is the library that shows a process another password database. The
// client's libssh looks for known_hosts and keys in the home that is written
// there, not in $HOME.
const accounts = "libnss_wrapper.so"

// Missing names the Debian packages that are not installed.
func Missing() []string {
	var out []string
	if found, _ := filepath.Glob("/usr/lib/*/" + accounts); len(found) == 0 {
		out = append(out, "libnss-wrapper")
	}
	if _, err := exec.LookPath("x2goclient"); err != nil {
		out = append(out, "x2goclient")
	}
	if _, err := exec.LookPath("Xvfb"); err != nil {
		out = append(out, "xvfb")
	}
	return out
}

// A Home is a home directory for one client: the user's, by the environment and
// by the password database that the client is shown.
type Home struct {
	dir string // with the home, the password database and the client's log
	env []string
}

// NewHome makes a home directory below dir.
func NewHome(dir string) (*Home, error) {
	home := filepath.Join(dir, "home")
	if err := os.MkdirAll(filepath.Join(home, ".ssh"), 0o700); err != nil {
		return nil, err
	}
	u, err := user.Current()
	if err != nil {
		return nil, err
	}
	others, err := os.ReadFile("/etc/passwd")
	if err != nil {
		return nil, err
	}
	// The first line that fits counts.
	passwd := fmt.Appendf(nil, "%s:x:%s:%s::%s:/bin/sh\n%s", u.Username, u.Uid, u.Gid, home, others)
	file := filepath.Join(dir, "passwd")
	if err := os.WriteFile(file, passwd, 0o600); err != nil {
		return nil, err
	}
	return &Home{dir: dir, env: []string{
		"HOME=" + home, "XDG_RUNTIME_DIR=" + home, "USER=" + u.Username, "LOGNAME=" + u.Username,
		"LD_PRELOAD=" + accounts, "NSS_WRAPPER_PASSWD=" + file, "NSS_WRAPPER_GROUP=/etc/group",
		"PATH=/usr/local/bin:/usr/bin:/bin", "LANG=C.UTF-8",
	}}, nil
}

// Path is that of the directory.
func (h *Home) Path() string { return filepath.Join(h.dir, "home") }

// Setenv has the client started with a variable, SSH_AUTH_SOCK for an agent.
func (h *Home) Setenv(name, value string) { h.env = append(h.env, name+"="+value) }

// Trust adds the key of a server, host:port, to known_hosts.
func (h *Home) Trust(address string, key ssh.PublicKey) error {
	f, err := os.OpenFile(filepath.Join(h.Path(), ".ssh", "known_hosts"), os.O_APPEND|os.O_CREATE|os.O_WRONLY, 0o600)
	if err != nil {
		return err
	}
	defer f.Close()
	_, err = fmt.Fprintln(f, knownhosts.Line([]string{address}, key))
	return err
}

// AddKey writes a private key, as crypto's packages make them, into .ssh, and
// its public half beside it. It gives the path of the private one. X2Go Client
// tries id_ed25519, id_ecdsa and id_rsa by itself.
func (h *Home) AddKey(name string, private any) (string, error) {
	block, err := ssh.MarshalPrivateKey(private, "")
	if err != nil {
		return "", err
	}
	signer, err := ssh.NewSignerFromKey(private)
	if err != nil {
		return "", err
	}
	file := filepath.Join(h.Path(), ".ssh", name)
	if err := os.WriteFile(file, pem.EncodeToMemory(block), 0o600); err != nil {
		return "", err
	}
	return file, os.WriteFile(file+".pub", bytes.TrimSpace(ssh.MarshalAuthorizedKey(signer.PublicKey())), 0o600)
}

// Start runs the client with a home of its own below dir, and waits for its
// main window. brokerURL should name the user, http://user@host/.
func Start(ctx context.Context, dir, brokerURL string, args ...string) (*Client, error) {
	h, err := NewHome(dir)
	if err != nil {
		return nil, err
	}
	return h.Start(ctx, brokerURL, args...)
}
