package golden_test

import (
	"fmt"
	"strconv"
	"strings"

	"github.com/x2broker/x2broker/broker/legacy"
	"github.com/x2broker/x2broker/schema"
)

// scratch: until the import is there.
func scratchImport(conf, profiles string) (map[string][]byte, []string, error) {
	f, err := legacy.ParseINI("x2gobroker-sessionprofiles.conf", []byte(profiles))
	if err != nil {
		return nil, nil, err
	}
	var b strings.Builder
	var says []string
	servers := map[string]string{}
	b.WriteString("package site\nsite: name: \"x\"\nprofiles: {\n")
	for _, s := range f.Sections {
		opts := map[string]string{}
		for _, o := range f.Defaults.Options {
			opts[o.Name] = o.Value
		}
		for _, o := range s.Options {
			opts[o.Name] = o.Value
		}
		port := opts["sshport"]
		if port == "" {
			port = "22"
		}
		host, ok := opts["host"]
		if !ok {
			host = "localhost"
		}
		name := opts["name"]
		if name == "" {
			name = s.Name
		}
		var ids []string
		for h := range strings.SplitSeq(host, ",") {
			h = strings.TrimSpace(h)
			addr, p := h, port
			n, in, ok := strings.Cut(h, " (")
			if ok {
				addr = strings.TrimSuffix(in, ")")
				if a, q, ok := strings.Cut(addr, ":"); ok {
					addr, p = a, q
				}
				h = n
			}
			id := h
			if p != "22" {
				id = h + "-" + p
			}
			servers[id] = fmt.Sprintf("{address: %q, port: %s}", addr, p)
			ids = append(ids, strconv.Quote(id))
		}
		fmt.Fprintf(&b, "%q: {name: %q, hosts: ids: [%s], access: everyone: true\nx2go: {", s.Name, name, strings.Join(ids, ","))
		for k, v := range opts {
			switch k {
			case "name", "host", "sshport", "user", "icon":
				continue
			}
			for _, try := range []any{v} {
				val, err := schema.CheckSetting(k, try)
				if err != nil {
					if bv, ok := map[string]bool{"1": true, "0": false, "true": true, "false": false, "yes": true, "no": false, "on": true, "off": false}[strings.ToLower(v)]; ok {
						if val, err = schema.CheckSetting(k, bv); err == nil {
							fmt.Fprintf(&b, "%s: %v\n", k, val)
							continue
						}
					}
					if n, e := strconv.Atoi(v); e == nil {
						fmt.Fprintf(&b, "%s: %v\n", k, n)
						continue
					}
					says = append(says, err.Error())
					continue
				}
				fmt.Fprintf(&b, "%s: %q\n", k, val)
			}
		}
		b.WriteString("}}\n")
	}
	b.WriteString("}\nservers: {\n")
	for id, s := range servers {
		fmt.Fprintf(&b, "%q: %s\n", id, s)
	}
	b.WriteString("}\n")
	return map[string][]byte{"site.cue": []byte(b.String())}, says, nil
}
