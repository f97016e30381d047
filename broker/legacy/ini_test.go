package legacy

import (
	"errors"
	"fmt"
	"strings"
	"testing"
	"unicode/utf8"

	"github.com/google/go-cmp/cmp"
)

// What each text means was seen with Python's RawConfigParser.
func TestFilesAreReadAsPythonReadsThem(t *testing.T) {
	for name, c := range map[string]struct{ text, want string }{
		"nothing":                    {"", ""},
		"only comments":              {"# a\n\n; b\n", ""},
		"a section without options":  {"[a]", "[a]"},
		"equals and colon":           {"[a]\nx=1\ny: 2\nz = 3=4:5\nu:3=4", "[a] x=1 y=2 z=3=4:5 u=3=4"},
		"names are case sensitive":   {"[a]\nX=1\nx=2\n[A]\n", "[a] X=1 x=2 [A]"},
		"blanks are stripped":        {"  [a]  \n \tx \t=\t 1 2  \n", "[a] x=1 2"},
		"quotes stay":                {"[a]\nx=\"1\"\ny='2'", "[a] x=\"1\" y='2'"},
		"no comments after a value":  {"[a]\nx=1 ; no comment\ny=2 # none", "[a] x=1 ; no comment y=2 # none"},
		"nothing is interpolated":    {"[a]\nx=%h/${y}", "[a] x=%h/${y}"},
		"an empty value":             {"[a]\nx=\ny=", "[a] x= y="},
		"a continued value":          {"[a]\nx=1,\n  2,\n\t3\ny=4", `[a] x=1,\n2,\n3 y=4`},
		"a value that starts later":  {"[a]\nx=\n  1", `[a] x=\n1`},
		"a comment inside a value":   {"[a]\nx=1\n  # not this\n  2\n", `[a] x=1\n2`},
		"an empty line in a value":   {"[a]\nx=1\n\n  2\n\n\n", `[a] x=1\n\n2`},
		"a comment ends no value":    {"[a]\nx=1\n# left\n  2", `[a] x=1\n2`},
		"an indented option":         {"[a]\n  x=1\n  y=2\n", "[a] x=1 y=2"},
		"deeper than an option":      {"[a]\n  x=1\n   y=2\n", `[a] x=1\ny=2`},
		"indented brackets":          {"[a]\nx=1\n [b]\n", `[a] x=1\n[b]`},
		"no continuation at first":   {"[a]\n   x=1", "[a] x=1"},
		"carriage returns":           {"[a]\r\nx=1\r\ny=2\rz=3", "[a] x=1 y=2 z=3"},
		"defaults":                   {"[a]\nx=1\n[DEFAULT]\ny=2", "[DEFAULT] y=2 [a] x=1"},
		"defaults in two places":     {"[DEFAULT]\nx=1\n[a]\n[DEFAULT]\ny=2", "[DEFAULT] x=1 y=2 [a]"},
		"default in lower case":      {"[default]\nx=1", "[default] x=1"},
		"brackets in a section":      {"[a]b]", "[a]b]"},
		"words behind a section":     {"[a] b", "[a]"},
		"a section of blanks":        {"[ ]", "[ ]"},
		"a value with brackets":      {"[a]\nx=['p','q']", "[a] x=['p','q']"},
		"blanks of Unicode":          {"[a]\n\u00a0x\u2003=\u30001\x1c", "[a] x=1"},
		"a form feed ends no line":   {"[a]\nx=1\f2", "[a] x=1\f2"},
		"an option named in umlauts": {"[ä]\nö=ü", "[ä] ö=ü"},
	} {
		t.Run(name, func(t *testing.T) {
			f, err := ParseINI("f", []byte(c.text))
			if err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff(c.want, flat(f)); diff != "" {
				t.Errorf("(-want +got)\n%s", diff)
			}
		})
	}
}

// flat writes a file in one line.
func flat(f *File) string {
	var out []string
	sections := f.Sections
	if f.Defaults.Line > 0 {
		sections = append([]*Section{f.Defaults}, sections...)
	}
	for _, s := range sections {
		out = append(out, "["+s.Name+"]")
		for _, o := range s.Options {
			out = append(out, o.Name+"="+strings.ReplaceAll(o.Value, "\n", `\n`))
		}
	}
	return strings.Join(out, " ")
}

