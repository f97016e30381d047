package schema

import (
	"bytes"
	"encoding/binary"
	"encoding/gob"
	"encoding/json"
	"fmt"
	"time"
)

// MarshalBinary gives the catalog in a form that only the same x2broker reads.
func (c *Catalog) MarshalBinary() ([]byte, error) {
	params, err := json.Marshal(c.Params)
	if err != nil {
		return nil, err
	}
	k := keeper{index: map[string]uint32{}}
	out := keptCatalog{
		Name: c.Site.Name, Timezone: c.Site.Timezone, Params: params,
		Networks: c.Networks, Servers: c.Servers, Cases: make([]keptCase, 0, len(c.Cases)),
		Profiles: make([]keptProfile, 0, len(c.Profiles)),
	}
	for _, p := range c.Profiles {
		out.Profiles = append(out.Profiles, k.profile(p))
	}
	for _, one := range c.Cases {
		out.Cases = append(out.Cases, keptCase{Case: *one, Exactly: one.Exactly != nil})
	}
	out.Texts = k.done()
	var b bytes.Buffer
	err = gob.NewEncoder(&b).Encode(out)
	return b.Bytes(), err
}

// UnmarshalBinary reads what MarshalBinary wrote.
func (c *Catalog) UnmarshalBinary(data []byte) error {
	var k keptCatalog
	if err := gob.NewDecoder(bytes.NewReader(data)).Decode(&k); err != nil {
		return err
	}
	location, err := time.LoadLocation(k.Timezone)
	if err != nil {
		return err
	}
	*c = Catalog{
		Site:     Site{Name: k.Name, Timezone: k.Timezone, Location: location},
		Networks: k.Networks, Servers: k.Servers,
		Profiles: make(map[string]*Profile, len(k.Profiles)),
		Cases:    make(map[string]*Case, len(k.Cases)),
	}
	d := json.NewDecoder(bytes.NewReader(k.Params))
	d.UseNumber()
	if err := d.Decode(&c.Params); err != nil {
		return fmt.Errorf("params: %w", err)
	}
	if c.Networks == nil {
		c.Networks = map[string]Network{}
	}
	if c.Servers == nil {
		c.Servers = map[string]*Server{}
	}
	for _, s := range c.Servers {
		if s.Labels == nil {
			s.Labels = map[string]string{}
		}
	}
	profiles := make([]Profile, len(k.Profiles))
	for i := range k.Profiles {
		profiles[i] = k.Texts.profile(&k.Profiles[i])
		c.Profiles[profiles[i].ID] = &profiles[i]
	}
	for i := range k.Cases {
		one := k.Cases[i].Case
		one.Time = one.Time.In(location)
		if k.Cases[i].Exactly && one.Exactly == nil {
			one.Exactly = []string{}
		}
		c.Cases[one.Name] = &one
	}
	return nil
}

// keptCatalog is a Catalog as it is written.
type keptCatalog struct {
	Texts          texts
	Name, Timezone string
	Params         []byte // JSON
	Networks       map[string]Network
	Servers        map[string]*Server
	Cases          []keptCase
	Profiles       []keptProfile
}

type keptCase struct {
	Case    Case
	Exactly bool // the case has it, if only as an empty list, which gob drops
}

// keptProfile is a Profile with every string as an index: sites repeat most of
// them a thousand times.
type keptProfile struct {
	ID, Name, Icon           uint32
	Autologin, UseBrokerPass bool
	Labels                   []uint32 // key and value in turn
	Settings                 uint32   // an index into the settings of the texts
	Everyone                 bool
	Lists                    [][]uint32 // see Access.lists
	AccessPos                []uint32   // field and position in turn
	LegacyACL                *keptLegacyACL
	Pos                      keptPosition
	Servers                  []uint32
}

type keptLegacyACL struct {
	Lists      [][]uint32 // see LegacyACL.lists
	AllowFirst []bool     // see LegacyACL.rules
	Pos        []uint32   // field and position in turn
}

type keptPosition [3]uint32 // file, line, column

// keptSettings are all settings of a profile. Many profiles have the same.
type keptSettings struct {
	Keys   []byte   // indices into settingRules
	Values []uint32 // of each in turn: the number, 0 or 1, an index, or a count and as many indices
}

// A keeper makes the indices.
type keeper struct {
	strings  []string
	index    map[string]uint32
	settings []keptSettings
	indexOf  map[string]uint32 // of settings, by their bytes
}

// texts are the strings and the settings that indices stand for.
type texts struct {
	Strings  []string
	Settings []keptSettings
	boxed    []any       // the strings, so that settings share them
	shared   [][]Setting // the settings, as profiles share them; nil for one not needed yet
}

func (k *keeper) done() texts { return texts{Strings: k.strings, Settings: k.settings} }

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

