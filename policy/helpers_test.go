package policy

import (
	"net/netip"
	"testing"
	"time"

	"github.com/x2broker/x2broker/schema"
)

// site makes a small catalog. Times are in Berlin, so that a policy's clock can
// be told from UTC.
func site(t testing.TB, profiles map[string]schema.Access, servers ...*schema.Server) *schema.Catalog {
	t.Helper()
	berlin, err := time.LoadLocation("Europe/Berlin")
	if err != nil {
		t.Fatal(err)
	}
	cat := &schema.Catalog{
		Site: schema.Site{Name: "Example University", Timezone: "Europe/Berlin", Location: berlin},
		Networks: map[string]schema.Network{
			"campus": {Prefixes: []netip.Prefix{netip.MustParsePrefix("10.0.0.0/8"), netip.MustParsePrefix("2001:db8::/32")}},
			"exam":   {Prefixes: []netip.Prefix{netip.MustParsePrefix("10.9.0.0/16")}},
		},
		Servers:  map[string]*schema.Server{},
		Profiles: map[string]*schema.Profile{},
	}
	var ids []string
	for _, s := range servers {
		cat.Servers[s.ID] = s
		ids = append(ids, s.ID)
	}
	for id, access := range profiles {
		cat.Profiles[id] = &schema.Profile{ID: id, Name: id, Servers: ids, Access: access}
	}
	return cat
}

// server makes a server of weight 1 without a limit.
func server(id string, change ...func(*schema.Server)) *schema.Server {
	s := &schema.Server{ID: id, Address: id + ".example.edu", Port: 22, Hostname: id, Weight: 1, State: schema.Active}
	for _, c := range change {
		c(s)
	}
	return s
}

// modules gives sources by the names they have below policy/.
func modules(pairs ...string) map[string][]byte {
	files := make(map[string][]byte)
	for i := 0; i < len(pairs); i += 2 {
		files["policy/"+pairs[i]] = []byte(pairs[i+1])
	}
	return files
}

// engine compiles what must compile.
func engine(t testing.TB, cat *schema.Catalog, files map[string][]byte) *Engine {
	t.Helper()
	e, ds := Compile(t.Context(), cat, files)
	if len(ds) > 0 {
		t.Fatalf("unexpected diagnostics:\n%v", ds)
	}
	return e
}

// warned compiles what may have warnings.
func warned(t testing.TB, cat *schema.Catalog, files map[string][]byte) (*Engine, schema.Diagnostics) {
	t.Helper()
	e, ds := Compile(t.Context(), cat, files)
	if e == nil {
		t.Fatalf("errors:\n%v", ds)
	}
	return e, ds
}

// alice asks from the campus on a Monday morning.
func alice(change ...func(*Request)) Request {
	r := Request{
		User:     "alice",
		Groups:   []string{"staff", "all"},
		Account:  "alice",
		Address:  netip.MustParseAddr("10.1.2.3"),
		Frontend: "plain",
		Time:     time.Date(2026, 3, 2, 8, 30, 59, 999, time.UTC),
		Task:     "list",
	}
	for _, c := range change {
		c(&r)
	}
	return r
}

func from(address string) func(*Request) {
	return func(r *Request) { r.Address = netip.MustParseAddr(address) }
}

// shown gives what a listing shows, by id.
func shown(l *Listing) (ids []string, failed map[string]error) {
	for _, p := range l.Profiles {
		ids = append(ids, p.ID)
	}
	return ids, l.Failed
}

func seen(p *schema.Profile, err error) (bool, error) { return p != nil, err }
