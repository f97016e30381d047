package identity

import (
	"crypto/sha256"
	"encoding/binary"
	"errors"
	"fmt"
	"hash/crc32"
	"io/fs"
	"os"
	"path/filepath"
	"time"

	"github.com/x2broker/x2broker/broker/durable"
)

// What the broker must remember about tickets is a sequence of marks. They are
// applied in the order in which they were made, at once in memory and at the
// next start from a file.
//
// The file begins with marksHeader; each mark is a record of 64 bytes:
//
//	kind        1 byte
//	zeros       3 bytes
//	generation  4 bytes
//	chain       16 bytes, or the digest of a password hash
//	user        16 bytes, a digest: no names are kept
//	login       8 bytes, seconds since 1970 UTC
//	minted      8 bytes, seconds since 1970 UTC, rounded up
//	zeros       4 bytes
//	checksum    4 bytes, CRC-32C of all before
//
// Numbers are big endian.
type mark struct {
	kind       markKind
	chain      chainID
	user       userID
	login      int64
	minted     int64
	generation uint32
}

type markKind byte

const (
	markChain  markKind = 'c' // the chain lives and has come to this generation
	markRevoke markKind = 'r' // the chain has ended, and what is unknown of the user and not newer
	markUser   markKind = 'u' // all chains of the user have ended, and what is unknown and not newer than login
	markFloor  markKind = 'f' // all that is not newer than login has ended
	markHash   markKind = 'h' // the digest of the user's password hash; zero: he has none any more
)

const (
	marksFile     = "ticket.marks"
	marksFileTemp = ".ticket.marks.new"
	markSize      = 64
	marksHeader   = "x2broker ticket marks, version 1: binary, do not edit. Secret.\n\n"

	// maxMarks bounds the file in bytes, if it cannot be made smaller.
	maxMarks = 256 << 20
)

var (
	errMarksMissing = errors.New("there are no marks")
	errMarksCorrupt = errors.New("the marks are damaged")

	// markTable is of a sum that processors compute themselves: each request
	// needs one.
	markTable = crc32.MakeTable(crc32.Castagnoli)
)

// userID stands for a canonical name of an authenticator.
type userID [16]byte

func newUserID(authenticator, canonical string) userID {
	sum := sha256.Sum256([]byte(authenticator + "\x00" + canonical))
	return userID(sum[:16])
}

func (m mark) append(b []byte) []byte {
	at := len(b)
	b = append(b, byte(m.kind), 0, 0, 0)
	b = binary.BigEndian.AppendUint32(b, m.generation)
	b = append(b, m.chain[:]...)
	b = append(b, m.user[:]...)
	b = binary.BigEndian.AppendUint64(b, uint64(m.login))
	b = binary.BigEndian.AppendUint64(b, uint64(m.minted))
	b = append(b, 0, 0, 0, 0)
	return binary.BigEndian.AppendUint32(b, crc32.Checksum(b[at:], markTable))
}

// decodeMark reads one record. It accepts exactly what append makes.
func decodeMark(b []byte) (m mark, ok bool) {
	m = mark{
		kind:       markKind(b[0]),
		chain:      chainID(b[8:24]),
		user:       userID(b[24:40]),
		login:      int64(binary.BigEndian.Uint64(b[40:])),
		minted:     int64(binary.BigEndian.Uint64(b[48:])),
		generation: binary.BigEndian.Uint32(b[4:]),
	}
	switch m.kind {
	case markChain, markRevoke, markUser, markFloor, markHash:
	default:
		return mark{}, false
	}
	if m.login < 0 || string(m.append(nil)) != string(b[:markSize]) {
		return mark{}, false
	}
	return m, true
}

