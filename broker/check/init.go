package check

import (
	"embed"
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"os"
	"path"
	"regexp"
	"runtime/debug"
	"slices"
	"strings"

	"github.com/x2broker/x2broker/policy"
	"github.com/x2broker/x2broker/schema"
)

// capabilitiesFile is where a site keeps what plain opa may call.
const capabilitiesFile = "x2broker/capabilities.json"

// starter is the site that Init writes, apart from the vendored files.
//
//go:embed all:starter
var starter embed.FS

// Init makes dir a site to start from and returns the files that it wrote,
// sorted, as slash-separated paths below dir. It creates dir and its parents;
// a directory that holds anything but a .git is refused, and when something
// fails, what was written is removed again.
func Init(dir string) (written []string, err error) {
	files, err := starterFiles(buildVersion())
	if err != nil {
		return nil, err
	}
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return nil, fmt.Errorf("make the directory of the site: %w", err)
	}
	if err := refuseUnlessEmpty(dir); err != nil {
		return nil, err
	}
	root, err := os.OpenRoot(dir)
	if err != nil {
		return nil, fmt.Errorf("open the directory of the site: %w", err)
	}
	defer root.Close()
	defer func() {
		if err != nil {
			for _, name := range written {
				first, _, _ := strings.Cut(name, "/")
				_ = root.RemoveAll(first) // all of it is ours: the directory was empty
			}
			written = nil
		}
	}()
	for _, name := range slices.Sorted(maps.Keys(files)) {
		written = append(written, name)
		if err := createFile(root, name, files[name]); err != nil {
			return written, fmt.Errorf("write the site: %w", err)
		}
	}
	return written, nil
}

// starterFiles are all files of a new site; its CI runs the given version of
// x2broker.
func starterFiles(version string) (map[string][]byte, error) {
	files := vendoredFiles()
	sub, err := fs.Sub(starter, "starter")
	if err != nil {
		return nil, err
	}
	err = fs.WalkDir(sub, ".", func(name string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() {
			return err
		}
		data, err := fs.ReadFile(sub, name)
		if err != nil {
			return err
		}
		files[name] = []byte(strings.ReplaceAll(string(data), "${version}", version))
		return nil
	})
	return files, err
}

// vendoredFiles are the copies of what this binary has built in, for plain cue
// and opa.
func vendoredFiles() map[string][]byte {
	files := schema.Vendored()
	maps.Copy(files, policy.Library())
	files[capabilitiesFile] = policy.CapabilitiesJSON()
	return files
}

// released is a version that `go install` finds.
var released = regexp.MustCompile(`^v[0-9]+\.[0-9]+\.[0-9]+(-[0-9A-Za-z.-]+)?$`)

// buildVersion is the version of this binary, or latest for one that was never
// published.
func buildVersion() string {
	if info, ok := debug.ReadBuildInfo(); ok && released.MatchString(info.Main.Version) {
		return info.Main.Version
	}
	return "latest"
}

func refuseUnlessEmpty(dir string) error {
	entries, err := os.ReadDir(dir)
	if err != nil {
		return fmt.Errorf("look into the directory of the site: %w", err)
	}
	for _, e := range entries {
		if e.Name() != ".git" {
			return fmt.Errorf("directory %q is not empty (it has %s): name a new one, or use `x2broker vendor --site %s` for a site that is there already",
				dir, e.Name(), dir)
		}
	}
	return nil
}

// createFile writes a file that is not there yet.
func createFile(root *os.Root, name string, data []byte) error {
	if err := root.MkdirAll(path.Dir(name), 0o755); err != nil {
		return err
	}
	f, err := root.OpenFile(name, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o644)
	if err != nil {
		return err
	}
	_, err = f.Write(data)
	return errors.Join(err, f.Close())
}
