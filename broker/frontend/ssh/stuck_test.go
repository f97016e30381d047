package ssh

import (
	"bytes"
	"context"
	"crypto/rand"
	"crypto/rsa"
	"encoding/binary"
	"net"
	"runtime"
	"strings"
	"testing"
	"time"

	"golang.org/x/crypto/ssh"

	"github.com/x2broker/x2broker/broker/frontend/doortest"
	"github.com/x2broker/x2broker/broker/identity"
)

// A user fills a channel with what nobody wants, and runs commands to be allowed
// to send more.
func TestWhatIsSentOnAChannelIsNotKept(t *testing.T) {
	r := start(t, users(t))
	c := dialRaw(t, r.addr)
	c.login("alice", doortest.Password)
	c.send(openSession(0, 0))
	c.expect(msgChannelConfirm)
	before := heap()
	data := bytes.Repeat([]byte("x"), 32<<10)
	const pieces = 20
	for range pieces {
		c.send(appendString(binary.BigEndian.AppendUint32([]byte{msgChannelData}, 0), data))
		c.send(openSession(1, 1<<20))
		number := binary.BigEndian.Uint32(c.expect(msgChannelConfirm)[5:])
		c.send(execRequest(number, `echo "LOGIN OK"`))
		c.expect(msgChannelClose)
		c.send(binary.BigEndian.AppendUint32([]byte{msgChannelClose}, number))
	}
	if kept, sent := heap()-before, pieces*len(data); kept > sent/2 {
		t.Errorf("of %d bytes that were sent, the broker keeps %d", sent, kept)
	}
}

func heap() int {
	runtime.GC()
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	return int(m.HeapAlloc)
}

// A client that is asked for new keys makes none, and goes on asking for answers:
// these wait for the keys.
func TestWhoMakesNoNewKeysIsEnded(t *testing.T) {
	s := start(t, users(t), func(s *Server) { s.writeTime = 200 * time.Millisecond }).Server
	before := runtime.NumGoroutine()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	check(t, err)
	defer l.Close()
	go func() {
		nc, err := l.Accept()
		if err != nil {
			return
		}
		w := newWire(nc, s.writeTime, s.allowance)
		defer w.Close()
		config := &ssh.ServerConfig{NoClientAuth: true, PreAuthConnCallback: w.adopt}
		config.RekeyThreshold = 256 // bytes; usually 1 GiB
		config.AddHostKey(s.o.HostKeys.signers()[0])
		conn, channels, requests, err := ssh.NewServerConn(w, config)
		if err == nil {
			newConnection(s, w, conn, nil).serve(context.Background(), channels, requests)
		}
	}()
	c := dialRaw(t, l.Addr().String())
	c.begin()
	c.send(auth("alice", "none"))
	c.expect(msgAuthSuccess)
	for range 300 { // the first may be answered before the server asks
		c.send(append(appendString([]byte{msgGlobalRequest}, []byte("hello@example.org")), 1))
	}
	c.ended()
	c.conn.Close()
	(&running{Server: s}).settles(t, before)
}

// PAM has a message after the password.
func TestAMessageAfterALongPassword(t *testing.T) {
	p := newPerson()
	p.password = strings.Repeat("p", 254)
	p.talk = func(ask identity.Ask) error {
		_, err := ask(t.Context(), identity.Prompt{Text: "Your password expires soon", Message: true})
		return err
	}
	r := start(t, doortest.NewWith(t, doortest.Files{"site.cue": site}, p), func(s *Server) { s.o.Conversation = true })
	c := dialRaw(t, r.addr)
	c.begin()
	c.send(auth("alice", "keyboard-interactive", make([]byte, 8)))
	c.expect(msgAuthInfoRequest)
	c.send(appendString([]byte{msgAuthInfoResponse, 0, 0, 0, 1}, []byte(p.password)))
	c.expect(msgAuthInfoRequest)
	c.send([]byte{msgAuthInfoResponse, 0, 0, 0, 0})
	c.expect(msgAuthSuccess)
}

// What is behind a step that is signed at once must not be taken for looked at.
func TestAFullQueueBehindASignedStepLeavesNothing(t *testing.T) {
	private, err := rsa.GenerateKey(rand.Reader, 4096)
	check(t, err)
	key, err := ssh.NewSignerFromKey(private)
	check(t, err)
	r := start(t, users(t), withKeys(owners{"alice": key.PublicKey()}))
	before := runtime.NumGoroutine()
	flood := make([][]byte, 200)
	for i := range flood {
		flood[i] = []byte{msgUnimplemented, 0, 0, 0, 0}
	}
	for range 20 {
		c := dialRaw(t, r.addr)
		c.begin()
		c.sendAll(append([][]byte{c.signedStep("alice", key), {msgChannelOpen}}, flood...)...)
		c.ended()
		c.conn.Close()
	}
	r.unharmed(t)
	r.settles(t, before)
}

// A name without end comes in pieces: what was let pass of it before it was whole
// must not be counted once more for what is behind it.
func TestAFullQueueBehindALongStepLeavesNothing(t *testing.T) {
	r := start(t, users(t))
	before := runtime.NumGoroutine()
	flood := make([][]byte, 200)
	for i := range flood {
		flood[i] = []byte{msgUnimplemented, 0, 0, 0, 0}
	}
	answer := appendString([]byte{msgAuthInfoResponse, 0, 0, 0, 1}, []byte("x"))
	for i := range 100 {
		c := dialRaw(t, r.addr)
		c.begin()
		name := strings.Repeat("u", 300+20*i)
		if i%2 == 0 {
			c.sendAll(append([][]byte{auth(name, "none"), {msgAuthRequest}}, flood...)...)
		} else {
			c.sendAll(append([][]byte{auth(name, "keyboard-interactive", make([]byte, 8)), answer, {msgAuthRequest}}, flood...)...)
		}
		c.ended()
		c.conn.Close()
	}
	r.settles(t, before)
}
