package snapshot

import (
	"context"
	"time"

	"github.com/x2broker/x2broker/policy"
)

// Bounds of warming.
const (
	warmTime   = 200 * time.Millisecond // by which a swap may be later
	warmPeople = 1000
)

// warm asks a snapshot, before it serves, what those who came last will ask it
// first, so that a swap is no burst of decisions nobody remembers yet. The
// people are those of the audience, who came last first.
func warm(ctx context.Context, s *Snapshot, people []Person, now time.Time) {
	ctx, cancel := context.WithTimeout(ctx, warmTime)
	defer cancel()
	for _, p := range people[:min(len(people), warmPeople)] {
		if ctx.Err() != nil {
			return
		}
		r := p.request()
		r.Time = now
		_, _ = s.Policy.Login(ctx, r) // errors are not remembered, or come again
		s.Policy.Visible(ctx, r)
	}
}

// request is what somebody asks for when he comes.
func (p Person) request() policy.Request {
	return policy.Request{
		User: p.Name, Groups: p.Groups, Account: p.Name, Address: p.Address, Frontend: "plain", Time: p.Time, Task: "list",
	}
}
