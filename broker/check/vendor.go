package check

import (
	"bytes"
	"crypto/rand"
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"os"
	"path"
	"slices"
	"strings"

	"cuelang.org/go/cue/parser"

	"github.com/x2broker/x2broker/policy"
	"github.com/x2broker/x2broker/schema"
)

// Action is what Vendor did with a file.
type Action string

// The actions of Vendor.
const (
	Written   Action = "written"
	Unchanged Action = "unchanged"
	Removed   Action = "removed" // another version of x2broker had it
	Kept      Action = "kept"    // an admin changed it, so that it is his
)

// Vendored is one file that Vendor looked at. It is also its JSON form.
type Vendored struct {
	Path   string `json:"path"` // slash-separated, below the site
	Action Action `json:"action"`
}

const moduleFile = "cue.mod/module.cue"

// Vendor makes the copies that a site keeps for plain cue and opa those of this
// binary: the schema, x2broker.cue unless an admin changed it, the policy
// library and the capabilities. Other CUE and Rego files in the directories of
// the copies are removed, tests aside. A site without cue.mod/module.cue gets
// one. Each file is replaced whole; after an error, what is returned was done.
func Vendor(dir string) ([]Vendored, error) {
	root, err := os.OpenRoot(dir)
	if err != nil {
		return nil, fmt.Errorf("open the site: %w", err)
	}
	defer root.Close()
	if err := refuseUnlessSite(root.FS(), dir); err != nil {
		return nil, err
	}
	files := vendoredFiles()
	if _, err := root.Lstat(moduleFile); errors.Is(err, fs.ErrNotExist) {
		module, err := starter.ReadFile("starter/" + moduleFile)
		if err != nil {
			return nil, err
		}
		files[moduleFile] = module
	}
	var done []Vendored
	for _, name := range slices.Sorted(maps.Keys(files)) {
		action, err := vendorFile(root, name, files[name])
		if err != nil {
			return done, fmt.Errorf("renew %s: %w", name, err)
		}
		done = append(done, Vendored{name, action})
	}
	for _, name := range strangers(root.FS(), files) {
		if err := root.Remove(name); err != nil {
			return done, fmt.Errorf("remove %s, which this x2broker does not have: %w", name, err)
		}
		done = append(done, Vendored{name, Removed})
	}
	return done, nil
}

// refuseUnlessSite keeps a mistyped directory from being filled with files.
func refuseUnlessSite(tree fs.FS, dir string) error {
	names, err := fs.Glob(tree, "*.cue")
	if err != nil {
		return err
	}
	for _, name := range names {
		data, err := fs.ReadFile(tree, name)
		if err != nil {
			continue // not a file, or not ours to read
		}
		f, err := parser.ParseFile(name, data, parser.PackageClauseOnly)
		if err == nil && f.PackageName() == "site" {
			return nil
		}
	}
	return fmt.Errorf("directory %q has no CUE file with `package site`, so it is no site: "+
		"name one with --site, or make one with `x2broker init DIR`", dir)
}

// vendorFile writes one file unless it is there already or is an admin's own.
func vendorFile(root *os.Root, name string, data []byte) (Action, error) {
	info, err := root.Lstat(name)
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return Written, replaceFile(root, name, data)
	case err != nil:
		return "", err
	case info.Mode().IsRegular():
		old, err := root.ReadFile(name)
		switch {
		case err != nil:
			return "", err
		case bytes.Equal(old, data):
			return Unchanged, nil
		case name == schema.VendoredBinding && !schema.WroteBinding(old):
			return Kept, nil
		}
	case info.IsDir():
		return "", errors.New("is a directory: move it away")
	}
	return Written, replaceFile(root, name, data)
}

// replaceFile writes a file of its own and renames it, so that nobody ever
// reads half of it, and a symbolic link is replaced, not followed.
func replaceFile(root *os.Root, name string, data []byte) (err error) {
	temporary := path.Join(path.Dir(name), ".x2broker-"+rand.Text())
	defer func() {
		if err != nil {
			_ = root.Remove(temporary)
		}
	}()
	if err := createFile(root, temporary, data); err != nil {
		return err
	}
	return root.Rename(temporary, name)
}

// strangers are files that plain cue and opa would take for part of the copies
// and that are not: another version of x2broker had them.
func strangers(tree fs.FS, files map[string][]byte) []string {
	var names []string
	note := func(dir, suffix string) {
		// A directory that is not there has no strangers.
		_ = fs.WalkDir(tree, dir, func(name string, d fs.DirEntry, err error) error {
			if err != nil || d.IsDir() || !strings.HasSuffix(name, suffix) || strings.HasSuffix(name, "_test"+suffix) {
				return err
			}
			if _, ours := files[name]; !ours {
				names = append(names, name)
			}
			return nil
		})
	}
	note(schema.VendoredDir, ".cue")
	for _, dir := range libraryDirs() {
		note(dir, ".rego")
	}
	return names
}

// libraryDirs are the directories of the policy library in a site.
func libraryDirs() []string {
	var dirs []string
	for name := range policy.Library() {
		dirs = append(dirs, path.Dir(name))
	}
	slices.Sort(dirs)
	return slices.Compact(dirs)
}

// VendorWarnings tells which copies in a site are not those of this binary. They
// change nothing for the broker, which never reads them, but plain cue and
// editors would say something else than check. The library, which the broker
// does read, is not among them: policy.Compile looks at it.
func VendorWarnings(tree fs.FS) schema.Diagnostics {
	var out schema.Diagnostics
	warn := func(name, message string) {
		out = append(out, schema.Diagnostic{Severity: schema.Warning, Pos: schema.Position{File: name}, Message: message})
	}
	files := vendoredFiles()
	differs := func(name string) (present []byte, yes bool) {
		data, err := fs.ReadFile(tree, name)
		return data, err == nil && !bytes.Equal(data, files[name]) // absent, or not kept by the source
	}
	if _, yes := differs(schema.VendoredSchema); yes {
		warn(schema.VendoredSchema, "vendored schema differs from the one in this x2broker: run `x2broker vendor`")
	}
	for _, name := range strangers(tree, files) {
		if strings.HasSuffix(name, ".cue") {
			warn(name, "is no part of the schema in this x2broker: run `x2broker vendor`, which removes it")
		}
	}
	if data, yes := differs(schema.VendoredBinding); yes && schema.WroteBinding(data) {
		warn(schema.VendoredBinding, "differs from the one in this x2broker: run `x2broker vendor`")
	} else if yes {
		warn(schema.VendoredBinding, "is neither the one in this x2broker nor one that an earlier version wrote: "+
			"delete it and run `x2broker vendor`; what you added belongs in a file of your own")
	}
	if _, yes := differs(capabilitiesFile); yes {
		warn(capabilitiesFile, "differs from the one in this x2broker: run `x2broker vendor`")
	}
	return out
}
