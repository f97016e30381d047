package source

import (
	"context"
	"errors"
	"fmt"
	"net/url"
	"path/filepath"
	"strings"
	"unicode"
)

// dialer begins a conversation with the repository of a source.
type dialer func(context.Context) (conversation, error)

// dialerFor reads a repository's URL. Its errors do not repeat the URL, which
// may hold a password.
func dialerFor(raw string, auth Auth) (dialer, error) {
	if scp := scpLike.FindStringSubmatch(raw); scp != nil {
		return dialerSSH(sshAddress{user: scp[1], host: scp[2], port: "22", path: scp[3]}, auth)
	}
	u, err := url.Parse(raw)
	if err != nil {
		return nil, errors.New("not a URL: write a % in a path as %25")
	}
	if u.RawQuery != "" || u.ForceQuery || u.Fragment != "" {
		return nil, errors.New("the address of a repository has no ? and no #")
	}
	switch u.Scheme {
	case "file":
		return dialerFile(u, auth)
	case "https":
		return dialerHTTPS(u, auth)
	}
	at := sshAddress{user: u.User.Username(), host: u.Hostname(), port: u.Port(), path: u.Path}
	if _, given := u.User.Password(); given {
		return nil, errors.New("no password can be given for ssh: make a key, and name its file as site.auth.keyFile")
	}
	if at.port == "" {
		at.port = "22"
	}
	if strings.HasPrefix(at.path, "/~") { // a home directory, as git has it
		at.path = at.path[1:]
	}
	return dialerSSH(at, auth)
}

func dialerFile(u *url.URL, auth Auth) (dialer, error) {
	switch {
	case u.Host != "" && u.Host != "localhost", !filepath.IsAbs(u.Path):
		return nil, errors.New("write file:// and an absolute path, as in file:///srv/site.git")
	case auth != Auth{}:
		return nil, errors.New("site.auth is for https:// and ssh:// only")
	}
	return func(ctx context.Context) (conversation, error) { return uploadPack(ctx, u.Path) }, nil
}

func dialerHTTPS(u *url.URL, auth Auth) (dialer, error) {
	switch {
	case u.User != nil:
		return nil, errors.New("no user, password or token belongs into the address: put the token into a file and name it as site.auth.tokenFile, its user as site.auth.user")
	case u.Host == "":
		return nil, errors.New("write https://, a host and a path")
	case auth.KeyFile != "" || auth.KnownHostsFile != "":
		return nil, errors.New("site.auth.keyFile and knownHostsFile are for ssh: an https:// site has tokenFile")
	case auth.User != "" && auth.TokenFile == "":
		return nil, errors.New("site.auth.user without tokenFile: name the file with the user's token")
	case strings.Contains(auth.User, ":"):
		return nil, errors.New("site.auth.user: a user has no colon in its name")
	}
	base := strings.TrimRight(u.String(), "/")
	return func(ctx context.Context) (conversation, error) { return dialHTTPS(ctx, base, auth) }, nil
}

func dialerSSH(at sshAddress, auth Auth) (dialer, error) {
	switch {
	case at.user == "":
		return nil, errors.New("say as whom to log in, as in ssh://git@host/site.git")
	case at.host == "", strings.Trim(at.path, "/") == "":
		return nil, errors.New("write ssh://, user, host and path, as in ssh://git@host/site.git")
	case strings.HasPrefix(at.path, "-"), strings.ContainsFunc(at.path, unicode.IsControl):
		return nil, fmt.Errorf("%q is no path of a repository", at.path)
	case auth.TokenFile != "" || auth.User != "" || auth.CAFile != "":
		return nil, errors.New("site.auth.tokenFile, user and caFile are for https: an ssh site has keyFile and knownHostsFile")
	case auth.KeyFile == "":
		return nil, errors.New("an ssh site needs site.auth.keyFile, a private key without passphrase: ssh-keygen -t ed25519 -N '' -f FILE")
	case auth.KnownHostsFile == "":
		return nil, fmt.Errorf("an ssh site needs site.auth.knownHostsFile, with the server's host key in it: %s >FILE", at.scan())
	}
	return func(ctx context.Context) (conversation, error) { return dialSSH(ctx, at, auth) }, nil
}
