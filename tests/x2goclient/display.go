package x2goclient

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"image"
	"image/png"
	"io"
	"os"
	"os/exec"
	"strings"
	"syscall"
	"time"

	"github.com/jezek/xgb"
	"github.com/jezek/xgb/xproto"
	"github.com/jezek/xgb/xtest"
)

const screen = "1280x900x24"

// A display is a private X server with a keyboard that types what it is told.
type display struct {
	name   string // ":7"
	server *exec.Cmd
	conn   *xgb.Conn
	root   xproto.Window
	keys   map[xproto.Keysym]key
	spare  []xproto.Keycode // keys of the keyboard that have no symbol
}

// A key is how to type a symbol.
type key struct {
	code  xproto.Keycode
	shift bool
}

func startDisplay(ctx context.Context) (*display, error) {
	r, w, err := os.Pipe()
	if err != nil {
		return nil, err
	}
	defer r.Close()
	d := &display{server: exec.Command("Xvfb", "-displayfd", "3", "-screen", "0", screen, "-nolisten", "tcp", "-noreset")}
	d.server.ExtraFiles = []*os.File{w}
	// When the tests are killed, so is the display, and with it the client.
	d.server.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGTERM}
	err = d.server.Start()
	w.Close()
	if err != nil {
		return nil, fmt.Errorf("start Xvfb: %w", err)
	}
	if end, ok := ctx.Deadline(); ok {
		_ = r.SetReadDeadline(end) // pipes have deadlines
	}
	number, err := bufio.NewReader(r).ReadString('\n')
	if err != nil {
		d.close()
		return nil, fmt.Errorf("no display from Xvfb: %w", err)
	}
	d.name = ":" + strings.TrimSpace(number)
	if err := d.connect(); err != nil {
		d.close()
		return nil, fmt.Errorf("connect to Xvfb %s: %w", d.name, err)
	}
	return d, nil
}

func (d *display) connect() error {
	var err error
	xgb.Logger.SetOutput(io.Discard) // it tells of every missing .Xauthority and closed display
	if d.conn, err = xgb.NewConnDisplay(d.name); err != nil {
		return err
	}
	if err := xtest.Init(d.conn); err != nil {
		return err
	}
	setup := xproto.Setup(d.conn)
	d.root = setup.DefaultScreen(d.conn).Root
	count := setup.MaxKeycode - setup.MinKeycode + 1
	mapping, err := xproto.GetKeyboardMapping(d.conn, setup.MinKeycode, byte(count)).Reply()
	if err != nil {
		return err
	}
	d.keys = map[xproto.Keysym]key{}
	per := int(mapping.KeysymsPerKeycode)
	for i := range int(count) {
		if mapping.Keysyms[i*per] == 0 {
			d.spare = append(d.spare, setup.MinKeycode+xproto.Keycode(i))
		}
		for level := range min(per, 2) {
			symbol := mapping.Keysyms[i*per+level]
			if _, known := d.keys[symbol]; !known {
				d.keys[symbol] = key{code: setup.MinKeycode + xproto.Keycode(i), shift: level == 1}
			}
		}
	}
	return nil
}

func (d *display) close() {
	if d.conn != nil {
		d.conn.Close()
		d.conn = nil
	}
	// On SIGTERM it removes its socket and its lock. It may have ended.
	_ = d.server.Process.Signal(syscall.SIGTERM)
	kill := time.AfterFunc(5*time.Second, func() { _ = d.server.Process.Kill() })
	defer kill.Stop()
	_ = d.server.Wait()
}

// Keysyms of X11's keysymdef.h; those of Latin-1 are their code points.
const (
	keyReturn = 0xff0d
	keyShift  = 0xffe1
)

