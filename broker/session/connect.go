package session

import (
	"context"
	"net/netip"

	"github.com/x2broker/x2broker/broker/identity"
)

// A Proof stands for the credentials in all requests of one connection; Prompt
// and Ask are the conversation that may lead to it. See broker/identity.
type (
	Proof  = identity.Proof
	Prompt = identity.Prompt
	Ask    = identity.Ask
)

// Open reports whether the broker asks nobody for a password.
func (s *Service) Open() bool { return s.gate.Open() }

// Connect lets somebody in by password, or by a conversation if ask is not nil.
// The site's policy is not asked here but in each request. The error is always a
// *[DeniedError].
func (s *Service) Connect(ctx context.Context, c Credentials, ask Ask) (*Proof, error) {
	return s.gate.Connect(ctx, c, ask)
}

// ConnectAs lets in whoever proved by a key that he has the name of the
// credentials; as Connect else.
func (s *Service) ConnectAs(ctx context.Context, c Credentials) (*Proof, error) {
	return s.gate.ConnectAs(ctx, c)
}

// ConnectUID lets in a user of this machine, who may say which of the names of
// his number is meant; as Connect else.
func (s *Service) ConnectUID(ctx context.Context, uid uint32, name string, address netip.Addr) (*Proof, error) {
	return s.gate.ConnectUID(ctx, uid, name, address)
}