func TestLinesOnWhichTheOldBrokerFails(t *testing.T) {
	for name, c := range map[string]struct{ text, want string }{
		"a section twice":          {"[a]\n[b]\n[a]\n", "f:3: section [a] is there already, in line 1: delete one, or give it another name"},
		"an option twice":          {"[a]\nx=1\n\nx=2\n", `f:4: option "x" is there already in section [a], in line 2: delete one`},
		"a default twice":          {"[DEFAULT]\nx=1\n[DEFAULT]\nx=2", `f:4: option "x" is there already in section [DEFAULT], in line 2: delete one`},
		"an option first":          {"\nx=1\n[a]", `f:2: "x=1" stands before the first [section]`},
		"a word":                   {"[a]\nx=1\nword", `f:3: "word" is no option: an option is written name=value`},
		"no name":                  {"[a]\n= 1", `f:2: "= 1" has no name before the "="`},
		"an open bracket":          {"[a\n", `f:1: "[a" stands before the first [section]`},
		"empty brackets":           {"[a]\n[]\n", `f:2: "[]" is no option: an option is written name=value`},
		"a byte order mark":        {"\ufeff[a]", "f:1: the file begins with a byte order mark: save it as UTF-8 without one"},
		"Latin-1":                  {"[a]\nx=\xfc", "f:2: is not UTF-8: save the file as UTF-8"},
		"Latin-1 in a comment":     {"# \xfc", "f:1: is not UTF-8: save the file as UTF-8"},
		"several lines":            {"[a]\nx\ny", "f:2: \"x\" is no option: an option is written name=value\nf:3: \"y\" is no option: an option is written name=value"},
		"a long line in a message": {"[a]\n" + strings.Repeat("ü", 100), "f:2: \"" + strings.Repeat("ü", 59) + "…\" is no option: an option is written name=value"},
	} {
		t.Run(name, func(t *testing.T) {
			_, err := ParseINI("f", []byte(c.text))
			if err == nil {
				t.Fatal("no error")
			}
			if diff := cmp.Diff(c.want, err.Error()); diff != "" {
				t.Errorf("(-want +got)\n%s", diff)
			}
			if e := (*SyntaxError)(nil); !errors.As(err, &e) || e.File != "f" || e.Line < 1 {
				t.Errorf("%#v names no line", err)
			}
		})
	}
}

func TestLinesAndCommentsAreKept(t *testing.T) {
	f, err := ParseINI("f", []byte(`# of the file

# of the defaults
[DEFAULT]
x=1

# of the section


; and this

[a]
# of y
y=
  # inside
  2
# of z
z=3
# last
`))
	if err != nil {
		t.Fatal(err)
	}
	want := &File{
		Name: "f",
		Defaults: &Section{
			Name: "DEFAULT", Line: 4,
			Comments: []Comment{{1, "# of the file"}, {2, ""}, {3, "# of the defaults"}},
			Options:  []Option{{Name: "x", Value: "1", Line: 5}},
		},
		Sections: []*Section{{
			Name: "a", Line: 12,
			Comments: []Comment{{7, "# of the section"}, {8, ""}, {10, "; and this"}},
			Options: []Option{
				{Name: "y", Value: "\n2", Line: 14, Comments: []Comment{{13, "# of y"}}},
				{Name: "z", Value: "3", Line: 18, Comments: []Comment{{15, "# inside"}, {17, "# of z"}}},
			},
		}},
		Trailing: []Comment{{19, "# last"}},
	}
	if diff := cmp.Diff(want, f); diff != "" {
		t.Errorf("(-want +got)\n%s", diff)
	}
	if s, ok := f.Section("a"); !ok || s != f.Sections[0] {
		t.Error("section a is not found")
	}
	if o, ok := f.Sections[0].Option("z"); !ok || o.Value != "3" {
		t.Error("option z is not found")
	}
	if _, ok := f.Sections[0].Option("Z"); ok {
		t.Error("option Z is found")
	}
}

func TestFilesAreBounded(t *testing.T) {
	if _, err := ParseINI("f", make([]byte, MaxFileSize+1)); err == nil {
		t.Error("a file beyond the bound is read")
	}
	_, err := ParseINI("f", []byte("[a]\n"+strings.Repeat("x\n", 1000)))
	if n := strings.Count(err.Error(), "\n") + 1; n != maxProblems {
		t.Errorf("%d problems are told, want %d", n, maxProblems)
	}
}

// Whatever the bytes, the answer is an error that names lines, or a file that
// is read again to the same when it is written plainly.
func FuzzINI(f *testing.F) {
	for _, seed := range []string{
		"",
		"[DEFAULT]\nx=1\n\n[a]\n# c\ny: 2\n  3\n",
		"[a]\r\nx = 1\r\r\n y\r[b]\n\n\n z=:=\n",
		"[a]\nx\n[a]\n=\n\xff",
		"\ufeff[a]",
		"[ ]]\n\u00a0x\u2003=\x1c\n  \x0c;\n",
	} {
		f.Add([]byte(seed))
	}
	f.Fuzz(func(t *testing.T, data []byte) {
		file, err := ParseINI("f", data)
		if err != nil {
			for line := range strings.SplitSeq(err.Error(), "\n") {
				if !strings.HasPrefix(line, "f:") {
					t.Fatalf("%q names no line", line)
				}
			}
			return
		}
		again, err := ParseINI("f", []byte(plain(file)))
		if err != nil {
			t.Fatalf("written plainly: %v", err)
		}
		if diff := cmp.Diff(flat(file), flat(again)); diff != "" {
			t.Fatalf("written plainly (-first +second)\n%s", diff)
		}
		lines, last := strings.Count(string(data), "\n")+strings.Count(string(data), "\r")+1, 0
		for _, s := range file.Sections {
			if s.Line <= last || s.Line > lines || !utf8.ValidString(s.Name) {
				t.Fatalf("section %q is in line %d of %d, after line %d", s.Name, s.Line, lines, last)
			}
			last = s.Line
		}
	})
}

// plain writes a file without comments, with the lines of a value indented.
func plain(f *File) string {
	var b strings.Builder
	for _, s := range append([]*Section{f.Defaults}, f.Sections...) {
		if s.Line == 0 {
			continue
		}
		fmt.Fprintf(&b, "[%s]\n", s.Name)
		for _, o := range s.Options {
			fmt.Fprintf(&b, "%s=%s\n", o.Name, strings.ReplaceAll(o.Value, "\n", "\n "))
		}
	}
	return b.String()
}
