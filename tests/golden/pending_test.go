package golden_test

import (
	"path"
	"strings"
)

// A pending names cases that need what this broker cannot do yet. They are run
// all the same where they can be, and the tests fail when one of them passes.
type pending struct {
	For   string   // what must be built first
	Why   string   // what of the answers needs it
	Cases []string // names with *, or case/step for a single request
}

var waits = []*pending{
	{"ssh", "The SSH frontend is not built yet.", []string{"ssh-*"}},
	{"farm", "The broker does not talk to agents yet, and so neither resumes sessions nor counts them.", []string{"agent-local-*", "sshagent-*", "lb-*", "resume-*", "uccs-agent-status"}},
	{"farm", "Keys for autologin are deployed by agents.", []string{"autologin-*", "pubkeys-present", "pubkeys-rsa-only"}},
}

// waiting gives what a case or step waits for, nil for nothing.
func waiting(name string) *pending {
	for _, p := range waits {
		for _, pattern := range p.Cases {
			if matches, err := path.Match(pattern, name); matches || err != nil {
				return p
			}
		}
	}
	return nil
}

// covers reports whether a pattern is for the case or for one of its steps.
func covers(pattern, name string) bool {
	pattern, _, _ = strings.Cut(pattern, "/")
	matches, err := path.Match(pattern, name)
	return matches || err != nil
}
