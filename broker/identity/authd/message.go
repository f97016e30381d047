package authd

import (
	"errors"
	"fmt"
	"io"
	"math"
	"strings"
	"unicode"
	"unicode/utf8"
)

// MaxMessage bounds a message in bytes, without its length: a user may be in
// thousands of groups.
const MaxMessage = 64 << 10

// Bounds of fields in bytes. The broker refuses longer names and passwords long
// before.
const (
	maxName     = 255
	maxPassword = 1024
	maxText     = 4096
)

// kind says what a message is.
type kind byte

// Messages of the broker, then those of the helper.
const (
	kindAuthenticate kind = 1
	kindLookup       kind = 2
	kindChange       kind = 3
	kindAnswer       kind = 4
	kindGoOn         kind = 5

	kindPrompt  kind = 16
	kindConfirm kind = 17
	kindResult  kind = 18
)

// Request is what the broker wants to know: is this the password of that user
// (authenticate), who is that user (lookup), or change his password (change).
type Request struct {
	kind kind

	Name     string // as typed, or canonical for a lookup
	Password string // of authenticate and change; "" for one that is asked for by a prompt
	New      string // of change: the password to be
	Address  string // of the client, for PAM_RHOST; "" for none
	Converse bool   // of authenticate: prompts can be answered
}

// Style says what a prompt is.
type Style byte

// Styles of prompts. The last two want no answer.
const (
	EchoOff   Style = 1 // asks for a secret
	EchoOn    Style = 2 // asks for something that may be seen
	Info      Style = 3
	ErrorText Style = 4
)

// asks says whether the prompt is to be answered.
func (s Style) asks() bool { return s == EchoOff || s == EchoOn }

// prompt is something that a module says or asks.
type prompt struct {
	style Style
	text  string
}

// answer is what was asked for. An answer that is not ok ends the conversation.
type answer struct {
	ok   bool
	text string
}

// goOn says that a password may be changed, or not.
type goOn bool

// User is what NSS knows.
type User struct {
	Name   string // canonical, as getpwnam(3) gives it
	UID    uint32
	Home   string
	Groups []string // names, as initgroups(3) would set them
}

// confirm says who wants to change his password, which he has proved.
type confirm User

// Code says how a request ended.
type Code byte

// How a request ends. Expired and MustChange are said to whoever gave the right
// password, or by a lookup.
const (
	OK         Code = 1
	Wrong      Code = 2 // not his password
	Unknown    Code = 3 // NSS does not know the name
	Expired    Code = 4 // the account is expired or locked
	MustChange Code = 5 // before he may log in
	Refused    Code = 6 // the new password; Text says why
	NeedsMore  Code = 7 // PAM asks for more than a password
	Busy       Code = 8 // nothing was looked at
	Failed     Code = 9 // Text says why, for a log
	lastCode        = Failed
)

// Result is the answer to a request.
type Result struct {
	Code  Code
	User  User   // with OK
	Delay uint32 // microseconds that PAM wants to pass before the user hears of it
	Text  string // why a password was refused, or what failed; never a secret
}

var errMalformed = errors.New("malformed message")

// encode gives a message without its length.
func encode(message any) ([]byte, error) {
	var e encoder
	switch m := message.(type) {
	case Request:
		e.byte(byte(m.kind))
		e.text(m.Name)
		switch m.kind {
		case kindAuthenticate:
			e.text(m.Password)
			e.text(m.Address)
			e.bool(m.Converse)
		case kindChange:
			e.text(m.Password)
			e.text(m.New)
			e.text(m.Address)
		}
	case answer:
		e.byte(byte(kindAnswer))
		e.bool(m.ok)
		e.text(m.text)
	case goOn:
		e.byte(byte(kindGoOn))
		e.bool(bool(m))
	case prompt:
		e.byte(byte(kindPrompt))
		e.byte(byte(m.style))
		e.text(m.text)
	case confirm:
		e.byte(byte(kindConfirm))
		e.user(User(m))
	case Result:
		e.byte(byte(kindResult))
		e.byte(byte(m.Code))
		e.user(m.User)
		e.number(m.Delay)
		e.text(m.Text)
	default:
		return nil, fmt.Errorf("%T is no message", message)
	}
	if e.err == nil && len(e.b) > MaxMessage {
		e.err = fmt.Errorf("message of %d bytes, at most %d can be sent", len(e.b), MaxMessage)
	}
	return e.b, e.err
}

