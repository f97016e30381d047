package ssh

import (
	"net"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
)

// pieces gives what a client reads at once when the server writes packets.
func pieces(t *testing.T, hold time.Duration, packets ...string) []string {
	t.Helper()
	here, there := net.Pipe()
	defer there.Close()
	w := newWire(here, time.Minute, allowance)
	defer w.Close()
	w.holdTime = hold
	go func() {
		for _, p := range packets {
			if _, err := w.Write([]byte(p)); err != nil {
				t.Errorf("write %s: %v", p, err)
			}
		}
	}()
	var got []string
	for left := len(packets); left > 0; {
		b := make([]byte, 64)
		n, err := there.Read(b)
		if err != nil {
			t.Fatal(err)
		}
		got = append(got, string(b[:n]))
		left -= n
	}
	return got
}

// X2Go Client offers RSA keys only if it knows in time what the server accepts.
func TestWhatIsAcceptedComesWithTheNewKeys(t *testing.T) {
	if diff := cmp.Diff([]string{"1", "2", "3", "45", "6"}, pieces(t, time.Hour, "1", "2", "3", "4", "5", "6")); diff != "" {
		t.Errorf("pieces (-want +got):\n%s", diff)
	}
}

// Clients that do not ask for it wait for the keys alone.
func TestTheNewKeysComeIfThereIsNothingToGoWithThem(t *testing.T) {
	if diff := cmp.Diff([]string{"1", "2", "3", "4"}, pieces(t, time.Millisecond, "1", "2", "3", "4")); diff != "" {
		t.Errorf("pieces (-want +got):\n%s", diff)
	}
}
