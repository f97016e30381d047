package ssh

import (
	"reflect"

	"golang.org/x/crypto/ssh"
)

// queueOf gives the queue of 16 packets that x/crypto/ssh (v0.58.0) has between
// the goroutine that reads a connection and the one that acts on the packets. The
// library does not show it, and forgets it: when a connection ends while the queue
// is full and one more packet is there, as behind a bad one, what reads waits
// for ever for what acts, with all its memory, and before a login anybody can have
// it so. Whoever closes a connection must take out what is left in the queue.
//
// It panics if a release of the library has another queue; each login would.
func queueOf(c ssh.ServerPreAuthConn) <-chan []byte {
	queue := reflect.ValueOf(c).Elem().FieldByName("transport").Elem().Elem().FieldByName("incoming")
	if queue.Type() != reflect.TypeFor[chan []byte]() {
		panic("golang.org/x/crypto/ssh has another queue of packets")
	}
	return *(*chan []byte)(queue.Addr().UnsafePointer())
}
