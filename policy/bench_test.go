package policy

import (
	"fmt"
	"maps"
	"testing"
	"time"

	"github.com/x2broker/x2broker/schema"
)

// campus has n profiles, of which alice sees 20.
func campus(tb testing.TB, n int) *schema.Catalog {
	profiles := map[string]schema.Access{}
	for i := range n {
		group := fmt.Sprintf("group%d", i)
		if i%(n/20) == 0 {
			group = "staff"
		}
		profiles[fmt.Sprintf("p%05d", i)] = schema.Access{
			Users: []string{"bob"}, Groups: []string{"admins", group}, From: []string{"campus"},
			Deny: schema.Deny{Groups: []string{"interns"}},
		}
	}
	return site(tb, profiles, server("ts01"))
}

// oldCampus is campus with the lists of the Python broker in place of access. They
// mean the same, and are of the form that access cannot say.
func oldCampus(tb testing.TB, n int) *schema.Catalog {
	cat := campus(tb, n)
	for _, p := range cat.Profiles {
		p.LegacyACL = &schema.LegacyACL{
			Users:   schema.LegacyRule{Allow: p.Access.Users},
			Groups:  schema.LegacyRule{Allow: p.Access.Groups, Deny: p.Access.Deny.Groups},
			Clients: schema.LegacyRule{Allow: []string{"10.0.0.0/8", "2001:db8::/32"}},
		}
		p.Access = schema.Access{}
	}
	return cat
}

// hours is a policy of a site's own, which reads the time.
func hours() map[string][]byte {
	return modules("access.rego", `package x2go.access

import data.x2go.lib

visible contains id if {
	lib.access.visible[id]
	not closed
}

closed if input.time.hour < 7
`)
}

func BenchmarkVisible(b *testing.B) {
	for name, files := range map[string]map[string][]byte{"library": nil, "own": hours()} {
		for _, n := range []int{100, 1000, 10000} {
			benchmarkVisible(b, fmt.Sprintf("%s/%%s/profiles=%d", name, n), engine(b, campus(b, n), files))
			if name == "library" {
				benchmarkVisible(b, fmt.Sprintf("legacyACL/%%s/profiles=%d", n), engine(b, oldCampus(b, n), nil))
			}
		}
	}
}

func benchmarkVisible(b *testing.B, name string, e *Engine) {
	check := func(b *testing.B, l *Listing) {
		if len(l.Profiles) != 20 || len(l.Failed) > 0 {
			b.Fatal(len(l.Profiles), l.Failed)
		}
	}
	b.Run(fmt.Sprintf(name, "uncached"), func(b *testing.B) {
		address, _ := alice().address()
		b.ReportAllocs()
		for b.Loop() {
			check(b, e.list(b.Context(), alice(), address))
		}
	})
	b.Run(fmt.Sprintf(name, "cached"), func(b *testing.B) {
		r := alice()
		b.ReportAllocs()
		for b.Loop() {
			check(b, e.Visible(b.Context(), r))
		}
	})
}

func BenchmarkSees(b *testing.B) {
	e := engine(b, campus(b, 1000), nil)
	for b.Loop() {
		if p, err := e.Sees(b.Context(), alice(), "p00000"); p == nil || err != nil {
			b.Fatal(p, err)
		}
	}
}

func BenchmarkLogin(b *testing.B) {
	e := engine(b, campus(b, 20), nil)
	b.Run("uncached", func(b *testing.B) {
		address, _ := alice().address()
		for b.Loop() {
			if _, err := e.decideLogin(b.Context(), e.inputFrom(alice(), address)); err != nil {
				b.Fatal(err)
			}
		}
	})
	b.Run("cached", func(b *testing.B) {
		r := alice()
		b.ReportAllocs()
		for b.Loop() {
			if _, err := e.Login(b.Context(), r); err != nil {
				b.Fatal(err)
			}
		}
	})
}

func BenchmarkPlace(b *testing.B) {
	for _, n := range []int{10, 100, 1000} {
		b.Run(fmt.Sprint(n), func(b *testing.B) {
			var servers []*schema.Server
			facts := map[string]Facts{}
			for i := range n {
				s := server(fmt.Sprintf("ts%04d", i), func(s *schema.Server) { s.Weight, s.Sessions = 50+i%150, 40 })
				servers = append(servers, s)
				facts[s.ID] = Facts{Sessions: i % 45, Inflight: i % 3, Load1: 0.5, CPUs: 8}
			}
			e := engine(b, site(b, map[string]schema.Access{"office": {Everyone: true}}, servers...), nil)
			b.ReportAllocs()
			for b.Loop() {
				if p, err := e.Place(b.Context(), alice(), "office", facts); err != nil || len(p.Winners) == 0 {
					b.Fatal(p, err)
				}
			}
		})
	}
}

// BenchmarkCompile measures a site from nothing, and again with one profile
// changed.
func BenchmarkCompile(b *testing.B) {
	for _, n := range []int{100, 1000, 10000} {
		cat := campus(b, n)
		b.Run(fmt.Sprintf("cold-legacyACL/profiles=%d", n), func(b *testing.B) {
			cat := oldCampus(b, n)
			for b.Loop() {
				engine(b, cat, nil)
			}
		})
		b.Run(fmt.Sprintf("cold/profiles=%d", n), func(b *testing.B) {
			b.ReportAllocs()
			for b.Loop() {
				engine(b, cat, nil)
			}
		})
		b.Run(fmt.Sprintf("one-profile/profiles=%d", n), func(b *testing.B) {
			c := new(Compiler)
			c.Compile(b.Context(), cat, nil)
			round := 0
			var spent time.Duration
			for b.Loop() {
				round++
				next := *cat
				next.Profiles = maps.Clone(cat.Profiles)
				p := *cat.Profiles["p00000"]
				p.Name = fmt.Sprint("Round ", round)
				next.Profiles["p00000"] = &p
				began := time.Now()
				if _, ds := c.Compile(b.Context(), &next, nil); len(ds) > 0 {
					b.Fatal(ds)
				}
				spent += time.Since(began)
			}
			b.ReportMetric(float64(spent.Microseconds())/1000/float64(b.N), "ms")
		})
	}
}
