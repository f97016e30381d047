package legacy

import (
	"fmt"
	"io"
	"strconv"
	"strings"
	"unicode"
)

// Write prints losses and notes for people. What is the same in several places
// is printed once, with all lines.
func (r *Report) Write(w io.Writer) error {
	out := &strings.Builder{}
	write(out, "loss", r.Losses)
	write(out, "note", r.Notes)
	_, err := io.WriteString(w, out.String())
	return err
}

// alike are entries that differ in their place only.
type alike struct{ file, text, remedy string }

func write(out *strings.Builder, kind string, entries []Entry) {
	places := map[alike][]Entry{}
	for _, e := range entries {
		k := alike{e.File, e.Text, e.Remedy}
		places[k] = append(places[k], e)
	}
	for _, e := range entries {
		k := alike{e.File, e.Text, e.Remedy}
		same := places[k]
		if len(same) == 0 {
			continue // printed with an earlier one
		}
		places[k] = nil
		fmt.Fprintf(out, "%s: %s: %s%s\n", e.place(), kind, e.what(), e.Text)
		if len(same) > 1 {
			fmt.Fprintf(out, "    the same in %s\n", lines(same[1:]))
		}
		if e.Remedy != "" {
			fmt.Fprintf(out, "    remedy: %s\n", e.Remedy)
		}
	}
}

// place is file:line, or the file alone where there is no line.
func (o Origin) place() string {
	if o.Line == 0 {
		return o.File
	}
	return o.File + ":" + strconv.Itoa(o.Line)
}

// what names section, option and value.
func (o Origin) what() string {
	var parts []string
	if o.Section != "" {
		parts = append(parts, "["+oneLine(o.Section)+"]")
	}
	if o.Option != "" {
		parts = append(parts, oneLine(o.Option)+"="+oneLine(o.Value))
		if o.Line == 0 {
			parts = append(parts, "by default")
		}
	}
	if len(parts) == 0 {
		return ""
	}
	return strings.Join(parts, " ") + ": "
}

// lines names lines of one file.
func lines(entries []Entry) string {
	const most = 10
	var numbers []string
	for _, e := range entries {
		numbers = append(numbers, strconv.Itoa(e.Line))
	}
	word := "line "
	if len(numbers) > 1 {
		word = "lines "
	}
	if n := len(numbers); n > most {
		return fmt.Sprintf("%s%s and %d more", word, strings.Join(numbers[:most], ", "), n-most)
	}
	return word + strings.Join(numbers, ", ")
}

// oneLine makes a value fit for a message.
func oneLine(value string) string {
	value = strings.Map(func(r rune) rune {
		if unicode.IsControl(r) && !isSpace(r) {
			return unicode.ReplacementChar
		}
		return r
	}, value)
	return short(strings.Join(strings.FieldsFunc(value, isSpace), " "))
}