// decode reads a message. What it returns encodes to the same bytes again.
func decode(b []byte) (any, error) {
	d := decoder{b: b}
	var message any
	switch k := kind(d.byte()); k {
	case kindAuthenticate:
		message = Request{kind: k, Name: d.word(maxName), Password: d.text(maxPassword), Address: d.word(maxName), Converse: d.bool()}
	case kindLookup:
		message = Request{kind: k, Name: d.word(maxName)}
	case kindChange:
		message = Request{kind: k, Name: d.word(maxName), Password: d.text(maxPassword), New: d.text(maxPassword), Address: d.word(maxName)}
	case kindAnswer:
		message = answer{ok: d.bool(), text: d.text(maxPassword)}
	case kindGoOn:
		message = goOn(d.bool())
	case kindPrompt:
		m := prompt{style: Style(d.byte()), text: d.text(maxText)}
		d.bad = d.bad || m.style < EchoOff || m.style > ErrorText
		message = m
	case kindConfirm:
		message = confirm(d.user())
	case kindResult:
		m := Result{Code: Code(d.byte()), User: d.user(), Delay: d.number(), Text: d.text(maxText)}
		d.bad = d.bad || m.Code < OK || m.Code > lastCode
		message = m
	default:
		return nil, errMalformed
	}
	if d.bad || len(d.b) > 0 {
		return nil, errMalformed
	}
	return message, nil
}

// read reads one message, and not a byte more.
func read(r io.Reader) (any, error) {
	var head [4]byte
	if _, err := io.ReadFull(r, head[:]); err != nil {
		return nil, err
	}
	n := uint32(head[0])<<24 | uint32(head[1])<<16 | uint32(head[2])<<8 | uint32(head[3])
	if n == 0 || n > MaxMessage {
		return nil, errMalformed
	}
	b := make([]byte, n)
	if _, err := io.ReadFull(r, b); err != nil {
		if errors.Is(err, io.EOF) {
			err = io.ErrUnexpectedEOF
		}
		return nil, err
	}
	return decode(b)
}

// write sends one message with one call, so that it is sent whole or not.
func write(w io.Writer, message any) error {
	b, err := encode(message)
	if err != nil {
		return err
	}
	n := len(b)
	_, err = w.Write(append([]byte{byte(n >> 24), byte(n >> 16), byte(n >> 8), byte(n)}, b...))
	return err
}

type encoder struct {
	b   []byte
	err error
}

func (e *encoder) byte(b byte) { e.b = append(e.b, b) }

func (e *encoder) bool(b bool) {
	if b {
		e.byte(1)
	} else {
		e.byte(0)
	}
}

func (e *encoder) number(n uint32) {
	e.b = append(e.b, byte(n>>24), byte(n>>16), byte(n>>8), byte(n))
}

func (e *encoder) size(n int) {
	if n > math.MaxUint16 {
		e.err = fmt.Errorf("a field has %d bytes or entries, at most %d can be sent", n, math.MaxUint16)
	}
	e.b = append(e.b, byte(n>>8), byte(n))
}

func (e *encoder) text(s string) {
	e.size(len(s))
	e.b = append(e.b, s...)
}

func (e *encoder) user(u User) {
	e.text(u.Name)
	e.number(u.UID)
	e.text(u.Home)
	e.size(len(u.Groups))
	for _, g := range u.Groups {
		e.text(g)
	}
}

// A decoder takes fields off b until one is bad.
type decoder struct {
	b   []byte
	bad bool
}

func (d *decoder) take(n int) []byte {
	if d.bad || n > len(d.b) {
		d.bad = true
		return make([]byte, min(n, 4))
	}
	taken := d.b[:n]
	d.b = d.b[n:]
	return taken
}

func (d *decoder) byte() byte { return d.take(1)[0] }

func (d *decoder) bool() bool {
	b := d.byte()
	d.bad = d.bad || b > 1
	return b == 1
}

func (d *decoder) number() uint32 {
	b := d.take(4)
	return uint32(b[0])<<24 | uint32(b[1])<<16 | uint32(b[2])<<8 | uint32(b[3])
}

func (d *decoder) size() int {
	b := d.take(2)
	return int(b[0])<<8 | int(b[1])
}

// text is UTF-8 without NUL, at which a C program would stop.
func (d *decoder) text(most int) string {
	n := d.size()
	if n > most {
		d.bad = true
		return ""
	}
	s := string(d.take(n))
	if d.bad || !utf8.ValidString(s) || strings.IndexByte(s, 0) >= 0 {
		d.bad = true
		return ""
	}
	return s
}

// word is text without control characters.
func (d *decoder) word(most int) string {
	s := d.text(most)
	if strings.ContainsFunc(s, unicode.IsControl) {
		d.bad = true
	}
	return s
}

func (d *decoder) user() User {
	u := User{Name: d.word(maxName), UID: d.number(), Home: d.word(maxText)}
	for range d.size() {
		g := d.word(maxName)
		if d.bad {
			break
		}
		u.Groups = append(u.Groups, g)
	}
	return u
}
