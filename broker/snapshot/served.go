package snapshot

import (
	"encoding/json"
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"slices"

	"github.com/x2broker/x2broker/broker/source"
)

// maxServed is how many revisions a rollback can choose from.
const maxServed = 10

// servedFile is what served.json has.
type servedFile struct {
	Source    string            `json:"source"`
	Revisions []source.Revision `json:"revisions"` // the newest last
}

// loadServed reads what has served before a restart. Called with swap locked.
func (k *Keeper) loadServed() {
	data, err := os.ReadFile(filepath.Join(k.stateDir, servedName))
	if errors.Is(err, fs.ErrNotExist) {
		return
	}
	var f servedFile
	if err == nil {
		err = json.Unmarshal(data, &f)
	}
	if err != nil {
		k.log.Warn("history of what served cannot be read, beginning a new one", "err", err)
		return
	}
	if f.Source == k.source.String() {
		k.served = f.Revisions[max(0, len(f.Revisions)-maxServed):]
	}
}

// remember notes that a revision serves. One that was gone back to keeps its place, so that a second rollback goes further back. Called with swap
// locked.
func (k *Keeper) remember(rev source.Revision, back bool) {
	if k.stateDir == "" {
		return
	}
	k.loadOrders()
	at := slices.IndexFunc(k.served, func(r source.Revision) bool { return r.ID == rev.ID })
	if back && at >= 0 || at >= 0 && at == len(k.served)-1 {
		return
	}
	if at >= 0 {
		k.served = slices.Delete(slices.Clone(k.served), at, at+1)
	}
	k.served = append(slices.Clone(k.served), rev)
	k.served = k.served[max(0, len(k.served)-maxServed):]
	data, err := json.Marshal(servedFile{Source: k.source.String(), Revisions: k.served})
	if err == nil {
		err = replaceFile(k.stateDir, servedName, data)
	}
	if err != nil {
		k.log.Debug("history of what served cannot be kept on disk", "err", err)
	}
}

// everServed gives what a rollback can choose from.
func (k *Keeper) everServed() []source.Revision {
	k.swap.Lock()
	defer k.swap.Unlock()
	k.loadOrders()
	return slices.Clone(k.served)
}

// servedBefore gives the revision that served before that one.
func (k *Keeper) servedBefore(id string) (source.Revision, error) {
	k.swap.Lock()
	defer k.swap.Unlock()
	k.loadOrders()
	at := slices.IndexFunc(k.served, func(r source.Revision) bool { return r.ID == id })
	if at < 1 {
		return source.Revision{}, errors.New("nothing is known to have served before: x2broker pin COMMIT goes to any commit")
	}
	return k.served[at-1], nil
}