func (k *keeper) position(p Position) keptPosition {
	return keptPosition{k.text(p.File), uint32(p.Line), uint32(p.Column)}
}

// lists are the lists of an access, in a fixed order.
func (a *Access) lists() []*[]string {
	return []*[]string{&a.Users, &a.Groups, &a.From, &a.Deny.Users, &a.Deny.Groups, &a.Deny.From}
}

func (k *keeper) profile(p *Profile) keptProfile {
	out := keptProfile{
		ID: k.text(p.ID), Name: k.text(p.Name), Icon: k.text(p.Icon),
		Autologin: p.Autologin, UseBrokerPass: p.UseBrokerPass, Labels: k.pairs(p.Labels), Everyone: p.Access.Everyone,
		Pos: k.position(p.Pos), Servers: k.texts(p.Servers),
	}
	for _, list := range p.Access.lists() {
		out.Lists = append(out.Lists, k.texts(*list))
	}
	out.AccessPos = k.positions(p.Access.Pos)
	out.LegacyACL = k.legacyACL(p.LegacyACL)
	out.Settings = k.allSettings(p.Settings)
	return out
}

func (k *keeper) allSettings(settings []Setting) uint32 {
	var out keptSettings
	next := 0
	for _, s := range settings {
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
	id := append([]byte{byte(len(out.Keys))}, out.Keys...)
	for _, v := range out.Values {
		id = binary.BigEndian.AppendUint32(id, v)
	}
	i, known := k.indexOf[string(id)]
	if !known {
		if k.indexOf == nil {
			k.indexOf = map[string]uint32{}
		}
		i = uint32(len(k.settings))
		k.indexOf[string(id)], k.settings = i, append(k.settings, out)
	}
	return i
}

func (k *keeper) positions(m map[string]Position) []uint32 {
	var out []uint32
	for _, field := range sortedKeys(m) {
		pos := k.position(m[field])
		out = append(append(out, k.text(field)), pos[:]...)
	}
	return out
}

func (t *texts) texts(list []uint32) []string {
	if len(list) == 0 {
		return nil
	}
	out := make([]string, len(list))
	for i, n := range list {
		out[i] = t.Strings[n]
	}
	return out
}

func (t *texts) pairs(list []uint32) map[string]string {
	out := make(map[string]string, len(list)/2)
	for i := 0; i+1 < len(list); i += 2 {
		out[t.Strings[list[i]]] = t.Strings[list[i+1]]
	}
	return out
}

func (t *texts) position(p keptPosition) Position {
	return Position{File: t.Strings[p[0]], Line: int(p[1]), Column: int(p[2])}
}

func (t *texts) positions(list []uint32) map[string]Position {
	out := make(map[string]Position, len(list)/4)
	for ; len(list) > 0; list = list[4:] {
		out[t.Strings[list[0]]] = t.position(keptPosition(list[1:4]))
	}
	return out
}

// box gives a text as a setting's value.
func (t *texts) box(n uint32) any {
	if t.boxed == nil {
		t.boxed = make([]any, len(t.Strings))
		for i, s := range t.Strings {
			t.boxed[i] = s
		}
	}
	return t.boxed[n]
}

func (t *texts) profile(kept *keptProfile) Profile {
	p := Profile{
		ID: t.Strings[kept.ID], Name: t.Strings[kept.Name], Icon: t.Strings[kept.Icon], Labels: t.pairs(kept.Labels),
		Autologin: kept.Autologin, UseBrokerPass: kept.UseBrokerPass, Settings: t.settings(kept.Settings),
		Access: Access{Everyone: kept.Everyone, Pos: t.positions(kept.AccessPos)}, LegacyACL: t.legacyACL(kept.LegacyACL),
		Pos: t.position(kept.Pos), Servers: t.texts(kept.Servers),
	}
	for i, list := range p.Access.lists() {
		*list = t.texts(kept.Lists[i])
	}
	return p
}

// settings gives settings, one list for all profiles that have the same.
func (t *texts) settings(n uint32) []Setting {
	if t.shared == nil {
		t.shared = make([][]Setting, len(t.Settings))
	}
	if t.shared[n] != nil {
		return t.shared[n]
	}
	kept := &t.Settings[n]
	values := kept.Values
	out := make([]Setting, len(kept.Keys))
	for i, n := range kept.Keys {
		rule := &settingRules[n]
		v := values[0]
		values = values[1:]
		s := Setting{Key: rule.key}
		switch rule.def.(type) {
		case string:
			s.Value = t.box(v)
		case int:
			s.Value = int(v)
		case bool:
			s.Value = v == 1
		default:
			s.Value = t.texts(values[:v])
			values = values[v:]
		}
		out[i] = s
	}
	t.shared[n] = out
	return out
}
