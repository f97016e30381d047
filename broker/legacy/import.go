package legacy

import "slices"

// An Import is a site made of the old broker's files, and what became of each of
// their options. A site with losses differs from the old broker as they say.
type Import struct {
	Conf     *Conf
	Profiles []*Profile // in file order
	Servers  []*Server  // by id
	Report   Report

	lifted  []lifted
	header  []Comment // of the file of profiles
	trailer []Comment
	loose   []Comment // of options in [DEFAULT] that are not written
}

// A Profile is a profile of the old broker with what it inherits.
type Profile struct {
	ID      string // in the site
	Section string // in the old file
	Line    int
	Servers []string          // ids, in the order of the file
	Options map[string]string // as they hold for the profile
	ACL     ACL

	comments []Comment
	fields   []field
	access   access
	acl      []Comment // comments of its ACL
}

// A field is one that is to be written, by its path in the profile.
type field struct {
	path     string
	value    any // string, int, bool or []string
	at       Origin
	comments []Comment
}

func (p *Profile) field(path string) *field {
	for i := range p.fields {
		if p.fields[i].path == path {
			return &p.fields[i]
		}
	}
	return nil
}

// set gives a field a value; what it had is replaced.
func (p *Profile) set(path string, value any, at Origin, comments []Comment) {
	if f := p.field(path); f != nil {
		f.value, f.at = value, at
		f.comments = append(f.comments, comments...)
		return
	}
	p.fields = append(p.fields, field{path, value, at, comments})
}

func (p *Profile) unset(path string) {
	p.fields = slices.DeleteFunc(p.fields, func(f field) bool { return f.path == path })
}

// importer keeps what profiles share.
type importer struct {
	*Import
	file     *File
	sections map[string]bool
	farm     *farm
	ids      map[string]bool
	settings map[int]readResult // by line of the option
	once     map[once]bool
	untried  bool // several servers, and the old broker tried which of them answers
}

type readResult struct {
	setting
	err error
}

type once struct {
	at   Origin
	text string
}

// New makes a site of the two files of the old broker. Where config is set,
// broker.cue is meant to be written, too.
func New(conf, profiles *File, config bool) *Import {
	i := &importer{
		Import:   &Import{},
		file:     profiles,
		sections: map[string]bool{},
		farm:     newFarm(),
		ids:      map[string]bool{},
		settings: map[int]readResult{},
		once:     map[once]bool{},
	}
	i.Conf = readConf(conf, config, &i.Report)
	for _, s := range profiles.Sections {
		i.sections[s.Name] = true
		i.ids[s.Name] = true // an id that is right is never given to another
	}
	i.splitHeader()
	for _, s := range profiles.Sections {
		i.profile(s)
	}
	i.unused()
	i.lift()
	i.Servers = i.farm.sorted()
	i.servers()
	i.Report.sort(conf.Name, profiles.Name)
	return i.Import
}

// splitHeader takes the comments that stand above the first section by
// themselves, with an empty line behind them.
func (i *importer) splitHeader() {
	first := i.file.Defaults
	if len(i.file.Sections) > 0 && (first.Line == 0 || i.file.Sections[0].Line < first.Line) {
		first = i.file.Sections[0]
	}
	last := len(first.Comments)
	if last > 0 && first.Comments[last-1].Line == first.Line-1 {
		last = slices.IndexFunc(reversed(first.Comments), func(c Comment) bool { return c.Text == "" })
		last = len(first.Comments) - last - 1
		if last == len(first.Comments) { // no empty line
			last = 0
		}
	}
	i.header, first.Comments = first.Comments[:last], first.Comments[last:]
	i.trailer = i.file.Trailing
}

func reversed(comments []Comment) []Comment {
	out := slices.Clone(comments)
	slices.Reverse(out)
	return out
}

func (i *importer) noteOnce(at Origin, text, remedy string) {
	if i.first(at, text) {
		i.Report.note(at, text, remedy)
	}
}

func (i *importer) lossOnce(at Origin, text, remedy string) {
	if i.first(at, text) {
		i.Report.loss(at, text, remedy)
	}
}

func (i *importer) carriedOnce(at Origin, text string) {
	if i.first(at, text) {
		i.Report.carried(at, text)
	}
}

func (i *importer) first(at Origin, text string) bool {
	key := once{at, text}
	if i.once[key] {
		return false
	}
	i.once[key] = true
	return true
}

// unused reports on defaults that no profile has.
func (i *importer) unused() {
	used, usedConf := map[int]bool{}, map[int]bool{}
	for _, entries := range [][]Entry{i.Report.Carried, i.Report.Notes, i.Report.Losses} {
		for _, e := range entries {
			if e.File == i.file.Name {
				used[e.Line] = true
			} else {
				usedConf[e.Line] = true
			}
		}
	}
	for _, at := range []Origin{i.Conf.AgentMode.At, i.Conf.Autologin.At, i.Conf.Portscan.At, i.Conf.LoadChecker.At} {
		if at.Line > 0 && !usedConf[at.Line] {
			i.Report.note(at, "no profile depends on it", "")
		}
	}
	for _, o := range i.file.Defaults.Options {
		if !used[o.Line] {
			i.Report.note(originOf(i.file, i.file.Defaults, o), "no profile depends on it", "")
			i.loose = join(i.loose, o.Comments)
		}
	}
	if len(i.file.Sections) == 0 {
		i.Report.note(Origin{File: i.file.Name}, "has no profiles: the site has none", "")
	}
	if i.untried {
		i.Report.note(i.Conf.Portscan.At, "the old broker tried by default whether a server answers before it chose it; x2broker does not",
			"set state: \"maintenance\" for a server that is down")
	}
}
