package site_test

import (
	"errors"
	"testing"

	"github.com/x2broker/x2broker/client"
	"github.com/x2broker/x2broker/tests/brokertest"
)

// byTicket lists the profiles of sam with a ticket and no password, and gives the
// next ticket.
func byTicket(t *testing.T, b *brokertest.Broker, ticket string) (string, error) {
	c := b.Client("sam", "127.0.0.2")
	c.Password, c.Ticket = "", ticket
	_, err := c.List(t.Context())
	return c.Ticket, err
}

func TestTicketsSurviveACrashAndUsedOnesStayUsed(t *testing.T) {
	repo := brokertest.NewRepo(t, campus)
	state := t.TempDir()
	before := settings(t, repo.URL(), state)
	b := brokertest.Start(t, before)
	sam := b.Client("sam", "127.0.0.2")
	eventually(t, sam, "lab")
	stolen := sam.Ticket
	ids(t, sam)
	ids(t, sam)
	b.Kill()

	b = brokertest.Start(t, before)
	b.WaitReady()
	newest, err := byTicket(t, b, sam.Ticket)
	if err != nil {
		t.Fatalf("the newest ticket after a crash: %v", err)
	}
	b.Kill()

	b = brokertest.Start(t, before)
	b.WaitReady()
	if _, err := byTicket(t, b, stolen); !errors.Is(err, client.ErrDenied) {
		t.Errorf("one that was used long ago: %v", err)
	}
	if _, err := byTicket(t, b, newest); !errors.Is(err, client.ErrDenied) {
		t.Errorf("the newest, after that one came again: %v", err)
	}
	sam = b.Client("sam", "127.0.0.2")
	ids(t, sam)
	b.Kill()

	// The settings are written anew, with another hash of each password.
	b = brokertest.Start(t, settings(t, repo.URL(), state))
	b.WaitReady()
	if _, err := byTicket(t, b, sam.Ticket); !errors.Is(err, client.ErrDenied) {
		t.Errorf("after the hash in broker.cue changed: %v", err)
	}
	ids(t, b.Client("sam", "127.0.0.2"))
}
