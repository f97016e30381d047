// Package local is the SSH broker behind OpenSSH: `x2broker ssh`, which sshd
// starts as the user who logged in, asks the broker that runs on this machine
// through a unix socket. Both ends are here.
//
// # Promises
//
// Who asks is who the kernel says connected. All that is sent is a claim: the
// name, which counts only if it is one of that user's; the address of his
// client, which counts only where the operator says so; and what he wants, which
// he may want as himself.
//
// Requests and answers are bounded and have deadlines. There are only so many at
// once, of one user fewer; who comes too many is told so, or hung up on. Nobody
// can hold a connection open by being slow.
//
// # The wire
//
// HTTP with JSON, one request on a connection:
//
//	POST /v1/ssh {"original": "...", "args": ["..."], "user": "...", "client": "..."}
//	200 {"stdout": "...", "stderr": "...", "code": 0}
//
// With original, which is SSH_ORIGINAL_COMMAND, args do not count. user is
// LOGNAME and client SSH_CLIENT; each is left out where it is not set. Another
// status has {"error": "..."}.
package local

// DefaultSocket is where `x2broker ssh` looks for the broker.
const DefaultSocket = "/run/x2broker/ssh.sock"

// MaxBody is the most bytes of a request.
const MaxBody = 64 << 10

// path is of the only thing that is there.
const path = "/v1/ssh"

// A Request is what somebody on this machine wants.
type Request struct {
	Original *string  `json:"original,omitempty"`
	Args     []string `json:"args,omitempty"`
	User     string   `json:"user,omitempty"`
	Client   *string  `json:"client,omitempty"`
}

// An Answer is what `x2broker ssh` prints, and its exit code.
type Answer struct {
	Stdout string `json:"stdout"`
	Stderr string `json:"stderr"`
	Code   int    `json:"code"`
}

// failure is the body of every answer that is none.
type failure struct {
	Error string `json:"error"`
}
