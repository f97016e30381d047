package identity

import "testing"

// BenchmarkUse is what a ticket costs a request.
func BenchmarkUse(b *testing.B) {
	for name, dir := range map[string]func(testing.TB) string{
		"memory": func(testing.TB) string { return "" },
		"file":   testing.TB.TempDir,
	} {
		b.Run(name, func(b *testing.B) {
			ts := newTickets(b, newClock(), func(c *TicketConfig) { c.StateDir = dir(b) })
			c := Credentials{Name: "alice", Password: "secret", Address: addr(home)}
			c.Ticket = ts.Issue(alice, c)
			b.ReportAllocs()
			for b.Loop() {
				u, err := ts.Check(b.Context(), c, vouch)
				if err != nil {
					b.Fatal(err)
				}
				c.Ticket = u.Turn()
			}
		})
	}
}
