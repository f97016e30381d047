package policy

import (
	"bytes"
	"crypto/sha256"
	"embed"
	"encoding/hex"
	"fmt"
	"maps"
	"path"
	"slices"
	"strings"
	"sync"

	"github.com/x2broker/x2broker/schema"
)

// libraryDir is where a site keeps its copy of the library.
const libraryDir = "policy/x2go_lib/"

// The files are named one by one: the library's tests stay out of the binary.
//
//go:embed x2go_lib/input.rego x2go_lib/placement_input.rego x2go_lib/sessions_input.rego
//go:embed x2go_lib/login.rego x2go_lib/access.rego x2go_lib/legacy.rego x2go_lib/placement.rego x2go_lib/sessions.rego
//go:embed x2go_lib/user.rego x2go_lib/client.rego x2go_lib/time.rego x2go_lib/labels.rego
var libraryFS embed.FS

//go:embed shim/*.rego
var shimFS embed.FS

// Library gives the built-in Rego library as a site vendors it: by path in the
// site, "policy/x2go_lib/access.rego". The caller owns the result.
func Library() map[string][]byte { return embedded(libraryFS, "x2go_lib", libraryDir) }

// LibraryDigest is a SHA-256 in hex over the built-in Rego: the library, and what
// stands in for the rules that a site does not define.
func LibraryDigest() string { return libraryDigest() }

var libraryDigest = sync.OnceValue(func() string {
	h := sha256.New()
	files := Library()
	maps.Copy(files, embedded(shimFS, "shim", "shim/"))
	for _, name := range slices.Sorted(maps.Keys(files)) {
		fmt.Fprintf(h, "%q %d\n%s", name, len(files[name]), files[name])
	}
	return hex.EncodeToString(h.Sum(nil))
})

// embedded gives the files of a directory under other names.
func embedded(fs embed.FS, dir, prefix string) map[string][]byte {
	entries, err := fs.ReadDir(dir)
	if err != nil {
		return nil
	}
	files := make(map[string][]byte, len(entries))
	for _, entry := range entries {
		if source, err := fs.ReadFile(path.Join(dir, entry.Name())); err == nil {
			files[prefix+entry.Name()] = source
		}
	}
	return files
}

// checkVendored compares a site's copy of the library with the built-in one,
// byte by byte and tests aside. A site without a copy is fine.
func checkVendored(files map[string][]byte) schema.Diagnostics {
	builtin := Library()
	var different, missing []schema.Position
	copies := 0
	for name, source := range files {
		if !strings.HasPrefix(name, libraryDir) || isTest(name) {
			continue
		}
		copies++
		if want, ok := builtin[name]; !ok || !bytes.Equal(source, want) {
			different = append(different, schema.Position{File: name})
		}
	}
	if copies == 0 {
		return nil
	}
	for name := range builtin {
		if _, ok := files[name]; !ok {
			missing = append(missing, schema.Position{File: name})
		}
	}
	if len(different) == 0 { // of an old copy, the files that it never had say nothing
		different = missing
	}
	if len(different) == 0 {
		return nil
	}
	slices.SortFunc(different, func(a, b schema.Position) int { return strings.Compare(a.File, b.File) })
	return schema.Diagnostics{{
		Severity: schema.Error,
		Pos:      different[0],
		Message: "the copy of the library in policy/x2go_lib is not the one that this x2broker has built in; " +
			"run `x2broker vendor` to renew it, or delete policy/x2go_lib and the built-in one serves",
		Related: different[1:],
	}}
}
