package legacy

import (
	"bytes"
	"errors"
	"fmt"
	"strings"
	"unicode"
	"unicode/utf8"
)

// MaxFileSize bounds what ParseINI reads, in bytes: room for ten thousand
// profiles.
const MaxFileSize = 16 << 20

// maxProblems bounds how many lines a file is told to be wrong in.
const maxProblems = 50

// defaultSection is the section whose options every other one inherits.
const defaultSection = "DEFAULT"

// A File is one configuration file of the old broker, as it was written:
// nothing is inherited or typed yet.
type File struct {
	Name     string
	Defaults *Section   // [DEFAULT]; without options and with Line 0 where the file has none
	Sections []*Section // the others, in file order
	Trailing []Comment  // those after the last option
}

// A Section is a part of a file below its name in brackets.
type Section struct {
	Name     string
	Line     int // of the name
	Comments []Comment
	Options  []Option // in file order
}

// An Option is a name and a value.
type Option struct {
	Name     string
	Value    string // without outer blanks; the lines of a longer one are joined by \n
	Line     int    // of the name
	Comments []Comment
}

// A Comment is one line of a comment, or an empty line between two of them.
type Comment struct {
	Line int
	Text string // with its # or ;, without outer blanks
}

// Section finds a section other than [DEFAULT] by its name.
func (f *File) Section(name string) (*Section, bool) {
	for _, s := range f.Sections {
		if s.Name == name {
			return s, true
		}
	}
	return nil, false
}

// Option finds an option by its name, which is case sensitive.
func (s *Section) Option(name string) (Option, bool) {
	for _, o := range s.Options {
		if o.Name == name {
			return o, true
		}
	}
	return Option{}, false
}

// A SyntaxError is a line on which the old broker fails: it answers every
// request with status 500 until the line is mended.
type SyntaxError struct {
	File string
	Line int
	Text string
}

func (e *SyntaxError) Error() string { return fmt.Sprintf("%s:%d: %s", e.File, e.Line, e.Text) }

// ParseINI reads a file in the dialect of Python's RawConfigParser, strict and
// with names of options as they are written. The error joins a *SyntaxError for
// each line that the old broker cannot read, up to a bound. An empty file has
// no sections.
func ParseINI(name string, data []byte) (*File, error) {
	if len(data) > MaxFileSize {
		return nil, fmt.Errorf("%s: has %d bytes, and more than %d are not read", name, len(data), MaxFileSize)
	}
	r := reader{
		file:     &File{Name: name, Defaults: &Section{Name: defaultSection}},
		sections: map[string]*Section{},
		options:  map[optionKey]int{},
	}
	if bytes.HasPrefix(data, []byte("\uFEFF")) {
		r.fail(1, "the file begins with a byte order mark: save it as UTF-8 without one")
		data = data[len("\uFEFF"):]
	}
	for len(data) > 0 && len(r.problems) < maxProblems {
		r.line++
		var text []byte
		text, data = cutLine(data)
		if !utf8.Valid(text) {
			r.fail(r.line, "is not UTF-8: save the file as UTF-8")
		}
		r.read(string(text))
	}
	r.end()
	if len(r.problems) > 0 {
		return nil, errors.Join(r.problems...)
	}
	return r.file, nil
}

// cutLine splits where Python does in a text file: at \n, \r\n and \r.
func cutLine(data []byte) (line, rest []byte) {
	i := bytes.IndexAny(data, "\r\n")
	switch {
	case i < 0:
		return data, nil
	case data[i] == '\r' && i+1 < len(data) && data[i+1] == '\n':
		return data[:i], data[i+2:]
	}
	return data[:i], data[i+1:]
}

type optionKey struct{ section, option string }

// reader keeps what a line means to the next.
type reader struct {
	file     *File
	sections map[string]*Section
	options  map[optionKey]int // line of each

	line     int
	section  *Section
	value    []string // lines of the last option; nil when a continuation has nothing to continue
	indent   int      // characters before the last option or section
	comments []Comment
	problems []error
}

