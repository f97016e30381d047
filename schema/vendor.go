package schema

import (
	"crypto/sha256"
	_ "embed"
	"encoding/hex"
	"slices"
	"strings"
)

// Where a site keeps its copies of the schema and of the bindings, for plain
// cue and for editors.
const (
	VendoredDir     = "cue.mod/pkg/" + ImportPath
	VendoredSchema  = VendoredDir + "/schema.cue"
	VendoredBinding = "x2broker.cue"
)

//go:embed vendored/x2broker.cue
var vendoredBindingSource []byte

// vendoredDigests are those of every x2broker.cue that x2broker ever wrote, a
// line each: the SHA-256, a space, anything.
//
//go:embed vendored/digests
var vendoredDigests string

// Vendored gives the files that plain cue needs in a site, by path in the site.
// The broker never reads them in place of its own. The caller owns the result.
func Vendored() map[string][]byte {
	return map[string][]byte{
		VendoredSchema:  slices.Clone(schemaSource),
		VendoredBinding: slices.Clone(vendoredBindingSource),
	}
}

// WroteBinding reports whether the text is that of an x2broker.cue as this or an
// earlier x2broker wrote it, so that nothing of an admin's is lost with it.
func WroteBinding(source []byte) bool {
	sum := sha256.Sum256(source)
	digest := hex.EncodeToString(sum[:])
	for line := range strings.Lines(vendoredDigests) {
		if known, _, _ := strings.Cut(strings.TrimSpace(line), " "); known == digest {
			return true
		}
	}
	return false
}
