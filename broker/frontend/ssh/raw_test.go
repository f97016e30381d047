package ssh

import (
	"bufio"
	"bytes"
	"crypto/aes"
	"crypto/cipher"
	"crypto/ecdh"
	"crypto/rand"
	"crypto/sha256"
	"encoding/binary"
	"errors"
	"io"
	"math/big"
	"net"
	"testing"
	"time"

	"golang.org/x/crypto/ssh"
)

// Numbers of messages (RFC 4253, 4252, 4254).
const (
	msgUnimplemented    = 3
	msgServiceRequest   = 5
	msgServiceAccept    = 6
	msgKexInit          = 20
	msgNewKeys          = 21
	msgKexECDHInit      = 30
	msgKexECDHReply     = 31
	msgAuthRequest      = 50
	msgAuthFailure      = 51
	msgAuthSuccess      = 52
	msgAuthPubKeyOK     = 60
	msgAuthInfoRequest  = 60
	msgAuthInfoResponse = 61
	msgGlobalRequest    = 80
	msgChannelOpen      = 90
	msgChannelConfirm   = 91
	msgChannelData      = 94
	msgChannelClose     = 97
	msgChannelRequest   = 98
	msgChannelFailure   = 100
)

// A raw is a client that sends what no client would: packet by packet, in any
// order. It checks nothing about the server.
type raw struct {
	t    *testing.T
	conn net.Conn
	r    *bufio.Reader

	session           []byte      // its id
	in, out           cipher.AEAD // nil before the keys are agreed
	inNonce, outNonce []byte
}

// dialRaw connects, and agrees keys.
func dialRaw(t *testing.T, addr string) *raw {
	t.Helper()
	conn, err := net.Dial("tcp", addr)
	check(t, err)
	t.Cleanup(func() { conn.Close() })
	check(t, conn.SetDeadline(time.Now().Add(deadline)))
	c := &raw{t: t, conn: conn, r: bufio.NewReader(conn)}
	c.handshake()
	return c
}

func (c *raw) handshake() {
	c.t.Helper()
	const mine = "SSH-2.0-raw"
	_, err := io.WriteString(c.conn, mine+"\r\n")
	check(c.t, err)
	theirs, err := c.r.ReadString('\n')
	check(c.t, err)
	init := append([]byte{msgKexInit}, make([]byte, 16)...)
	for _, list := range []string{
		"curve25519-sha256", "ssh-ed25519", "aes128-gcm@openssh.com", "aes128-gcm@openssh.com", "hmac-sha2-256", "hmac-sha2-256", "none", "none", "", "",
	} {
		init = appendString(init, []byte(list))
	}
	init = append(init, 0, 0, 0, 0, 0)
	c.send(init)
	serverInit := c.expect(msgKexInit)
	key, err := ecdh.X25519().GenerateKey(rand.Reader)
	check(c.t, err)
	public := key.PublicKey().Bytes()
	c.send(appendString([]byte{msgKexECDHInit}, public))
	reply := c.expect(msgKexECDHReply)
	var m struct{ HostKey, Public, Signature []byte }
	check(c.t, ssh.Unmarshal(reply[1:], &m))
	peer, err := ecdh.X25519().NewPublicKey(m.Public)
	check(c.t, err)
	shared, err := key.ECDH(peer)
	check(c.t, err)
	k := ssh.Marshal(struct{ K *big.Int }{new(big.Int).SetBytes(shared)})
	var text []byte
	for _, part := range [][]byte{[]byte(mine), bytes.TrimSpace([]byte(theirs)), init, serverInit, m.HostKey, public, m.Public} {
		text = appendString(text, part)
	}
	h := sha256.Sum256(append(text, k...))
	c.session = h[:]
	derive := func(letter byte, n int) []byte {
		sum := sha256.Sum256(append(append(append(bytes.Clone(k), h[:]...), letter), h[:]...))
		return sum[:n]
	}
	aead := func(letter byte) cipher.AEAD {
		block, err := aes.NewCipher(derive(letter, 16))
		check(c.t, err)
		gcm, err := cipher.NewGCM(block)
		check(c.t, err)
		return gcm
	}
	c.send([]byte{msgNewKeys})
	c.expect(msgNewKeys)
	c.out, c.outNonce = aead('C'), derive('A', 12)
	c.in, c.inNonce = aead('D'), derive('B', 12)
}

// send sends one packet; errors show when the answer is missing.
func (c *raw) send(payload []byte) { _, _ = c.conn.Write(c.seal(payload)) }

// sendAll sends packets in one piece.
func (c *raw) sendAll(payloads ...[]byte) {
	var all []byte
	for _, p := range payloads {
		all = append(all, c.seal(p)...)
	}
	_, _ = c.conn.Write(all)
}