func (r *reader) fail(line int, format string, args ...any) {
	r.problems = append(r.problems, &SyntaxError{r.file.Name, line, fmt.Sprintf(format, args...)})
}

func (r *reader) read(line string) {
	text := strings.TrimFunc(line, isSpace)
	switch {
	case text == "":
		if r.value != nil {
			r.value = append(r.value, "")
		}
		if n := len(r.comments); n > 0 && r.comments[n-1].Text != "" {
			r.comments = append(r.comments, Comment{Line: r.line})
		}
		return
	case text[0] == '#' || text[0] == ';':
		r.comments = append(r.comments, Comment{r.line, text})
		return
	}
	indent := utf8.RuneCountInString(line[:len(line)-len(strings.TrimLeftFunc(line, isSpace))])
	if r.value != nil && indent > r.indent {
		r.value = append(r.value, text)
		return
	}
	r.indent = indent
	if name, ok := sectionName(text); ok {
		r.begin(name)
		return
	}
	if r.section == nil {
		r.fail(r.line, "%q stands before the first [section]", short(text))
		return
	}
	r.option(text)
}

// sectionName takes all up to the last bracket, and whatever follows it as
// nothing: so does the old broker.
func sectionName(text string) (string, bool) {
	end := strings.LastIndexByte(text, ']')
	if text[0] != '[' || end < 2 {
		return "", false
	}
	return text[1:end], true
}

func (r *reader) begin(name string) {
	r.endValue()
	comments := r.takeComments()
	if name == defaultSection { // may come several times
		r.section = r.file.Defaults
		if r.section.Line == 0 {
			r.section.Line = r.line
		}
		r.section.Comments = append(r.section.Comments, comments...)
		return
	}
	if earlier := r.sections[name]; earlier != nil {
		r.fail(r.line, "section [%s] is there already, in line %d: delete one, or give it another name", short(name), earlier.Line)
	}
	r.section = &Section{Name: name, Line: r.line, Comments: comments}
	r.sections[name] = r.section
	r.file.Sections = append(r.file.Sections, r.section)
}

func (r *reader) option(text string) {
	at := strings.IndexAny(text, "=:")
	switch {
	case at < 0:
		r.fail(r.line, "%q is no option: an option is written name=value", short(text))
		return
	case at == 0:
		r.fail(r.line, "%q has no name before the %q", short(text), text[:1])
		return
	}
	r.endValue()
	name := strings.TrimRightFunc(text[:at], isSpace)
	key := optionKey{r.section.Name, name}
	if earlier, ok := r.options[key]; ok {
		r.fail(r.line, "option %q is there already in section [%s], in line %d: delete one", short(name), short(key.section), earlier)
	}
	r.options[key] = r.line
	r.section.Options = append(r.section.Options, Option{Name: name, Line: r.line, Comments: r.takeComments()})
	r.value = []string{strings.TrimLeftFunc(text[at+1:], isSpace)}
}

// endValue gives the last option its value.
func (r *reader) endValue() {
	if r.value == nil {
		return
	}
	last := &r.section.Options[len(r.section.Options)-1]
	last.Value = strings.TrimRightFunc(strings.Join(r.value, "\n"), isSpace)
	r.value = nil
}

func (r *reader) end() {
	r.endValue()
	r.file.Trailing = r.takeComments()
}

func (r *reader) takeComments() []Comment {
	c := r.comments
	r.comments = nil
	for len(c) > 0 && c[len(c)-1].Text == "" {
		c = c[:len(c)-1]
	}
	return c
}

// isSpace is what Python strips: more than Go by the four information
// separators.
func isSpace(c rune) bool { return unicode.IsSpace(c) || c >= 0x1c && c <= 0x1f }

// short keeps a message to one line of a terminal.
func short(s string) string {
	const most = 60
	if utf8.RuneCountInString(s) <= most {
		return s
	}
	return string([]rune(s)[:most-1]) + "…"
}
