package x2goclient

import (
	"context"
	"errors"
	"fmt"
	"slices"

	"github.com/jezek/xgb/xproto"
	"github.com/jezek/xgb/xtest"
)

const keyTab = 0xff09

// The button with a lock in the tool bar, in pixels from the corner of the main
// window. It is the second one of a client that was started with
// --change-broker-pass.
const lockX, lockY = 64, 42

// ChangePassword opens the dialog for the broker's password, fills it in and
// waits until it is gone. The client must have a list of profiles, and have been
// started with --change-broker-pass.
func (c *Client) ChangePassword(ctx context.Context, old, next string) error {
	const dialog = "Dialog"
	if err := c.display.click(c.window, lockX, lockY); err != nil {
		return err
	}
	if _, err := c.WaitWindow(ctx, dialog); err != nil {
		return err
	}
	for i, text := range []string{old, next, next} {
		if i > 0 {
			if err := c.display.press(keyTab); err != nil {
				return err
			}
		}
		if err := c.Type(text); err != nil {
			return err
		}
	}
	if err := c.Enter(); err != nil {
		return err
	}
	return c.await(ctx, fmt.Sprintf("window %q to close", dialog), func() (bool, error) {
		return !slices.Contains(c.Titles(), dialog), nil
	})
}

// click clicks into a top-level window.
func (d *display) click(id xproto.Window, x, y int16) error {
	at, err := xproto.GetGeometry(d.conn, xproto.Drawable(id)).Reply()
	if err != nil {
		return err
	}
	const left = 1
	return errors.Join(
		xtest.FakeInputChecked(d.conn, xproto.MotionNotify, 0, 0, d.root, at.X+x, at.Y+y, 0).Check(),
		xtest.FakeInputChecked(d.conn, xproto.ButtonPress, left, 0, d.root, 0, 0, 0).Check(),
		xtest.FakeInputChecked(d.conn, xproto.ButtonRelease, left, 0, d.root, 0, 0, 0).Check(),
	)
}
