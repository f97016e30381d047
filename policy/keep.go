package policy

import (
	"bytes"
	"encoding/gob"
)

// keptFacts are the facts of the profiles of one site as they are written. Many
// profiles share theirs.
type keptFacts struct {
	Facts []keptFact
	Of    map[string]int // by profile id, an index into Facts
}

type keptFact struct {
	Ways    [][][]uint16
	Atoms   []keptAtom
	Input   uint16
	Unclear bool
	Stopped bool
	Steps   int
	Paths   [][]string
}

type keptAtom struct {
	Field uint16
	Text  string
}

// Cache gives what compiling the engine has found out. It spares another process
// of the same x2broker the work, for the same catalog and the same files only:
// see [Compiler.UseCache].
func (e *Engine) Cache() ([]byte, error) {
	out := keptFacts{Of: make(map[string]int, len(e.facts))}
	known := map[*facts]int{}
	for id, f := range e.facts {
		i, ok := known[f]
		if !ok {
			i = len(out.Facts)
			known[f], out.Facts = i, append(out.Facts, f.keep())
		}
		out.Of[id] = i
	}
	var b bytes.Buffer
	err := gob.NewEncoder(&b).Encode(out)
	return b.Bytes(), err
}

// UseCache lets the next Compile take over what Cache gave. Whoever calls it
// vouches that the catalog and the files of that Compile are those of which the
// cache was made.
func (c *Compiler) UseCache(data []byte) error {
	var kept keptFacts
	if err := gob.NewDecoder(bytes.NewReader(data)).Decode(&kept); err != nil {
		return err
	}
	all := make([]*facts, len(kept.Facts))
	for i := range kept.Facts {
		all[i] = kept.Facts[i].facts()
	}
	known := make(map[string]*facts, len(kept.Of))
	for id, i := range kept.Of {
		known[id] = all[i]
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	c.kept = known
	return nil
}

func (f *facts) keep() keptFact {
	out := keptFact{Ways: f.ways, Input: uint16(f.input), Unclear: f.unclear, Stopped: f.stopped, Steps: f.steps}
	for _, a := range f.atoms {
		out.Atoms = append(out.Atoms, keptAtom{uint16(a.field), a.text})
	}
	for _, p := range f.paths {
		out.Paths = append(out.Paths, p)
	}
	return out
}

func (k *keptFact) facts() *facts {
	f := &facts{unclear: k.Unclear, stopped: k.Stopped, steps: k.Steps}
	f.ways, f.input = k.Ways, fields(k.Input)
	for _, a := range k.Atoms {
		f.atoms = append(f.atoms, atom{fields(a.Field), a.Text})
	}
	for _, p := range k.Paths {
		f.paths = append(f.paths, p)
	}
	return f
}
