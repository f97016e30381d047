package source

import (
	"fmt"
	"time"
)

// Kind says what has to happen before a Fetch that failed can succeed.
type Kind int

const (
	Passing Kind = iota // nothing: a network or a server is away
	Lasting             // somebody must correct settings, keys or the server
	Refused             // a commit: the repository answers, but what it has may not be used
)

// FetchError is every error of [Git.Fetch], and some of [Git.Tree].
type FetchError struct {
	Kind       Kind
	Commit     string        // that is Refused: its id, or that of the tag that leads to it; "" if it is more than one commit
	RetryAfter time.Duration // what the server asks for, 0 for nothing
	Err        error         // one sentence, with the remedy where one is known
}

func (e *FetchError) Error() string { return e.Err.Error() }
func (e *FetchError) Unwrap() error { return e.Err }

func lasting(format string, args ...any) error {
	return &FetchError{Kind: Lasting, Err: fmt.Errorf(format, args...)}
}

// limitError is something too large to be fetched. The same commit will not be
// smaller the next time.
type limitError struct {
	format string
	limit  int
}

func (e *limitError) Error() string { return fmt.Sprintf(e.format, e.limit) }
