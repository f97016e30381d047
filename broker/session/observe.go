package session

import (
	"net/netip"
	"time"
)

// Done is what became of a request.
type Done struct {
	Task     string // login, verify, list, select, setpass, event
	Frontend string // as of the request
	Grant    Grant  // zero unless Err is nil
	Address  netip.Addr
	Err      error // as the frontend gets it
	Began    time.Time
	Took     time.Duration
}

// Observe calls f after each request, on its goroutine. Call it before the first
// request; f must be quick, and safe for concurrent use.
func (s *Service) Observe(f func(Done)) { s.observe = f }

// done is deferred by every use case.
func (s *Service) done(task string, req Request, began time.Time, grant *Grant, err *error) {
	if s.observe == nil {
		return
	}
	d := Done{Task: task, Frontend: req.Frontend, Address: req.Address, Err: *err, Began: began, Took: s.now().Sub(began)}
	if d.Err == nil {
		d.Grant = *grant
	}
	s.observe(d)
}