// decodeMarks reads a file. Records that are damaged at its end, with no sound
// one behind them, were being written when the machine stopped: they are less
// than a second old, and torn says how many bytes they are. Damage anywhere else
// is errMarksCorrupt, and no mark can be relied on.
func decodeMarks(data []byte) (all []mark, torn int, err error) {
	if len(data) < len(marksHeader) || string(data[:len(marksHeader)]) != marksHeader {
		return nil, 0, fmt.Errorf("%w: not a file of marks that this version knows", errMarksCorrupt)
	}
	data = data[len(marksHeader):]
	all = make([]mark, 0, len(data)/markSize)
	for ; len(data) >= markSize; data = data[markSize:] {
		m, ok := decodeMark(data)
		switch {
		case !ok:
			torn += markSize
		case torn > 0:
			return nil, 0, fmt.Errorf("%w: record %d", errMarksCorrupt, len(all)+1)
		default:
			all = append(all, m)
		}
	}
	return all, torn + len(data), nil
}

// readMarks reads the marks of a state directory.
func readMarks(dir string) (all []mark, torn int, err error) {
	name := filepath.Join(dir, marksFile)
	info, err := os.Lstat(name)
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return nil, 0, errMarksMissing
	case err != nil:
		return nil, 0, err
	case !info.Mode().IsRegular(), info.Size() > 2*maxMarks:
		return nil, 0, fmt.Errorf("%w: not a file, or too large", errMarksCorrupt)
	case info.Mode()&0o022 != 0:
		return nil, 0, fmt.Errorf("%w: mode %v, so that others may have changed them", errMarksCorrupt, info.Mode())
	}
	data, err := os.ReadFile(name)
	if err != nil {
		return nil, 0, err
	}
	return decodeMarks(data)
}

// markWriter appends to the file. Its lock is that of the Tickets.
type markWriter struct {
	dir     string
	file    *os.File
	size    int64 // up to here the file is sound
	unsaved bool  // written since the last sync
	stale   bool  // memory knows something that could not be written
	room    []byte
}

// write appends the marks, so that they outlive this process; sync makes them
// outlive the machine. On an error none of them counts.
func (w *markWriter) write(marks ...mark) error {
	if w.size > maxMarks {
		return fmt.Errorf("%s has %d bytes and cannot be made smaller", marksFile, w.size)
	}
	w.room = w.room[:0]
	for _, m := range marks {
		w.room = m.append(w.room)
	}
	// What a failed write left behind is written over by the next.
	if _, err := w.file.WriteAt(w.room, w.size); err != nil {
		return err
	}
	w.size += int64(len(w.room))
	w.unsaved = true
	return nil
}

// newMarkFile writes the marks to a file beside the one in use, which it shall
// replace.
func newMarkFile(dir string, marks []mark) (*os.File, int64, error) {
	f, err := durable.Create(filepath.Join(dir, marksFileTemp))
	if err != nil {
		return nil, 0, err
	}
	b := append(make([]byte, 0, len(marksHeader)+len(marks)*markSize), marksHeader...)
	for _, m := range marks {
		b = m.append(b)
	}
	_, err = f.Write(b)
	if err == nil {
		err = f.Sync()
	}
	if err != nil {
		return nil, 0, errors.Join(err, f.Close(), os.Remove(f.Name()))
	}
	return f, int64(len(b)), nil
}

// openMarks replaces the file by one with these marks and opens it for writing.
func openMarks(dir string, marks []mark) (*markWriter, error) {
	f, size, err := newMarkFile(dir, marks)
	if err == nil {
		err = os.Rename(f.Name(), filepath.Join(dir, marksFile))
	}
	if err == nil {
		err = durable.SyncDir(dir)
	}
	if err != nil {
		return nil, fmt.Errorf("write the marks of tickets: %w", err)
	}
	return &markWriter{dir: dir, file: f, size: size}, nil
}

// mintedTime is the latest that the mark can mean: rounded up, so that a reply
// that was lost right before a restart can still be repeated for the whole grace.
func (m mark) mintedTime() time.Time { return time.Unix(m.minted, 0) }

func roundUp(t time.Time) int64 {
	if t.Nanosecond() > 0 {
		return t.Unix() + 1
	}
	return t.Unix()
}