func (c *raw) seal(payload []byte) []byte {
	block, clear := 16, 0
	if c.out == nil {
		block, clear = 8, 4 // the length counts
	}
	padding := block - (clear+1+len(payload))%block
	if padding < 4 {
		padding += block
	}
	packet := append([]byte{byte(padding)}, payload...)
	packet = append(packet, make([]byte, padding)...)
	length := binary.BigEndian.AppendUint32(nil, uint32(len(packet)))
	if c.out == nil {
		return append(length, packet...)
	}
	sealed := c.out.Seal(length, c.outNonce, packet, length)
	next(c.outNonce)
	return sealed
}

// receive gives the next packet, and the error when the connection has ended.
func (c *raw) receive() ([]byte, error) {
	length := make([]byte, 4)
	if _, err := io.ReadFull(c.r, length); err != nil {
		return nil, err
	}
	n := binary.BigEndian.Uint32(length)
	if c.in != nil {
		n += 16
	}
	packet := make([]byte, n)
	if _, err := io.ReadFull(c.r, packet); err != nil {
		return nil, err
	}
	if c.in != nil {
		var err error
		if packet, err = c.in.Open(nil, c.inNonce, packet, length); err != nil {
			return nil, err
		}
		next(c.inNonce)
	}
	return packet[1 : len(packet)-int(packet[0])], nil
}

// expect gives the next packet that is of this kind. Others are passed over.
func (c *raw) expect(message byte) []byte {
	c.t.Helper()
	for {
		p, err := c.receive()
		if err != nil {
			c.t.Fatalf("no message %d: %v", message, err)
		}
		if p[0] == message {
			return p
		}
	}
}

// ended waits until the server ends the connection.
func (c *raw) ended() {
	c.t.Helper()
	for {
		_, err := c.receive()
		if timeout := net.Error(nil); errors.As(err, &timeout) && timeout.Timeout() {
			c.t.Fatal("the server keeps the connection")
		}
		if err != nil {
			return
		}
	}
}

// begin asks for the login.
func (c *raw) begin() {
	c.send(appendString([]byte{msgServiceRequest}, []byte("ssh-userauth")))
	c.expect(msgServiceAccept)
}

// auth is a step of a login.
func auth(user, method string, rest ...[]byte) []byte {
	p := []byte{msgAuthRequest}
	for _, s := range []string{user, "ssh-connection", method} {
		p = appendString(p, []byte(s))
	}
	return append(p, bytes.Join(rest, nil)...)
}

func passwordStep(user, password string) []byte {
	return auth(user, "password", appendString([]byte{0}, []byte(password)))
}

// askKey asks whether a key would do, and does not sign.
func askKey(user string, key ssh.PublicKey) []byte {
	return auth(user, "publickey", appendString(appendString([]byte{0}, []byte(key.Type())), key.Marshal()))
}

// signedStep logs in with an RSA key, without asking whether it would do.
func (c *raw) signedStep(user string, key ssh.Signer) []byte {
	c.t.Helper()
	p := auth(user, "publickey", appendString(appendString([]byte{1}, []byte(ssh.KeyAlgoRSASHA256)), key.PublicKey().Marshal()))
	signature, err := key.(ssh.AlgorithmSigner).SignWithAlgorithm(rand.Reader, append(appendString(nil, c.session), p...), ssh.KeyAlgoRSASHA256)
	check(c.t, err)
	return appendString(p, ssh.Marshal(signature))
}

// login logs in with a password.
func (c *raw) login(user, password string) {
	c.t.Helper()
	c.begin()
	c.send(passwordStep(user, password))
	c.expect(msgAuthSuccess)
}

// openSession is a channel, by the client's number, with a window.
func openSession(number, window uint32) []byte {
	p := appendString([]byte{msgChannelOpen}, []byte("session"))
	p = binary.BigEndian.AppendUint32(p, number)
	p = binary.BigEndian.AppendUint32(p, window)
	return binary.BigEndian.AppendUint32(p, 32<<10)
}

// execRequest is on a channel, by the server's number.
func execRequest(number uint32, line string) []byte {
	p := binary.BigEndian.AppendUint32([]byte{msgChannelRequest}, number)
	p = append(appendString(p, []byte("exec")), 1)
	return appendString(p, []byte(line))
}

func appendString(b, s []byte) []byte {
	return append(binary.BigEndian.AppendUint32(b, uint32(len(s))), s...)
}

// next counts the invocations of a cipher (RFC 5647).
func next(nonce []byte) {
	for i := len(nonce) - 1; i >= 4; i-- {
		if nonce[i]++; nonce[i] != 0 {
			return
		}
	}
}
