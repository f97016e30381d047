package ssh

import (
	"context"
	"sync"

	"github.com/x2broker/x2broker/broker/identity"
)

// A person is an authenticator that knows one user, alice. Beside the password it
// says and asks what a test wants it to.
type person struct {
	mu       sync.Mutex
	password string
	talk     func(identity.Ask) error // after the right password; nil for nothing

	held    chan struct{} // told that a lookup waits
	release chan struct{} // nil: lookups do not wait
}

func newPerson() *person { return &person{password: "alice-pw", held: make(chan struct{}, 8)} }

func (*person) Name() string { return "person" }

func (p *person) Authenticate(_ context.Context, c identity.Credentials) (identity.Identity, error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	switch {
	case c.Name != "alice":
		return identity.Identity{}, identity.ErrUnknownUser
	case c.Password != p.password || p.talk != nil:
		return identity.Identity{}, identity.ErrWrongPassword
	}
	return identity.Identity{Name: "alice"}, nil
}

func (p *person) Converse(ctx context.Context, c identity.Credentials, ask identity.Ask) (identity.Identity, error) {
	if p.talk == nil {
		return p.Authenticate(ctx, c)
	}
	if err := p.talk(ask); err != nil {
		return identity.Identity{}, err
	}
	if c.Name != "alice" || c.Password != p.password {
		return identity.Identity{}, identity.ErrWrongPassword
	}
	return identity.Identity{Name: "alice"}, nil
}

func (p *person) Lookup(_ context.Context, name string) (identity.Identity, error) {
	p.mu.Lock()
	release := p.release
	p.mu.Unlock()
	if release != nil {
		p.held <- struct{}{}
		<-release
	}
	if name != "alice" {
		return identity.Identity{}, identity.ErrUnknownUser
	}
	return identity.Identity{Name: "alice"}, nil
}

func (p *person) ChangePassword(ctx context.Context, c identity.Credentials, newPassword string, allow func(identity.Identity) error) (identity.Identity, error) {
	id, err := p.Authenticate(ctx, c)
	if err == nil {
		err = allow(id)
	}
	if err != nil {
		return identity.Identity{}, err
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	p.password = newPassword
	return id, nil
}

// hold has lookups wait.
func (p *person) hold() {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.release = make(chan struct{})
}

// letGo ends hold.
func (p *person) letGo() {
	p.mu.Lock()
	defer p.mu.Unlock()
	close(p.release)
	p.release = nil
}
