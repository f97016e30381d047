package main

import (
	"context"
	"errors"
	"fmt"
	"net/url"
	"os/exec"
	"path/filepath"
	"strings"
	"time"

	"github.com/go-git/go-billy/v5/osfs"
	"github.com/go-git/go-git/v5/plumbing"
	"github.com/go-git/go-git/v5/plumbing/cache"
	"github.com/go-git/go-git/v5/storage/filesystem"

	"github.com/x2broker/x2broker/broker/config"
	"github.com/x2broker/x2broker/broker/source/verify"
)

type verifyCmd struct {
	Config string `default:"broker.cue" type:"path" placeholder:"FILE" help:"Who may sign: a broker.cue, or a file with its verify block alone. Default: broker.cue."`
	Site   string `default:"." placeholder:"DIR" help:"A clone of the site, or its bare repository. Default: the current directory."`
	Ref    string `default:"HEAD" placeholder:"COMMIT" help:"Up to which commit or branch. Default: HEAD, what is checked out."`
	Since  string `placeholder:"COMMIT" help:"After which commit, instead of verify.since."`
	DryRun bool   `help:"Only say what would be refused: exit code 0 also then."`
	Format string `default:"text" enum:"text,json" help:"How to print: ${enum}."`
}

// Run says of each commit what a broker with mode enforce would do.
func (c *verifyCmd) Run(ctx context.Context, io stdio) error {
	cfg, err := config.LoadVerify(c.Config)
	if err != nil {
		return usageError(err)
	}
	repo, err := openClone(ctx, c.Site)
	if err != nil {
		return usageError(err)
	}
	defer repo.storage.Close()
	tip, err := repo.resolve(ctx, c.Ref)
	if err != nil {
		return usageError(fmt.Errorf("--ref: %w", err))
	}
	if c.Since != "" {
		if cfg.Rules.Since, err = repo.resolve(ctx, c.Since); err != nil {
			return usageError(fmt.Errorf("--since: %w", err))
		}
	}
	v, err := verify.New(cfg.Rules)
	if err != nil {
		return usageError(err)
	}
	report, err := v.Verify(ctx, verify.Storage(repo.storage), plumbing.ZeroHash, tip, time.Now())
	if err != nil {
		return err
	}
	if c.Format == "json" {
		err = writeJSON(io.out, report)
	} else {
		err = report.Write(io.out)
	}
	if err == nil && report.Err() != nil && !c.DryRun {
		return &exitError{exitFail, errSaid}
	}
	return err
}

// clone is a repository on this machine: a clone, any directory in one, or a
// bare repository.
type clone struct {
	dir     string
	storage *filesystem.Storage
}

func openClone(ctx context.Context, site string) (*clone, error) {
	dir := site
	if u, err := url.Parse(site); err == nil && u.Scheme == "file" {
		dir = u.Path
	} else if strings.Contains(site, "://") {
		return nil, errors.New("--site: this reads what is on this machine: clone the site, and name the clone")
	}
	c := &clone{dir: dir}
	objects, err := c.git(ctx, "rev-parse", "--git-common-dir")
	if err != nil {
		return nil, fmt.Errorf("--site %s: name a clone of the site, or its bare repository: %w", dir, err)
	}
	if !filepath.IsAbs(objects) {
		objects = filepath.Join(dir, objects)
	}
	c.storage = filesystem.NewStorageWithOptions(osfs.New(objects), cache.NewObjectLRUDefault(), filesystem.Options{KeepDescriptors: true})
	return c, nil
}

// resolve gives the commit that a name leads to.
func (c *clone) resolve(ctx context.Context, name string) (plumbing.Hash, error) {
	id, err := c.git(ctx, "rev-parse", "--verify", "--quiet", "--end-of-options", name+"^{commit}")
	if err != nil {
		return plumbing.ZeroHash, fmt.Errorf("%q is no commit or branch of this repository: git log names them", name)
	}
	if !plumbing.IsHash(id) || len(id) != 40 {
		return plumbing.ZeroHash, fmt.Errorf("%q is %s: repositories with SHA-256 are not read yet", name, id)
	}
	return plumbing.NewHash(id), nil
}

// git asks the git program, which knows best what people write for a commit.
func (c *clone) git(ctx context.Context, args ...string) (string, error) {
	cmd := exec.CommandContext(ctx, "git", append([]string{"-C", c.dir}, args...)...)
	var stderr strings.Builder
	cmd.Stderr = &stderr
	out, err := cmd.Output()
	if text := strings.TrimSpace(stderr.String()); err != nil && text != "" {
		return "", errors.New(text)
	}
	return strings.TrimSpace(string(out)), err
}
