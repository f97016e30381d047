package ldap

import (
	"context"
	"sync"
	"time"

	"github.com/go-ldap/ldap/v3"
)

const (
	// A connection that rested longer is probed before it is used: a firewall
	// may have forgotten it without a word.
	probeAfter = 30 * time.Second

	// A connection is not kept for longer, so that the first server gets its
	// users back and a new password of the account counts.
	maxAge = 10 * time.Minute
)

// query is one search.
type query struct {
	base       string
	scope      int
	filter     string
	attributes []string
	limit      int // of entries
}

// pool keeps connections that may search.
type pool struct {
	open  func(context.Context) (*session, error)
	now   func() time.Time
	slots chan struct{} // connections in use

	mu   sync.Mutex
	idle []*session
}

func newPool(size int, now func() time.Time, open func(context.Context) (*session, error)) *pool {
	return &pool{open: open, now: now, slots: make(chan struct{}, size)}
}

// search asks over a connection that is well. If one that was kept turns out
// dead, or says nothing for half of the time, the question is asked once more
// over a new one.
func (p *pool) search(ctx context.Context, q query) ([]*ldap.Entry, bool, error) {
	if err := acquire(ctx, p.slots); err != nil {
		return nil, false, err
	}
	defer func() { <-p.slots }()
	if s := p.take(ctx); s != nil {
		part, cancel := partOf(ctx, 2)
		entries, more, err := s.search(part, q)
		cancel()
		if err == nil || answered(err) {
			p.put(s)
			return entries, more, err
		}
		s.close()
		p.drop() // the others are hardly better
		if ctx.Err() != nil {
			return nil, false, err
		}
	}
	s, err := p.open(ctx)
	if err != nil {
		return nil, false, err
	}
	entries, more, err := s.search(ctx, q)
	if err != nil && !answered(err) {
		s.close()
		return nil, false, err
	}
	p.put(s)
	return entries, more, err
}

// take gives a connection that rests, nil if none is well.
func (p *pool) take(ctx context.Context) *session {
	for {
		p.mu.Lock()
		if len(p.idle) == 0 {
			p.mu.Unlock()
			return nil
		}
		s := p.idle[len(p.idle)-1]
		p.idle = p.idle[:len(p.idle)-1]
		p.mu.Unlock()
		switch now := p.now(); {
		case s.conn.IsClosing(), now.Sub(s.opened) >= maxAge:
			s.close()
		case now.Sub(s.used) < probeAfter, alive(ctx, s):
			return s
		default:
			s.close()
			p.drop() // the others have rested longer
			return nil
		}
	}
}

// alive asks a server for nothing in particular.
func alive(ctx context.Context, s *session) bool {
	ctx, cancel := partOf(ctx, 4)
	defer cancel()
	_, _, err := s.search(ctx, query{scope: ldap.ScopeBaseObject, filter: "(objectClass=*)", attributes: []string{"1.1"}, limit: 1})
	return err == nil || answered(err)
}

func (p *pool) put(s *session) {
	s.used = p.now()
	p.mu.Lock()
	defer p.mu.Unlock()
	if s.conn.IsClosing() {
		s.close()
		return
	}
	p.idle = append(p.idle, s)
}

// drop closes all connections that rest.
func (p *pool) drop() {
	p.mu.Lock()
	idle := p.idle
	p.idle = nil
	p.mu.Unlock()
	for _, s := range idle {
		s.close()
	}
}

// partOf is a context that has one of so many parts of the time that is left.
func partOf(ctx context.Context, parts time.Duration) (context.Context, context.CancelFunc) {
	deadline, _ := ctx.Deadline()
	return context.WithTimeout(ctx, time.Until(deadline)/parts)
}

func acquire(ctx context.Context, slots chan struct{}) error {
	if err := ctx.Err(); err != nil {
		return err
	}
	select {
	case slots <- struct{}{}:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}
