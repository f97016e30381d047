// Package faults_test shows what the broker does when something goes wrong: the
// last good commit serves on, x2broker status says why, and when the fault is
// gone the newest commit serves without anybody's help.
//
// What needs root or packages of Debian is in tests/e2e. The page
// docs/faults.md lists all faults; a test holds it to these.
package faults_test

import (
	"crypto/rand"
	"encoding/hex"
	"flag"
	"fmt"
	"os"
	"testing"

	"github.com/x2broker/x2broker/broker/snapshot"
	"github.com/x2broker/x2broker/broker/worker"
	"github.com/x2broker/x2broker/tests/brokertest"
)

// asWorker makes this program the process that evaluates CUE.
const asWorker = "compile-worker"

func TestMain(m *testing.M) {
	if len(os.Args) == 2 && os.Args[1] == asWorker {
		if err := worker.Serve(os.Stdin, os.Stdout); err != nil {
			fmt.Fprintln(os.Stderr, err)
			os.Exit(1)
		}
		return
	}
	useOwnNameServer()
	flag.Parse()
	if err := flag.Set("test.parallel", "6"); err != nil { // the faults mostly wait
		panic(err)
	}
	brokertest.Main(m)
}

// A fault goes wrong while the commit "one" serves.
type fault struct {
	name   string
	reason string // what status says as long as it lasts
	gate   string // which the commit does not get through, "" if no commit is to blame

	setup func(*broker) // before the broker starts; nil for nothing
	// begin has it go wrong. Afterwards the newest commit cannot serve, or does
	// not arrive.
	begin func(*broker)
	// mend ends it, after which the commit "two" must serve. nil: pushing that
	// is enough.
	mend func(*broker)
	// serves is what users see meanwhile, "" for "one".
	serves string
}

func TestFaults(t *testing.T) {
	t.Parallel()
	for _, f := range faults() {
		t.Run(f.name, func(t *testing.T) {
			t.Parallel()
			b := newBroker(t)
			if f.setup != nil {
				f.setup(b)
			}
			b.push("one")
			b.start()
			b.serves("one")

			f.begin(b)
			b.says(f.reason)
			b.refused(f.gate)
			if f.serves == "" {
				b.lists("one")
			} else {
				b.await(f.serves, func(_ string, s snapshot.Status) bool { return s.Serving.Revision.ID == b.newest })
				b.lists(f.serves)
			}

			if f.mend != nil {
				f.mend(b)
			} else {
				b.push("two")
			}
			b.serves("two")
		})
	}
}

func faults() (all []fault) {
	for _, some := range [][]fault{signatures, contents, gates, network, state} {
		all = append(all, some...)
	}
	return all
}

// randomText cannot be compressed to less than half.
func randomText(n int) string {
	b := make([]byte, n/2)
	_, _ = rand.Read(b) // never fails
	return hex.EncodeToString(b)
}
