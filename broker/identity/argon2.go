package identity

import (
	"crypto/subtle"
	"encoding/base64"
	"errors"
	"fmt"
	"io"
	"strings"

	"golang.org/x/crypto/argon2"
)

// Bounds of argon2id hashes. What a login may cost is set by whoever writes
// broker.cue, but a slip of his must not take the machine.
const (
	maxArgonMemory  = 256 << 10 // KiB
	maxArgonTime    = 64
	maxArgonThreads = 16
	maxArgonWork    = 1 << 20 // memory in KiB times passes: 1 GiB to be filled, about a second

	// hashMemory in KiB is what all hashes of one Static that are computed at
	// once may take.
	hashMemory = maxArgonMemory
)

// argonSetting is what an argon2id hash costs.
type argonSetting struct {
	memory  uint32 // KiB
	time    uint32 // passes
	threads uint8
	length  uint32 // of the digest in bytes
}

// newArgon is the second recommended option of RFC 9106 section 4: about a quarter
// of a second on a small server, as [DefaultCost] is.
var newArgon = argonSetting{memory: 64 << 10, time: 3, threads: 4, length: 32}

// enoughArgon are the least settings of OWASP's Password Storage Cheat Sheet
// (https://cheatsheetseries.owasp.org/cheatsheets/Password_Storage_Cheat_Sheet.html):
// each is as strong as the others.
var enoughArgon = []argonSetting{
	{memory: 47104, time: 1},
	{memory: 19456, time: 2},
	{memory: 12288, time: 3},
	{memory: 9216, time: 4},
	{memory: 7168, time: 5},
}

func (s argonSetting) weak() bool {
	for _, e := range enoughArgon {
		if s.memory >= e.memory && s.time >= e.time {
			return false
		}
	}
	return true
}

func (s argonSetting) String() string {
	return fmt.Sprintf("m=%d,t=%d,p=%d", s.memory, s.time, s.threads)
}

// sum computes a digest.
func (s argonSetting) sum(password string, salt []byte) []byte {
	return argon2.IDKey([]byte(password), salt, s.time, s.memory, s.threads, s.length)
}

// argonHash is a parsed "$argon2id$v=19$m=..,t=..,p=..$salt$digest".
type argonHash struct {
	argonSetting
	salt, digest []byte
}

// isArgon reports whether a hash says that it is argon2id.
func isArgon(hash string) bool { return strings.HasPrefix(hash, "$argon2id$") }

// parseArgon reads the string form that the reference implementation prints. It
// takes nothing else: a hash that two programs read differently is none.
func parseArgon(hash string) (argonHash, error) {
	var h argonHash
	parts := strings.Split(hash, "$")
	if len(parts) != 6 || parts[0] != "" || parts[1] != "argon2id" {
		return h, errors.New("want $argon2id$v=19$m=..,t=..,p=..$salt$digest")
	}
	if parts[2] != fmt.Sprintf("v=%d", argon2.Version) {
		return h, fmt.Errorf("want version v=%d", argon2.Version)
	}
	// What does not print as it was written has signs, blanks, zeros in front
	// or something behind.
	if _, err := fmt.Sscanf(parts[3], "m=%d,t=%d,p=%d", &h.memory, &h.time, &h.threads); err != nil || h.String() != parts[3] {
		return h, errors.New("want m=..,t=..,p=.. as whole numbers")
	}
	var err error
	if h.salt, err = unbase64(parts[4]); err != nil || len(h.salt) < 8 || len(h.salt) > 64 {
		return h, errors.New("want a salt of 8 to 64 bytes in base64 without padding")
	}
	if h.digest, err = unbase64(parts[5]); err != nil || len(h.digest) < 16 || len(h.digest) > 64 {
		return h, errors.New("want a digest of 16 to 64 bytes in base64 without padding")
	}
	h.length = uint32(len(h.digest))
	switch {
	case h.threads < 1 || h.threads > maxArgonThreads:
		return h, fmt.Errorf("p=%d: want 1 to %d", h.threads, maxArgonThreads)
	case h.memory < 8*uint32(h.threads) || h.memory > maxArgonMemory:
		return h, fmt.Errorf("m=%d: want %d to %d KiB", h.memory, 8*int(h.threads), maxArgonMemory)
	case h.time < 1 || h.time > maxArgonTime || h.memory*h.time > maxArgonWork:
		return h, fmt.Errorf("t=%d with m=%d: a login would take too long, want a product of at most %d", h.time, h.memory, maxArgonWork)
	}
	return h, nil
}

func unbase64(s string) ([]byte, error) {
	b, err := base64.RawStdEncoding.Strict().DecodeString(s)
	if err == nil && base64.RawStdEncoding.EncodeToString(b) != s {
		err = errors.New("line ends") // which the decoder skips
	}
	return b, err
}

func (h argonHash) text() string {
	b64 := base64.RawStdEncoding.EncodeToString
	return fmt.Sprintf("$argon2id$v=%d$%s$%s$%s", argon2.Version, h.argonSetting, b64(h.salt), b64(h.digest))
}

// matches computes the digest by sum, which costs the same whatever comes out.
func (h argonHash) matches(password string, sum argonFunc) bool {
	return subtle.ConstantTimeCompare(sum(h.argonSetting, password, h.salt), h.digest) == 1
}

// argonFunc is argonSetting.sum; tests count.
type argonFunc func(s argonSetting, password string, salt []byte) []byte

// HashArgon2id returns an argon2id hash for the password of a static user, of
// at most 1024 bytes. rand gives the salt. It refuses passwords that could not
// be used to log in, as [HashPassword] does.
func HashArgon2id(password string, rand io.Reader) (string, error) {
	switch {
	case password == "":
		return "", errors.New("the password is empty")
	case len(password) > maxPassword:
		return "", fmt.Errorf("the password has %d bytes, want at most %d", len(password), maxPassword)
	case !printable(password):
		return "", errors.New("the password has control characters or is not UTF-8")
	}
	h := argonHash{argonSetting: newArgon, salt: make([]byte, 16)}
	if _, err := io.ReadFull(rand, h.salt); err != nil {
		return "", fmt.Errorf("hash the password: %w", err)
	}
	h.digest = h.sum(password, h.salt)
	return h.text(), nil
}
