package schema

import (
	"bufio"
	"bytes"
	"crypto/sha256"
	"encoding/gob"
	"errors"
	"fmt"
	"io"
	"os"
	"path"
	"path/filepath"
	"sync"
)

// ErrStale means that a file of [Compiler.Save] is of another x2broker, or
// damaged. It does no harm: the site is compiled from its sources.
var ErrStale = errors.New("not written by this x2broker, or damaged")

// Save writes what leaves came to, so that a new process need not evaluate them
// again. It writes nothing while little has changed since it was called last.
func (c *Compiler) Save(file string) error {
	c.turn <- struct{}{}
	defer func() { <-c.turn }()
	if c.unsaved == 0 || c.unsaved < len(c.done)/20 {
		return nil
	}
	if err := c.save(file); err != nil {
		return fmt.Errorf("keep what the site's files came to: %w", err)
	}
	c.unsaved = 0
	return nil
}

// Load reads what Save of the same executable wrote. The error is ErrStale if
// there is nothing to be had from the file.
func (c *Compiler) Load(file string) error {
	c.turn <- struct{}{}
	defer func() { <-c.turn }()
	if err := c.load(file); err != nil {
		return fmt.Errorf("read what the site's files came to: %w", err)
	}
	return nil
}

// executable is the digest of the running program: another one may understand
// sites in another way.
var executable = sync.OnceValues(func() ([]byte, error) {
	name, err := os.Executable()
	if err != nil {
		return nil, err
	}
	f, err := os.Open(name)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	h := sha256.New()
	_, err = io.Copy(h, f)
	return h.Sum(nil), err
})

// save writes two digests, of the executable and of what follows, and then a
// keptSite.
func (c *Compiler) save(file string) (err error) {
	program, err := executable()
	if err != nil {
		return err
	}
	var content bytes.Buffer
	if err := gob.NewEncoder(&content).Encode(keep(c)); err != nil {
		return err
	}
	sum := sha256.Sum256(content.Bytes())
	f, err := os.CreateTemp(filepath.Dir(file), filepath.Base(file)+".*")
	if err != nil {
		return err
	}
	defer func() {
		if err != nil {
			os.Remove(f.Name())
		}
	}()
	for _, part := range [][]byte{program, sum[:], content.Bytes()} {
		if _, err := f.Write(part); err != nil {
			f.Close()
			return err
		}
	}
	if err := f.Close(); err != nil {
		return err
	}
	return os.Rename(f.Name(), file)
}

func (c *Compiler) load(file string) error {
	program, err := executable()
	if err != nil {
		return err
	}
	data, err := os.ReadFile(file)
	if err != nil {
		return err
	}
	program, sum := bytes.Clone(program), sha256.Size
	if len(data) < 2*sum || !bytes.Equal(data[:sum], program) {
		return ErrStale
	}
	if digest := sha256.Sum256(data[2*sum:]); !bytes.Equal(data[sum:2*sum], digest[:]) {
		return ErrStale
	}
	var k keptSite
	if err := gob.NewDecoder(bufio.NewReader(bytes.NewReader(data[2*sum:]))).Decode(&k); err != nil {
		return ErrStale
	}
	k.restore(c)
	return nil
}

// A keptSite is what a Compiler remembers, in a form to be written. Every string
// is an index into Strings: sites repeat most of them a thousand times.
type keptSite struct {
	Strings []string
	Files   []keptFile
	Units   []keptUnit
}

type keptFile struct {
	Name, Pkg                                    uint32
	Hash                                         []byte
	Imports                                      []uint32
	Labels, IDs, Access                          []keptLabel
	Leaf, Computes, Plain, UsesVendored, Chooses bool
	Mentions                                     uint8
}

type keptLabel struct {
	Field, ID    uint32
	Line, Column int
}

// A keptUnit is the outcome of a unit of leaves.
type keptUnit struct {
	Key    []byte
	Drafts []keptDraft
}

