package golden_test

import (
	"bytes"
	stdjson "encoding/json"
	"fmt"
	"maps"
	"slices"
	"strings"
)

// A listed is a session profile in a list.
type listed struct {
	id   string
	keys []keyValue
}

// A keyValue has a text as its value in plain, and what JSON says otherwise.
type keyValue struct {
	key   string
	value any
}

const (
	listBegin = "START_USER_SESSIONS\n\n"
	listEnd   = "END_USER_SESSIONS\n"
)

// edit changes the profiles of the list in an answer; others stay as they are.
func (a *answer) edit(change func([]*listed) []*listed) {
	switch {
	case strings.Contains(a.Body, listBegin):
		before, list, _ := strings.Cut(a.Body, listBegin)
		a.Body = before + writePlain(change(readPlain(list)))
	case strings.Contains(a.Body, `"profiles": {`):
		a.Body = editJSON(a.Body, change)
	}
}

// each changes every profile for itself.
func (a *answer) each(change func(*listed)) {
	a.edit(func(all []*listed) []*listed {
		for _, p := range all {
			change(p)
		}
		return all
	})
}

func readPlain(list string) (all []*listed) {
	for part := range strings.SplitSeq(strings.TrimSuffix(list, listEnd), "\n\n") {
		if part == "" {
			continue
		}
		id, lines, _ := strings.Cut(part, "\n")
		p := &listed{id: strings.TrimSuffix(strings.TrimPrefix(id, "["), "]")}
		for line := range strings.SplitSeq(lines, "\n") {
			key, value, _ := strings.Cut(line, "=")
			p.keys = append(p.keys, keyValue{key, value})
		}
		all = append(all, p)
	}
	return all
}

// writePlain writes no list without profiles.
func writePlain(all []*listed) string {
	if len(all) == 0 {
		return ""
	}
	var b strings.Builder
	b.WriteString(listBegin)
	for _, p := range all {
		b.WriteString("[" + p.id + "]\n")
		for _, k := range p.keys {
			fmt.Fprintf(&b, "%s=%s\n", k.key, plainValue(k.value))
		}
		b.WriteString("\n")
	}
	return b.String() + listEnd
}

// plainValue writes a value as the old broker does in plain.
func plainValue(value any) string {
	switch v := value.(type) {
	case bool:
		if v {
			return "1"
		}
		return "0"
	case []any:
		members := make([]string, len(v))
		for i, m := range v {
			members[i] = fmt.Sprint(m)
		}
		return strings.Join(members, ",")
	}
	return fmt.Sprint(value)
}

func editJSON(body string, change func([]*listed) []*listed) string {
	reply := map[string]any{}
	decoder := stdjson.NewDecoder(strings.NewReader(body))
	decoder.UseNumber()
	if err := decoder.Decode(&reply); err != nil {
		panic(err) // a broken test file
	}
	profiles := reply["profiles"].(map[string]any)
	var all []*listed
	for _, id := range slices.Sorted(maps.Keys(profiles)) {
		p, values := &listed{id: id}, profiles[id].(map[string]any)
		for _, key := range slices.Sorted(maps.Keys(values)) {
			p.keys = append(p.keys, keyValue{key, values[key]})
		}
		all = append(all, p)
	}
	profiles = map[string]any{}
	for _, p := range change(all) {
		values := map[string]any{}
		for _, k := range p.keys {
			values[k.key] = k.value
		}
		profiles[p.id] = values
	}
	reply["profiles"] = profiles
	return pythonJSON(reply, "    ")
}

// pythonJSON writes JSON as Python does: sorted, and in ASCII.
func pythonJSON(value any, indent string) string {
	var b bytes.Buffer
	encoder := stdjson.NewEncoder(&b)
	encoder.SetEscapeHTML(false)
	encoder.SetIndent("", indent)
	if err := encoder.Encode(value); err != nil {
		panic(err)
	}
	var ascii strings.Builder
	for _, r := range strings.TrimSuffix(b.String(), "\n") {
		if r < 0x80 {
			ascii.WriteRune(r)
			continue
		}
		for _, unit := range utf16Units(r) {
			fmt.Fprintf(&ascii, `\u%04x`, unit)
		}
	}
	return ascii.String()
}

// value gives the value of a key, nil for none.
func (p *listed) value(key string) any {
	for _, k := range p.keys {
		if k.key == key {
			return k.value
		}
	}
	return nil
}

// set changes a key, or adds it.
func (p *listed) set(key string, value any) {
	for i, k := range p.keys {
		if k.key == key {
			p.keys[i].value = value
			return
		}
	}
	p.keys = append(p.keys, keyValue{key, value})
}

// keep removes the keys that are not to be kept.
func (p *listed) keep(wanted func(key string) bool) {
	p.keys = slices.DeleteFunc(p.keys, func(k keyValue) bool { return !wanted(k.key) })
}

// keyOrder is the order in which this broker sends keys in plain: that of the old
// one for a profile that sets none but name and host.
var keyOrder = strings.Fields(`name host command kdrive defsndport useiconv iconvfrom height export quality fullscreen layout useexports width
	speed soundsystem print type sndport xinerama variant usekbd fstunnel applications multidisp sshproxyport sound rootless iconvto
	soundtunnel dpi sshport setdpi pack user directrdp
	published maxdim display clipboard startsoundsystem startembed krblogin krbdelegation usesshproxy sshproxytype sshproxyhost sshproxyuser
	sshproxyautologin sshproxykrblogin sshproxysameuser sshproxysamepass sshproxysamekey sshproxykeyfile usebrokerpassforproxy
	usebrokeruserforproxy rdpclient rdpport directrdpsettings rdpserver rdpoptions xdmcpserver directxdmcp xdmcpclient directxdmcpsettings
	shadowuser shadowdisplay shadowfullaccess icon usebrokerpass autologin`)

// sort puts the keys into this order, others behind them.
func (p *listed) sort() {
	place := func(key string) int {
		if i := slices.Index(keyOrder, key); i >= 0 {
			return i
		}
		return len(keyOrder)
	}
	slices.SortStableFunc(p.keys, func(a, b keyValue) int { return place(a.key) - place(b.key) })
}
