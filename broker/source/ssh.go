package source

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"slices"
	"strings"
	"sync"

	"github.com/skeema/knownhosts"
	"golang.org/x/crypto/ssh"
	xknownhosts "golang.org/x/crypto/ssh/knownhosts"
)

// sshAddress is where a repository is that is read over SSH.
type sshAddress struct {
	user, host, port string
	path             string // as the server's shell takes it, unquoted
}

func (a sshAddress) dial() string { return net.JoinHostPort(a.host, a.port) }

// scan gives the command that prints the server's host keys.
func (a sshAddress) scan() string {
	if a.port == "22" {
		return "ssh-keyscan " + a.host
	}
	return "ssh-keyscan -p " + a.port + " " + a.host
}

// dialSSH begins a conversation. Key and known hosts are read anew, so that
// changed ones count at once; agents and the files of ~/.ssh never count. When
// the context ends the connection is closed, and with it all waiting ends.
func dialSSH(ctx context.Context, at sshAddress, auth Auth) (_ conversation, err error) {
	signer, err := readKey(auth.KeyFile)
	if err != nil {
		return nil, err
	}
	config, err := sshConfig(at, auth.KnownHostsFile, signer)
	if err != nil {
		return nil, err
	}
	conn, err := (&net.Dialer{}).DialContext(ctx, "tcp", at.dial())
	if err != nil {
		return nil, err
	}
	unhook := context.AfterFunc(ctx, func() { conn.Close() })
	end := sync.OnceFunc(func() {
		unhook()
		conn.Close()
	})
	defer func() {
		if err != nil {
			end()
		}
	}()
	c, channels, requests, err := ssh.NewClientConn(conn, at.dial(), config)
	if err != nil {
		return nil, explainSSH(err, at, auth)
	}
	client := ssh.NewClient(c, channels, requests)
	session, err := client.NewSession()
	if err != nil {
		return nil, fmt.Errorf("open a session: %w", err)
	}
	s := &stream{stderr: &beginning{limit: stderrBytes}}
	session.Stderr = s.stderr
	if s.in, err = session.StdinPipe(); err != nil {
		return nil, err
	}
	stdout, err := session.StdoutPipe()
	if err != nil {
		return nil, err
	}
	s.out = bufio.NewReader(stdout)
	if err := session.Start("git-upload-pack " + quote(at.path)); err != nil {
		return nil, fmt.Errorf("start git-upload-pack at the server: %w", err)
	}
	s.hangUp = sync.OnceFunc(func() {
		end()
		_ = session.Wait() // only now is all there that the program said
		_ = client.Wait()
	})
	return s, nil
}

// quote makes one word of a path for the server's shell.
func quote(path string) string { return "'" + strings.ReplaceAll(path, "'", `'\''`) + "'" }

// sshConfig allows what x/crypto holds for secure, and no SHA-1.
func sshConfig(at sshAddress, knownHosts string, signer ssh.Signer) (*ssh.ClientConfig, error) {
	db, err := knownhosts.NewDB(knownHosts)
	if errors.Is(err, os.ErrNotExist) {
		return nil, lasting("site.auth.knownHostsFile: %s does not exist: write the server's host key into it: %s >%s, and compare it with what the server's administrators publish", knownHosts, at.scan(), knownHosts)
	}
	if err != nil {
		return nil, lasting("site.auth.knownHostsFile: %w", err)
	}
	secure := ssh.SupportedAlgorithms()
	insecure := func(name string) bool { return !slices.Contains(secure.HostKeys, name) }
	hostKeys := slices.DeleteFunc(db.HostKeyAlgorithms(at.dial()), insecure)
	if len(hostKeys) == 0 {
		hostKeys = secure.HostKeys // the callback says what is wrong
	}
	return &ssh.ClientConfig{
		Config: ssh.Config{
			KeyExchanges: secure.KeyExchanges,
			Ciphers:      secure.Ciphers,
			MACs:         slices.DeleteFunc(secure.MACs, func(name string) bool { return name == ssh.HMACSHA1 }),
		},
		User:              at.user,
		Auth:              []ssh.AuthMethod{ssh.PublicKeys(signer)},
		HostKeyCallback:   db.HostKeyCallback(),
		HostKeyAlgorithms: hostKeys,
		ClientVersion:     "SSH-2.0-x2broker",
	}, nil
}

func readKey(file string) (ssh.Signer, error) {
	data, err := readSecret(file)
	if err != nil {
		return nil, lasting("site.auth.keyFile: %w", err)
	}
	signer, err := ssh.ParsePrivateKey(data)
	if missing := new(ssh.PassphraseMissingError); errors.As(err, &missing) {
		return nil, lasting("site.auth.keyFile: %s has a passphrase, which nobody could type: make a key without one for the broker alone: ssh-keygen -t ed25519 -N '' -f FILE", file)
	}
	if err != nil {
		return nil, lasting("site.auth.keyFile: %s: no private key that can be read: make one with ssh-keygen -t ed25519 -N '' -f FILE", file)
	}
	kind := signer.PublicKey().Type()
	if kind == ssh.KeyAlgoRSA {
		algorithms, ok := signer.(ssh.AlgorithmSigner)
		if !ok {
			return nil, lasting("site.auth.keyFile: %s: this RSA key cannot sign with SHA-2", file)
		}
		return ssh.NewSignerWithAlgorithms(algorithms, []string{ssh.KeyAlgoRSASHA512, ssh.KeyAlgoRSASHA256})
	}
	if !slices.Contains(ssh.SupportedAlgorithms().PublicKeyAuths, kind) {
		return nil, lasting("site.auth.keyFile: %s is a key of the kind %s, which is not safe: make another with ssh-keygen -t ed25519 -N '' -f FILE", file, kind)
	}
	return signer, nil
}

// explainSSH says why the server is not trusted, or does not trust us.
func explainSSH(err error, at sshAddress, auth Auth) error {
	var (
		revoked   *xknownhosts.RevokedError
		key       *xknownhosts.KeyError
		algorithm *ssh.AlgorithmNegotiationError
	)
	file := auth.KnownHostsFile
	switch {
	case errors.As(err, &revoked):
		return lasting("the server's host key is revoked, at line %d of %s: this may be somebody else's machine: ask the server's administrators for the new key", revoked.Revoked.Line, file)
	case errors.As(err, &key) && len(key.Want) == 0:
		return lasting("%s has no host key of %s: add it: %s >>%s, and compare it with what the server's administrators publish", file, knownhosts.Normalize(at.dial()), at.scan(), file)
	case errors.As(err, &key):
		return lasting("the server's host key is not the one at line %d of %s: this may be somebody else's machine; if the server's administrators say that they changed it, remove the old one: ssh-keygen -R '%s' -f %s, and add the new: %s >>%s",
			key.Want[0].Line, file, knownhosts.Normalize(at.dial()), file, at.scan(), file)
	case errors.As(err, &algorithm) && strings.Contains(algorithm.What, "host key"):
		return lasting("the server has no host key of the kinds that %s lists for it (%s, but not %s): compare %s with what the server's administrators publish, and correct the file",
			file, strings.Join(algorithm.RequestedAlgorithms, " "), strings.Join(algorithm.SupportedAlgorithms, " "), at.scan())
	case errors.As(err, &algorithm):
		return lasting("the server is too old, it has no safe algorithm in common with the broker: %w", algorithm)
	case strings.Contains(err.Error(), "unable to authenticate"):
		return lasting("the server does not accept the key in %s for user %s: add its public half to the repository as a deploy key: ssh-keygen -y -f %s", auth.KeyFile, at.user, auth.KeyFile)
	}
	return err
}
