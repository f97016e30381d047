// Package audience remembers who used the broker lately: whom a change of the
// site can lock out.
//
// It knows names, groups and addresses, and keeps them for a week in one private
// file. What anybody may see it does not know.
package audience

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"io/fs"
	"log/slog"
	"net/netip"
	"os"
	"path/filepath"
	"slices"
	"sync"
	"time"
)

// Bounds of the record.
const (
	Window     = 7 * 24 * time.Hour // how long a user is remembered
	maxUsers   = 10_000             // the latest are kept
	writeEvery = time.Minute
	fileName   = "audience.json"
	maxFile    = 64 << 20 // bytes
)

// User is somebody who was given what he asked for.
type User struct {
	Name    string     `json:"name"` // canonical
	Groups  []string   `json:"groups,omitempty"`
	Address netip.Addr `json:"address"`
	Last    time.Time  `json:"last"`
}

// Record is the memory of one broker. It is safe for concurrent use.
type Record struct {
	file string
	now  func() time.Time
	log  *slog.Logger

	mu      sync.Mutex
	users   map[string]User
	changed bool
}

// Open reads the record in a state directory. One that is missing or damaged
// begins anew: users come again.
func Open(stateDir string, now func() time.Time, log *slog.Logger) *Record {
	r := &Record{file: filepath.Join(stateDir, fileName), now: now, log: log, users: map[string]User{}}
	users, err := read(r.file)
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		log.Warn("record of recent users cannot be read, beginning a new one", "file", r.file, "err", err)
	}
	for _, u := range users {
		r.users[u.Name] = u
	}
	return r
}

func read(file string) (users []User, err error) {
	if info, err := os.Stat(file); err == nil && info.Size() > maxFile {
		return nil, errors.New("it is too long")
	}
	data, err := os.ReadFile(file)
	if err != nil {
		return nil, err
	}
	return users, json.Unmarshal(data, &users)
}

// Saw notes that a user was there.
func (r *Record) Saw(name string, groups []string, address netip.Addr) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.users[name] = User{Name: name, Groups: groups, Address: address, Last: r.now().UTC()}
	r.changed = true
	if len(r.users) > maxUsers+maxUsers/10 { // not for each one more
		kept := r.latest()
		r.users = make(map[string]User, len(kept))
		for _, u := range kept {
			r.users[u.Name] = u
		}
	}
}

// Recent gives the users of the last 7 days, the latest first.
func (r *Record) Recent() []User {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.latest()
}

func (r *Record) latest() []User {
	since := r.now().Add(-Window)
	var out []User
	for _, u := range r.users {
		if u.Last.After(since) {
			out = append(out, u)
		}
	}
	slices.SortFunc(out, func(a, b User) int { return cmp.Or(b.Last.Compare(a.Last), cmp.Compare(a.Name, b.Name)) })
	return out[:min(len(out), maxUsers)]
}

// Run writes the record each minute if it has changed, and when the context
// ends. What cannot be written is tried again.
func (r *Record) Run(ctx context.Context) {
	tick := time.NewTicker(writeEvery)
	defer tick.Stop()
	for warned := false; ; {
		done := false
		select {
		case <-tick.C:
		case <-ctx.Done():
			done = true
		}
		err := r.write()
		if err != nil && !warned {
			r.log.Warn("record of recent users cannot be written: after a restart the guard knows fewer", "err", err)
		}
		if warned = err != nil; done {
			return
		}
	}
}

// write replaces the file. It is not synced: a power failure costs a minute of
// users.
func (r *Record) write() error {
	r.mu.Lock()
	changed, users := r.changed, r.latest()
	r.changed = false
	r.mu.Unlock()
	if !changed {
		return nil
	}
	data, err := json.Marshal(users)
	if err == nil {
		err = replace(r.file, data)
	}
	if err != nil {
		r.mu.Lock()
		r.changed = true
		r.mu.Unlock()
	}
	return err
}

func replace(file string, data []byte) error {
	fresh := file + ".new"
	if err := os.WriteFile(fresh, data, 0o600); err != nil {
		return err
	}
	return os.Rename(fresh, file)
}
