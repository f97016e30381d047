package policy

import (
	"fmt"
	"testing"

	"github.com/x2broker/x2broker/schema"
)

// campus has n profiles, of which alice sees 20.
func campus(b *testing.B, n int) *schema.Catalog {
	profiles := map[string]schema.Access{}
	for i := range n {
		group := fmt.Sprintf("group%d", i)
		if i%(n/20) == 0 {
			group = "staff"
		}
		profiles[fmt.Sprintf("p%04d", i)] = schema.Access{
			Users: []string{"bob"}, Groups: []string{"admins", group}, From: []string{"campus"},
			Deny: schema.Deny{Groups: []string{"interns"}},
		}
	}
	return site(b, profiles, server("ts01"))
}

func BenchmarkVisible(b *testing.B) {
	for _, n := range []int{20, 1000} {
		b.Run(fmt.Sprint(n), func(b *testing.B) {
			e := engine(b, campus(b, n), nil)
			b.ReportAllocs()
			for b.Loop() {
				if ids, failed := shown(e.Visible(b.Context(), alice())); len(ids) != 20 || len(failed) > 0 {
					b.Fatal(len(ids), failed)
				}
			}
		})
	}
}

func BenchmarkSees(b *testing.B) {
	e := engine(b, campus(b, 1000), nil)
	for b.Loop() {
		if ok, err := seen(e.Sees(b.Context(), alice(), "p0000")); !ok || err != nil {
			b.Fatal(ok, err)
		}
	}
}

func BenchmarkLogin(b *testing.B) {
	e := engine(b, campus(b, 20), nil)
	for b.Loop() {
		if _, err := e.Login(b.Context(), alice()); err != nil {
			b.Fatal(err)
		}
	}
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

func BenchmarkCompile(b *testing.B) {
	cat := campus(b, 1000)
	for b.Loop() {
		engine(b, cat, nil)
	}
}