type keptDraft struct {
	ID, Name, Icon           uint32
	Autologin, UseBrokerPass bool
	Labels                   []uint32 // key and value in turn
	Keys                     []byte   // of the settings: indices into settingRules
	Values                   []uint32 // of each in turn: the number, 0 or 1, an index, or a count and as many indices

	Everyone   bool
	Lists      [][]uint32 // users, groups, from, and those of deny
	Positions  []keptLabel
	PosFiles   []uint32 // of the positions
	HostsGiven bool
	HasIDs     bool
	Clean      bool
	HasAccess  bool
	IDs        []uint32
	HostLabels []uint32
	LabelKey   uint32
}

// A keeper makes the indices.
type keeper struct {
	strings []string
	index   map[string]uint32
}

func keep(c *Compiler) keptSite {
	k := keeper{index: map[string]uint32{}}
	out := keptSite{
		Files: make([]keptFile, 0, len(c.files)),
		Units: make([]keptUnit, 0, len(c.done)),
	}
	for _, f := range c.files {
		if f.err == nil && f.unread == "" && len(f.refused)+len(f.circles) == 0 {
			out.Files = append(out.Files, keptFile{
				Name: k.text(f.name), Pkg: k.text(f.pkg), Hash: f.hash[:], Imports: k.texts(f.imports),
				Labels: k.labels(f.labels), IDs: k.labels(f.ids), Access: k.labels(f.access),
				Leaf: f.leaf, Computes: f.computes, Plain: f.plain, UsesVendored: f.usesVendored, Chooses: f.chooses, Mentions: uint8(f.mentions),
			})
		}
	}
	for key, o := range c.done {
		if o.root != nil {
			continue // libraries are few
		}
		u := keptUnit{Key: key[:]}
		for _, d := range o.profiles {
			u.Drafts = append(u.Drafts, k.draft(d))
		}
		out.Units = append(out.Units, u)
	}
	out.Strings = k.strings
	return out
}

func (k *keeper) text(s string) uint32 {
	i, known := k.index[s]
	if !known {
		i = uint32(len(k.strings))
		k.index[s], k.strings = i, append(k.strings, s)
	}
	return i
}

func (k *keeper) texts(list []string) []uint32 {
	out := make([]uint32, len(list))
	for i, s := range list {
		out[i] = k.text(s)
	}
	return out
}

func (k *keeper) pairs(m map[string]string) []uint32 {
	var out []uint32
	for _, key := range sortedKeys(m) {
		out = append(out, k.text(key), k.text(m[key]))
	}
	return out
}

func (k *keeper) labels(labels []label) []keptLabel {
	out := make([]keptLabel, len(labels))
	for i, l := range labels {
		out[i] = keptLabel{Field: k.text(l.field), ID: k.text(l.id), Line: l.pos.Line, Column: l.pos.Column}
	}
	return out
}

func (k *keeper) draft(d *draft) keptDraft {
	p, h, a := &d.profile, &d.hosts, &d.profile.Access
	out := keptDraft{
		ID: k.text(p.ID), Name: k.text(p.Name), Icon: k.text(p.Icon),
		Autologin: p.Autologin, UseBrokerPass: p.UseBrokerPass, Labels: k.pairs(p.Labels), Everyone: a.Everyone,
		HostsGiven: h.given, HasIDs: h.hasIDs, Clean: h.clean, HasAccess: h.hasAccess,
		IDs: k.texts(h.ids), HostLabels: k.pairs(h.labels), LabelKey: k.text(h.labelKey),
	}
	for _, list := range a.lists() {
		out.Lists = append(out.Lists, k.texts(*list))
	}
	for _, field := range sortedKeys(a.Pos) {
		pos := a.Pos[field]
		out.Positions = append(out.Positions, keptLabel{Field: k.text(field), Line: pos.Line, Column: pos.Column})
		out.PosFiles = append(out.PosFiles, k.text(pos.File))
	}
	next := 0
	for _, s := range p.Settings {
		for settingRules[next].key != s.Key {
			next++ // settings are in the order of their rules
		}
		out.Keys = append(out.Keys, byte(next))
		switch v := s.Value.(type) {
		case string:
			out.Values = append(out.Values, k.text(v))
		case int:
			out.Values = append(out.Values, uint32(v))
		case bool:
			bit := uint32(0)
			if v {
				bit = 1
			}
			out.Values = append(out.Values, bit)
		case []string:
			out.Values = append(append(out.Values, uint32(len(v))), k.texts(v)...)
		}
	}
	return out
}

