package schema

import (
	"bytes"
	"encoding/gob"
	"path"
)

// Cache gives what leaves came to, so that a new process of the same x2broker
// need not evaluate them again. It is nil while little has changed since it was
// called last.
func (c *Compiler) Cache() ([]byte, error) {
	c.turn <- struct{}{}
	defer func() { <-c.turn }()
	if c.unsaved == 0 || c.unsaved < len(c.done)/20 {
		return nil, nil
	}
	var b bytes.Buffer
	if err := gob.NewEncoder(&b).Encode(keep(c)); err != nil {
		return nil, err
	}
	c.unsaved = 0
	return b.Bytes(), nil
}

// UseCache takes what Cache gave, unchanged, in a process of the same x2broker:
// another one may understand sites in another way.
func (c *Compiler) UseCache(data []byte) error {
	c.turn <- struct{}{}
	defer func() { <-c.turn }()
	var k keptSite
	if err := gob.NewDecoder(bytes.NewReader(data)).Decode(&k); err != nil {
		return err
	}
	k.restore(c)
	return nil
}

// A keptSite is what a Compiler remembers, in a form to be written. Every string
// is an index into its texts.
type keptSite struct {
	Texts texts
	Files []keptFile
	Units []keptUnit
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
	Profile    keptProfile
	HostsGiven bool
	HasIDs     bool
	Clean      bool
	HasAccess  bool
	IDs        []uint32
	HostLabels []uint32
	LabelKey   uint32
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
	out.Texts = k.done()
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
	h := &d.hosts
	return keptDraft{
		Profile: k.profile(&d.profile), HostsGiven: h.given, HasIDs: h.hasIDs, Clean: h.clean, HasAccess: h.hasAccess,
		IDs: k.texts(h.ids), HostLabels: k.pairs(h.labels), LabelKey: k.text(h.labelKey),
	}
}

// restore gives the compiler what was kept.
func (k *keptSite) restore(c *Compiler) {
	c.files = make(map[string]*sourceFile, len(k.Files))
	for _, f := range k.Files {
		name := k.Texts.Strings[f.Name]
		c.files[name] = &sourceFile{
			name: name, dir: path.Dir(name), hash: unitKey(f.Hash), pkg: k.Texts.Strings[f.Pkg], imports: k.Texts.texts(f.Imports),
			labels: k.labels(name, f.Labels), ids: k.labels(name, f.IDs), access: k.labels(name, f.Access),
			leaf: f.Leaf, computes: f.Computes, plain: f.Plain, usesVendored: f.UsesVendored, chooses: f.Chooses, mentions: fieldSet(f.Mentions),
		}
	}
	c.done = make(map[unitKey]*outcome, len(k.Units))
	for i := range k.Units {
		u := &k.Units[i]
		o := &outcome{profiles: make(map[string]*draft, len(u.Drafts))}
		for j := range u.Drafts {
			d := k.draft(&u.Drafts[j])
			o.profiles[d.profile.ID] = d
		}
		c.done[unitKey(u.Key)] = o
	}
}

func (k *keptSite) labels(file string, labels []keptLabel) []label {
	if len(labels) == 0 {
		return nil
	}
	out := make([]label, len(labels))
	for i, l := range labels {
		out[i] = label{k.Texts.Strings[l.Field], k.Texts.Strings[l.ID], Position{File: file, Line: l.Line, Column: l.Column}}
	}
	return out
}

func (k *keptSite) draft(kept *keptDraft) *draft {
	return &draft{
		profile: k.Texts.profile(&kept.Profile),
		hosts: hosts{
			given: kept.HostsGiven, hasIDs: kept.HasIDs, clean: kept.Clean, hasAccess: kept.HasAccess,
			ids: k.Texts.texts(kept.IDs), labels: k.Texts.pairs(kept.HostLabels), labelKey: k.Texts.Strings[kept.LabelKey],
		},
	}
}
