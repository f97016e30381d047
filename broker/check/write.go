package check

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"maps"
	"os"
	"path/filepath"
	"slices"

	"github.com/x2broker/x2broker/broker/snapshot"
	"github.com/x2broker/x2broker/broker/source"
)

// Write makes dir a site of these files, by slash-separated path, and of the
// copies that Init writes for plain cue and opa, and returns what Check says of
// it. The directory must be empty or not there yet; its parents are made. The
// site is made beside it and renamed, so that dir is never half a site; it is
// not made at all if Check finds an error, or if approve does, which is asked
// last and may be nil.
func Write(ctx context.Context, dir string, files map[string][]byte, approve func(*snapshot.Snapshot) error) (_ Report, err error) {
	dir, made, err := makeRoom(dir)
	if err != nil {
		return Report{}, err
	}
	defer func() {
		if err != nil {
			for _, parent := range made {
				_ = os.Remove(parent) // ours, and empty again
			}
		}
	}()
	temporary, err := os.MkdirTemp(filepath.Dir(dir), ".x2broker-site-")
	if err != nil {
		return Report{}, fmt.Errorf("make the site: %w", err)
	}
	defer os.RemoveAll(temporary)
	if err := writeFiles(temporary, files); err != nil {
		return Report{}, err
	}
	src, err := source.Open(source.Config{URL: temporary, Log: slog.New(slog.DiscardHandler)})
	if err != nil {
		return Report{}, err
	}
	report, snap, err := compiled(ctx, src)
	if err != nil {
		return report, fmt.Errorf("check the site: %w", err)
	}
	report.Site = dir
	if !report.OK {
		return report, errors.New("the site has mistakes, so that it was not written")
	}
	if approve != nil {
		if err := approve(snap); err != nil {
			return report, err
		}
	}
	// An empty directory makes way; one that was filled by now does not.
	if err := os.Remove(dir); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return report, fmt.Errorf("put the site in its place: %w", err)
	}
	if err := os.Rename(temporary, dir); err != nil {
		return report, fmt.Errorf("put the site in its place: %w", err)
	}
	return report, nil
}

// writeFiles fills a new directory with a site.
func writeFiles(dir string, files map[string][]byte) error {
	if err := os.Chmod(dir, 0o755); err != nil {
		return fmt.Errorf("make the site: %w", err)
	}
	root, err := os.OpenRoot(dir)
	if err != nil {
		return fmt.Errorf("make the site: %w", err)
	}
	defer root.Close()
	for _, name := range slices.Sorted(maps.Keys(files)) {
		if err := createFile(root, name, files[name]); err != nil {
			return fmt.Errorf("write the site: %w", err)
		}
	}
	_, err = Vendor(dir)
	return err
}

// makeRoom gives the absolute path of a directory that is empty or not there,
// and the parents that it made, the innermost first.
func makeRoom(dir string) (_ string, made []string, err error) {
	dir, err = filepath.Abs(dir)
	if err != nil {
		return "", nil, fmt.Errorf("find the directory of the site: %w", err)
	}
	switch entries, err := os.ReadDir(dir); {
	case err == nil && len(entries) > 0:
		return "", nil, fmt.Errorf("directory %q is not empty (it has %s): name a new one", dir, entries[0].Name())
	case err == nil:
		dir, err = filepath.EvalSymlinks(dir)
		return dir, nil, err
	case !errors.Is(err, fs.ErrNotExist):
		return "", nil, fmt.Errorf("look into the directory of the site: %w", err)
	}
	for parent := filepath.Dir(dir); ; parent = filepath.Dir(parent) {
		if _, err := os.Stat(parent); !errors.Is(err, fs.ErrNotExist) {
			break
		}
		made = append(made, parent)
	}
	if err := os.MkdirAll(filepath.Dir(dir), 0o755); err != nil {
		return "", nil, fmt.Errorf("make the directory of the site: %w", err)
	}
	return dir, made, nil
}
