package main

import (
	"context"
	"crypto/rand"
	"fmt"
	"time"

	"github.com/x2broker/x2broker/broker/identity"
)

type ticketKeyCmd struct {
	From time.Time `format:"2006-01-02T15:04:05Z07:00" placeholder:"TIME" help:"When the key begins to sign, like 2026-01-31T12:00:00Z: late enough for it to be on every broker. Default: now."`
}

// Run prints a line and nothing else, so that it can be appended to the file.
func (c *ticketKeyCmd) Run(_ context.Context, io stdio) error {
	from := c.From
	if from.IsZero() {
		from = time.Now()
	}
	line, err := identity.KeyLine(rand.Reader, from)
	if err != nil {
		return err
	}
	_, err = fmt.Fprint(io.out, line)
	return err
}
