package session

// RefusedError means that somebody who proved who he is may not have what he
// asked for. Its reason is made to be shown to him.
type RefusedError struct {
	Reason string
	What   Refused
}

// Refused says what it is that is refused.
type Refused int

// What may be refused.
const (
	RefusedTask    Refused = iota // that nobody may have
	RefusedLogin                  // by the policy of the site
	RefusedAccount                // of the server
	RefusedProfile                // that is hidden, or nowhere to be had
)

// Error gives the reason.
func (e *RefusedError) Error() string { return e.Reason }

// The reasons that do not come from a policy. A hidden profile and one that
// does not exist are alike.
var (
	errNotOffered = &RefusedError{"this session profile is not available", RefusedProfile}
	errNoServer   = &RefusedError{"no server is available for this session profile", RefusedProfile}
	errAccount    = &RefusedError{"this account is not available", RefusedAccount}
	errPolicy     = &RefusedError{"refused by the policy of the site", RefusedLogin}
)
