package main

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"github.com/x2broker/x2broker/broker/check"
	"github.com/x2broker/x2broker/broker/legacy"
	"github.com/x2broker/x2broker/broker/snapshot"
)

type importCmd struct {
	Conf         string `arg:"" placeholder:"CONF" help:"The old broker's x2gobroker.conf."`
	Profiles     string `arg:"" placeholder:"PROFILES" help:"Its x2gobroker-sessionprofiles.conf."`
	Out          string `required:"" placeholder:"DIR" help:"Directory of the new site: empty, or not there yet."`
	Config       string `placeholder:"FILE" help:"Write the broker's own settings to FILE, too: a new broker.cue."`
	Verify       bool   `help:"Compare who sees what in the old files and in the site; write nothing if there is a difference."`
	AcceptLosses bool   `help:"Write the site also when the old broker did something that it does not."`
	Format       string `default:"text" enum:"text,json" help:"How to print: ${enum}."`
}

// Help says what the command does, below its usage.
func (importCmd) Help() string {
	return `Makes a site of the files of the Python broker x2gobroker: each profile becomes a CUE file of its own, hosts become
servers, and who saw a profile there sees it here. Comments on profiles are kept.

Every option ends in the site, in a note or in a loss. A note tells what is different without harm. A loss tells what
the old broker did and the site does not; with losses nothing is written, unless you accept them.`
}

// importReport is what import prints for tools.
type importReport struct {
	Site     string `json:"site"`
	Config   string `json:"config,omitempty"`
	Written  bool   `json:"written"`
	Profiles int    `json:"profiles"`
	Servers  int    `json:"servers"`
	legacy.Report
	Verified *legacy.Verification `json:"verified,omitempty"`
}

// Run makes a site of the old broker's files.
func (c *importCmd) Run(ctx context.Context, io stdio) error {
	if c.Config != "" && within(c.Config, c.Out) {
		return fmt.Errorf("import: --config %s is in the directory of the site: the settings are this machine's, so name a file outside of %s", c.Config, c.Out)
	}
	imported, err := c.read()
	if err != nil {
		return fmt.Errorf("import: %w", err)
	}
	report := importReport{
		Site: c.Out, Config: c.Config, Report: imported.Report,
		Profiles: len(imported.Profiles), Servers: len(imported.Servers),
	}
	if n := len(report.Losses); n > 0 && !c.AcceptLosses {
		err = fmt.Errorf("import: %s, so that nothing was written: mend the old files, or accept with --accept-losses", plural(n, "loss", "losses"))
	} else if err = c.write(ctx, imported, &report); err != nil && ctx.Err() != nil {
		err = fmt.Errorf("import: %w, so that nothing was written", context.Cause(ctx))
	} else if err != nil {
		err = fmt.Errorf("import: %w", err)
	}
	report.Written = err == nil
	if c.Format == "json" {
		return errors.Join(err, writeJSON(io.out, report))
	}
	if e := report.Report.Write(io.out); e != nil {
		return errors.Join(err, e)
	}
	if e := c.writeVerified(io, report.Verified); e != nil || err != nil {
		return errors.Join(err, e)
	}
	fmt.Fprintf(io.out, "wrote %s: %s, %s\n", c.Out, plural(report.Profiles, "profile", "profiles"), plural(report.Servers, "server", "servers"))
	if c.Config != "" {
		fmt.Fprintf(io.out, "wrote %s: %s\n", c.Config, legacy.ConfigLacks)
	}
	fmt.Fprintf(io.out, "%s carried over, %s", plural(len(report.Carried), "option", "options"), plural(len(report.Notes), "note", "notes"))
	if n := len(report.Losses); n > 0 {
		fmt.Fprintf(io.out, ", %s accepted", plural(n, "loss", "losses"))
	}
	_, err = fmt.Fprintln(io.out)
	return err
}

// writeVerified prints what was compared, and where it differs.
func (c *importCmd) writeVerified(io stdio, v *legacy.Verification) error {
	if v == nil {
		return nil
	}
	for _, d := range v.Differences {
		kind := "difference"
		if d.Loss {
			kind = "accepted difference"
		}
		if _, err := fmt.Fprintf(io.out, "%s: %s\n", kind, d); err != nil {
			return err
		}
	}
	verdict := "the old files and the site show everybody the same"
	if n := len(v.Differences); n > 0 {
		verdict = plural(n, "difference", "differences")
	}
	_, err := fmt.Fprintf(io.out, "compared %s over all users, groups and addresses that the lists tell apart, in %s: %s\n",
		plural(v.Profiles, "profile", "profiles"), plural(v.Questions, "question", "questions"), verdict)
	return err
}