// press types one symbol.
func (d *display) press(symbol xproto.Keysym) error {
	k, ok := d.keys[symbol]
	if !ok {
		var err error
		if k, err = d.addKey(symbol); err != nil {
			return err
		}
	}
	shift := d.keys[keyShift].code
	var steps []struct {
		event byte
		code  xproto.Keycode
	}
	add := func(event byte, code xproto.Keycode) {
		steps = append(steps, struct {
			event byte
			code  xproto.Keycode
		}{event, code})
	}
	if k.shift {
		add(xproto.KeyPress, shift)
	}
	add(xproto.KeyPress, k.code)
	add(xproto.KeyRelease, k.code)
	if k.shift {
		add(xproto.KeyRelease, shift)
	}
	for _, s := range steps {
		if err := xtest.FakeInputChecked(d.conn, s.event, byte(s.code), 0, d.root, 0, 0, 0).Check(); err != nil {
			return fmt.Errorf("press a key: %w", err)
		}
	}
	return nil
}

// addKey gives a symbol to a key that has none.
func (d *display) addKey(symbol xproto.Keysym) (key, error) {
	if len(d.spare) == 0 {
		return key{}, fmt.Errorf("the keyboard has no key for %#x", symbol)
	}
	k := key{code: d.spare[0]}
	if err := xproto.ChangeKeyboardMappingChecked(d.conn, 1, k.code, 1, []xproto.Keysym{symbol}).Check(); err != nil {
		return key{}, fmt.Errorf("give the keyboard a key for %#x: %w", symbol, err)
	}
	d.spare, d.keys[symbol] = d.spare[1:], k
	return k, nil
}

// A window is a visible top-level window.
type window struct {
	id    xproto.Window
	title string
}

// windows gives the visible windows with a title, the topmost last.
func (d *display) windows() ([]window, error) {
	tree, err := xproto.QueryTree(d.conn, d.root).Reply()
	if err != nil {
		return nil, err
	}
	name, err := xproto.InternAtom(d.conn, false, uint16(len("_NET_WM_NAME")), "_NET_WM_NAME").Reply()
	if err != nil {
		return nil, err
	}
	var out []window
	for _, id := range tree.Children {
		attributes, err := xproto.GetWindowAttributes(d.conn, id).Reply()
		if err != nil || attributes.MapState != xproto.MapStateViewable {
			continue // it may have gone meanwhile
		}
		title, err := xproto.GetProperty(d.conn, false, id, name.Atom, xproto.GetPropertyTypeAny, 0, 256).Reply()
		if err != nil || len(title.Value) == 0 {
			continue
		}
		out = append(out, window{id, string(title.Value)})
	}
	return out, nil
}

// focus gives the keyboard to a window; there is no window manager to do so.
func (d *display) focus(id xproto.Window) error {
	return xproto.SetInputFocusChecked(d.conn, xproto.InputFocusPointerRoot, id, xproto.TimeCurrentTime).Check()
}

// screenshot writes the whole screen as a PNG file.
func (d *display) screenshot(file string) error {
	geometry, err := xproto.GetGeometry(d.conn, xproto.Drawable(d.root)).Reply()
	if err != nil {
		return err
	}
	shot, err := xproto.GetImage(d.conn, xproto.ImageFormatZPixmap, xproto.Drawable(d.root), 0, 0, geometry.Width, geometry.Height, ^uint32(0)).Reply()
	if err != nil {
		return err
	}
	img := image.NewRGBA(image.Rect(0, 0, int(geometry.Width), int(geometry.Height)))
	if len(shot.Data) != len(img.Pix) {
		return errors.New("the screen is not 32 bits a pixel")
	}
	for i := 0; i < len(shot.Data); i += 4 { // BGRX
		img.Pix[i], img.Pix[i+1], img.Pix[i+2], img.Pix[i+3] = shot.Data[i+2], shot.Data[i+1], shot.Data[i], 255
	}
	f, err := os.Create(file)
	if err != nil {
		return err
	}
	return errors.Join(png.Encode(f, img), f.Close())
}

// StartDisplay starts a private X server for a program other than X2Go Client,
// and gives its name, ":7".
func StartDisplay(ctx context.Context) (name string, stop func(), err error) {
	d, err := startDisplay(ctx)
	if err != nil {
		return "", nil, err
	}
	return d.name, d.close, nil
}
