package golden_test

import (
	"path"
	"slices"
	"strings"
)

// A pending names cases that need what this broker cannot do yet. They are run
// all the same where they can be, and the tests fail when one of them passes.
type pending struct {
	For   string   // what must be built first
	Why   string   // what of the answers needs it
	Cases []string // names with *, or case/step for a single request
	But   []string // cases that wait for nothing
}

var waits = []*pending{
	{
		For: "farm", Why: "The broker does not talk to agents yet: it neither shows and resumes sessions nor counts them.",
		Cases: []string{"agent-local-*", "sshagent-*", "lb-*", "resume-*", "uccs-agent-status", "list-key-order-all", "ssh-agent-local", "ssh-agent-local-sudo"},
		But: []string{
			"agent-local-foreign-host", "agent-local-shadow", // sessions do not matter
			"sshagent-hostkey-reject", "sshagent-stderr", // the agent is not believed
		},
	},
	{
		For: "farm", Why: "Keys for autologin are put on servers by agents.",
		Cases: []string{"autologin-*", "list-autologin-*", "pubkeys-present", "pubkeys-rsa-only", "ssh-autologin"},
	},
	{
		For: "farm", Why: "The broker does not try yet which servers answer.",
		Cases: []string{"select-portscan-v6", "select-portscan-profile/1"},
	},
}

// waiting gives what a case or step waits for, nil for nothing.
func waiting(name string) *pending {
	for _, p := range waits {
		if slices.Contains(p.But, name) {
			continue
		}
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