// read reads the old files and makes a site of them.
func (c *importCmd) read() (*legacy.Import, error) {
	conf, errConf := parseLegacy(c.Conf)
	profiles, errProfiles := parseLegacy(c.Profiles)
	if err := errors.Join(errConf, errProfiles); err != nil {
		return nil, err
	}
	if s, ok := settingsSection(profiles); ok {
		return nil, fmt.Errorf("%s:%d: [%s] is a section of x2gobroker.conf, not a profile: name x2gobroker.conf first, x2gobroker-sessionprofiles.conf second",
			profiles.Name, s.Line, s.Name)
	}
	return legacy.New(conf, profiles, c.Config != ""), nil
}

// settingsSection finds a section that only x2gobroker.conf has: the files are in
// the wrong order.
func settingsSection(profiles *legacy.File) (*legacy.Section, bool) {
	for _, s := range profiles.Sections {
		if s.Name != "global" && !strings.HasPrefix(s.Name, "broker_") {
			continue
		}
		if !slices.ContainsFunc(s.Options, func(o legacy.Option) bool { return o.Name == "name" || o.Name == "host" || o.Name == "command" }) {
			return s, true
		}
	}
	return nil, false
}

// within reports whether a file is in a directory or below it, as their paths say.
func within(file, dir string) bool {
	f, errFile := filepath.Abs(file)
	d, errDir := filepath.Abs(dir)
	if err := errors.Join(errFile, errDir); err != nil {
		return false
	}
	rel, err := filepath.Rel(d, f)
	return err == nil && filepath.IsLocal(rel)
}

func parseLegacy(name string) (*legacy.File, error) {
	info, err := os.Stat(name)
	if err != nil {
		return nil, err
	}
	if info.Size() > legacy.MaxFileSize {
		return nil, fmt.Errorf("%s: has %d bytes, and more than %d are not read", name, info.Size(), legacy.MaxFileSize)
	}
	data, err := os.ReadFile(name)
	if err != nil {
		return nil, err
	}
	return legacy.ParseINI(name, data)
}

// write writes site and settings, or neither.
func (c *importCmd) write(ctx context.Context, imported *legacy.Import, report *importReport) error {
	files, err := imported.Files()
	if err != nil {
		return err
	}
	if c.Config == "" {
		return writeSite(ctx, c.Out, files, c.verify(ctx, imported, report))
	}
	site, err := filepath.Abs(c.Out)
	if err != nil {
		return err
	}
	config, err := imported.Config(site)
	if err != nil {
		return err
	}
	if err := createSecret(c.Config, config); err != nil {
		return err
	}
	if err := writeSite(ctx, c.Out, files, c.verify(ctx, imported, report)); err != nil {
		return errors.Join(err, os.Remove(c.Config))
	}
	return nil
}

// verify compares the old lists with the site, if that is asked for. What a loss
// has told is no reason to refuse: it has been accepted.
func (c *importCmd) verify(ctx context.Context, imported *legacy.Import, report *importReport) func(*snapshot.Snapshot) error {
	if !c.Verify {
		return nil
	}
	return func(site *snapshot.Snapshot) error {
		v, err := legacy.Verify(ctx, c.Profiles, imported.Profiles, site.Catalog, site.Policy)
		if err != nil {
			return err
		}
		report.Verified = &v
		differences := 0
		for _, d := range v.Differences {
			if !d.Loss {
				differences++
			}
		}
		if differences > 0 {
			return fmt.Errorf("the site would not show what the old broker shows (%s), so that nothing was written",
				plural(differences, "difference", "differences"))
		}
		return nil
	}
}

func writeSite(ctx context.Context, dir string, files map[string][]byte, approve func(*snapshot.Snapshot) error) error {
	report, err := check.Write(ctx, dir, files, approve)
	if err != nil && report.Diagnostics.HasErrors() {
		return fmt.Errorf("%w; this is a mistake of x2broker, which should not write such a site: %v", err, report.Diagnostics)
	}
	return err
}

// createSecret writes a file for its owner alone; one that is there stays.
func createSecret(name string, data []byte) error {
	f, err := os.OpenFile(name, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o600)
	if errors.Is(err, fs.ErrExist) {
		return fmt.Errorf("%s is there already and stays as it is: name another file for --config", name)
	} else if err != nil {
		return err
	}
	_, err = f.Write(data)
	if err = errors.Join(err, f.Close()); err != nil {
		return errors.Join(err, os.Remove(name))
	}
	return nil
}

func plural(n int, one, many string) string {
	if n == 1 {
		return "1 " + one
	}
	return fmt.Sprintf("%d %s", n, many)
}
