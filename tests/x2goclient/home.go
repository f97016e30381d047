package x2goclient

import (
	"fmt"
	"os"
	"os/exec"
	"os/user"
	"path/filepath"
)

// accounts is the library that shows a process another password database. The
// client's libssh looks for known_hosts in the home that is written there, not
// in $HOME.
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

// makeHome makes a home directory below dir, and gives the environment in which
// it is the user's.
func makeHome(dir string) (home string, env []string, err error) {
	home = filepath.Join(dir, "home")
	if err := os.MkdirAll(home, 0o700); err != nil {
		return "", nil, err
	}
	u, err := user.Current()
	if err != nil {
		return "", nil, err
	}
	others, err := os.ReadFile("/etc/passwd")
	if err != nil {
		return "", nil, err
	}
	// The first line that fits counts.
	passwd := fmt.Appendf(nil, "%s:x:%s:%s::%s:/bin/sh\n%s", u.Username, u.Uid, u.Gid, home, others)
	file := filepath.Join(dir, "passwd")
	if err := os.WriteFile(file, passwd, 0o600); err != nil {
		return "", nil, err
	}
	return home, []string{
		"HOME=" + home, "XDG_RUNTIME_DIR=" + home, "USER=" + u.Username, "LOGNAME=" + u.Username,
		"LD_PRELOAD=" + accounts, "NSS_WRAPPER_PASSWD=" + file, "NSS_WRAPPER_GROUP=/etc/group",
	}, nil
}
