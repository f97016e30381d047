package verify

import (
	"bytes"
	"crypto/sha256"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"maps"
	"slices"
	"time"

	openpgp "github.com/ProtonMail/go-crypto/openpgp/v2"
)

// Digest tells rules apart: a SHA-256 in hex over all that they say, with whole
// keys, and so with what a key says of its own revocation or end.
func (r Rules) Digest() string {
	said := struct {
		Since        string
		AllowRewrite bool
		Signers      []any
		Forges       []any
		Revoked      []string
		Paths        []PathRule
	}{Since: r.Since.String(), AllowRewrite: r.AllowRewrite, Revoked: r.Revoked, Paths: r.Paths}
	for _, s := range r.Signers {
		// Seconds, because a time may have a zone or a year that JSON cannot have.
		begin, end := s.ValidAfter.Unix(), s.ValidBefore.Unix()
		held := s.Keys.texts()
		s.Keys, s.ValidAfter, s.ValidBefore = Keys{}, time.Time{}, time.Time{}
		said.Signers = append(said.Signers, []any{s, begin, end, held})
	}
	for _, f := range r.Forges {
		held := f.Keys.texts()
		f.Keys = Keys{}
		said.Forges = append(said.Forges, []any{f, held})
	}
	text, err := json.Marshal(said)
	if err != nil {
		panic(err) // texts and numbers always have JSON
	}
	return fmt.Sprintf("%x", sha256.Sum256(text))
}

// texts gives the keys as text, each with all that belongs to it.
func (k Keys) texts() []string {
	var out []string
	for _, key := range k.SSH {
		out = append(out, base64.StdEncoding.EncodeToString(key.Marshal()))
	}
	for _, e := range k.OpenPGP {
		out = append(out, base64.StdEncoding.EncodeToString(packets(e)))
	}
	return out
}

// packets gives an OpenPGP key as bytes that are the same each time: the library
// writes the identities in no order.
func packets(e *openpgp.Entity) []byte {
	var b bytes.Buffer
	rest := *e
	rest.Identities = nil
	err := rest.Serialize(&b)
	for _, name := range slices.Sorted(maps.Keys(e.Identities)) {
		if err == nil {
			err = e.Identities[name].Serialize(&b)
		}
	}
	if err != nil { // then what makes the key known has to do
		fmt.Fprint(&b, err, fingerprints(e))
	}
	return b.Bytes()
}
