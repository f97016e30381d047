package identity

import (
	"errors"
	"fmt"

	"golang.org/x/crypto/bcrypt"
)

const (
	// DefaultCost is the bcrypt cost for new passwords: about a quarter of a
	// second on a small server of 2025.
	DefaultCost = 12

	// maxBcrypt is the longest password in bytes that bcrypt uses.
	maxBcrypt = 72

	weakCost = 10 // below it, warn
	slowCost = 15 // above it, warn: every attempt takes seconds
)

// HashPassword returns a bcrypt hash ($2a$) for the password of a static user.
// cost is the logarithm of the number of rounds, 4 to 31.
//
// It refuses passwords that could not be used to log in or that another tool
// would understand differently: empty ones, ones of more than 72 bytes (bcrypt
// ignores the rest), ones with control characters (no frontend lets them in,
// and C programs stop at a NUL), and ones that are not UTF-8.
func HashPassword(password string, cost int) (string, error) {
	switch {
	case password == "":
		return "", errors.New("the password is empty")
	case len(password) > maxBcrypt:
		return "", fmt.Errorf("the password has %d bytes, bcrypt uses at most %d", len(password), maxBcrypt)
	case !printable(password):
		return "", errors.New("the password has control characters or is not UTF-8")
	case cost < bcrypt.MinCost || cost > bcrypt.MaxCost:
		return "", fmt.Errorf("cost %d: want %d to %d", cost, bcrypt.MinCost, bcrypt.MaxCost)
	}
	hash, err := bcrypt.GenerateFromPassword([]byte(password), cost)
	if err != nil {
		return "", fmt.Errorf("hash the password: %w", err)
	}
	return string(hash), nil
}

// bcryptCost returns the cost of a hash, and whether it is one that can be
// checked: $2a$, $2b$ or $2y$, two digits, $, and 53 letters of salt and digest
// (crypt(5)). The library is laxer: it accepts other versions, trailing bytes
// and letters that no hash has.
func bcryptCost(hash string) (int, bool) {
	const prefix, length = len("$2y$10$"), 60
	if len(hash) != length || hash[:2] != "$2" || hash[3] != '$' || hash[6] != '$' {
		return 0, false
	}
	if v := hash[2]; v != 'a' && v != 'b' && v != 'y' {
		return 0, false
	}
	tens, ones := hash[4], hash[5]
	if tens < '0' || tens > '9' || ones < '0' || ones > '9' {
		return 0, false
	}
	for _, c := range []byte(hash[prefix:]) {
		if !isBcryptLetter(c) {
			return 0, false
		}
	}
	cost := int(tens-'0')*10 + int(ones-'0')
	return cost, cost >= bcrypt.MinCost && cost <= bcrypt.MaxCost
}

func isBcryptLetter(c byte) bool {
	return c == '.' || c == '/' ||
		'0' <= c && c <= '9' || 'A' <= c && c <= 'Z' || 'a' <= c && c <= 'z'
}

// decoyHash is a hash of no known password that takes as long to check as any
// of its cost. Nobody's login depends on what comes out.
func decoyHash(cost int) []byte {
	const salt, digest = "eDJicm9rZXIgZGVjb3kuOO", "0000000000000000000000000000000"
	return fmt.Appendf(nil, "$2b$%02d$%s%s", cost, salt, digest)
}