// lists are the lists of an access, in a fixed order.
func (a *Access) lists() []*[]string {
	return []*[]string{&a.Users, &a.Groups, &a.From, &a.Deny.Users, &a.Deny.Groups, &a.Deny.From}
}

// restore gives the compiler what was kept.
func (k *keptSite) restore(c *Compiler) {
	c.files = make(map[string]*sourceFile, len(k.Files))
	for _, f := range k.Files {
		name := k.Strings[f.Name]
		c.files[name] = &sourceFile{
			name: name, dir: path.Dir(name), hash: unitKey(f.Hash), pkg: k.Strings[f.Pkg], imports: k.texts(f.Imports),
			labels: k.labels(name, f.Labels), ids: k.labels(name, f.IDs), access: k.labels(name, f.Access),
			leaf: f.Leaf, computes: f.Computes, plain: f.Plain, usesVendored: f.UsesVendored, chooses: f.Chooses, mentions: fieldSet(f.Mentions),
		}
	}
	boxed := make([]any, len(k.Strings))
	for i, s := range k.Strings {
		boxed[i] = s
	}
	c.done = make(map[unitKey]*outcome, len(k.Units))
	for i := range k.Units {
		u := &k.Units[i]
		o := &outcome{profiles: make(map[string]*draft, len(u.Drafts))}
		for j := range u.Drafts {
			d := k.draft(&u.Drafts[j], boxed)
			o.profiles[d.profile.ID] = d
		}
		c.done[unitKey(u.Key)] = o
	}
}

func (k *keptSite) texts(list []uint32) []string {
	if len(list) == 0 {
		return nil
	}
	out := make([]string, len(list))
	for i, n := range list {
		out[i] = k.Strings[n]
	}
	return out
}

func (k *keptSite) pairs(list []uint32) map[string]string {
	out := make(map[string]string, len(list)/2)
	for i := 0; i+1 < len(list); i += 2 {
		out[k.Strings[list[i]]] = k.Strings[list[i+1]]
	}
	return out
}

func (k *keptSite) labels(file string, labels []keptLabel) []label {
	if len(labels) == 0 {
		return nil
	}
	out := make([]label, len(labels))
	for i, l := range labels {
		out[i] = label{k.Strings[l.Field], k.Strings[l.ID], Position{File: file, Line: l.Line, Column: l.Column}}
	}
	return out
}

func (k *keptSite) draft(kept *keptDraft, boxed []any) *draft {
	d := &draft{
		profile: Profile{
			ID: k.Strings[kept.ID], Name: k.Strings[kept.Name], Icon: k.Strings[kept.Icon], Labels: k.pairs(kept.Labels),
			Autologin: kept.Autologin, UseBrokerPass: kept.UseBrokerPass, Settings: make([]Setting, len(kept.Keys)),
			Access: Access{Everyone: kept.Everyone, Pos: make(map[string]Position, len(kept.Positions))},
		},
		hosts: hosts{
			given: kept.HostsGiven, hasIDs: kept.HasIDs, clean: kept.Clean, hasAccess: kept.HasAccess,
			ids: k.texts(kept.IDs), labels: k.pairs(kept.HostLabels), labelKey: k.Strings[kept.LabelKey],
		},
	}
	for i, list := range d.profile.Access.lists() {
		*list = k.texts(kept.Lists[i])
	}
	for i, l := range kept.Positions {
		d.profile.Access.Pos[k.Strings[l.Field]] = Position{File: k.Strings[kept.PosFiles[i]], Line: l.Line, Column: l.Column}
	}
	values := kept.Values
	for i, n := range kept.Keys {
		rule := &settingRules[n]
		v := values[0]
		values = values[1:]
		s := Setting{Key: rule.key}
		switch rule.def.(type) {
		case string:
			s.Value = boxed[v]
		case int:
			s.Value = int(v)
		case bool:
			s.Value = v == 1
		default:
			s.Value = k.texts(values[:v])
			values = values[v:]
		}
		d.profile.Settings[i] = s
	}
	return d
}
