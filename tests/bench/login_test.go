package bench

import (
	"bytes"
	"fmt"
	"sync"
	"testing"
	"time"

	"golang.org/x/crypto/bcrypt"

	"github.com/x2broker/x2broker/tests/brokertest"
)

// BenchmarkLogin is a login by password against the comparison of its hash alone
// (bcrypt, cost 10). As many at once as there are connections, in turn.
//
//	ratio     of the comparison's time to that of the login; 1: the login is free
//	logins/s  by password
func BenchmarkLogin(b *testing.B) {
	const password = "alice-pw"
	hash, err := bcrypt.GenerateFromPassword([]byte(password), 10)
	if err != nil {
		b.Fatal(err)
	}
	repo := brokertest.NewRepo(b, site(20))
	broker := startBroker(b, fmt.Sprintf("site: url: %q\nstateDir: %q\nlisten: http: \"127.0.0.1:0\"\n", repo.URL(), b.TempDir())+
		fmt.Sprintf("authenticators: [{type: \"static\", users: alice: {password: %q, groups: [\"staff\"]}}]\n", hash))
	var clients [connections]*connection
	for i := range clients {
		clients[i] = dial(b, broker.addr)
	}
	atOnce := func(one func(i int)) time.Duration {
		start := time.Now()
		var wg sync.WaitGroup
		for i := range connections {
			wg.Go(func() {
				for range 5 {
					one(i)
				}
			})
		}
		wg.Wait()
		return time.Since(start)
	}
	var login, bare time.Duration
	n := 0
	for b.Loop() {
		bare += atOnce(func(int) {
			if bcrypt.CompareHashAndPassword(hash, []byte(password)) != nil {
				b.Error("the hash is of another password")
			}
		})
		login += atOnce(func(i int) {
			if reply := clients[i].post("/plain/", "user=alice&password="+password); !bytes.HasPrefix(reply, []byte("AUTHID:")) {
				b.Errorf("%.60q", reply)
			}
		})
		n += 5 * connections
	}
	b.ReportMetric(float64(bare)/float64(login), "ratio")
	b.ReportMetric(float64(n)/login.Seconds(), "logins/s")
	b.ReportMetric(0, "ns/op")
}
