//go:build plain

package agreement_test

import (
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

// programs is the directory of the built cue and opa.
var programs string

func TestMain(m *testing.M) {
	dir, err := os.MkdirTemp("", "x2broker-plain-")
	if err == nil {
		programs = dir
		err = build(map[string]string{"cue": "cuelang.org/go/cmd/cue", "opa": "github.com/open-policy-agent/opa"})
	}
	code := 1
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
	} else {
		code = m.Run()
	}
	os.RemoveAll(dir)
	os.Exit(code)
}

// build makes the programs in the versions of tools/go.mod.
func build(packages map[string]string) error {
	root, err := exec.Command("go", "list", "-m", "-f", "{{.Dir}}").Output()
	if err != nil {
		return fmt.Errorf("find the module: %w", err)
	}
	for name, pkg := range packages {
		cmd := exec.Command("go", "build", "-modfile=tools/go.mod", "-o", filepath.Join(programs, name), pkg)
		cmd.Dir = strings.TrimSpace(string(root))
		cmd.Env = append(os.Environ(), "CGO_ENABLED=0")
		if out, err := cmd.CombinedOutput(); err != nil {
			return fmt.Errorf("build %s: %w\n%s", name, err, out)
		}
	}
	return nil
}

// plain runs a program in a site and gives what it printed; the error is that of
// its exit code.
func plain(t *testing.T, site, program string, args ...string) (string, error) {
	t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	defer cancel()
	cmd := exec.CommandContext(ctx, filepath.Join(programs, program), args...)
	cmd.Dir = site
	// Nothing of the user's own, and no network.
	cmd.Env = []string{
		"HOME=" + programs, "CUE_CACHE_DIR=" + filepath.Join(programs, "cache"),
		"CUE_CONFIG_DIR=" + filepath.Join(programs, "config"), "CUE_REGISTRY=none",
	}
	out, err := cmd.CombinedOutput()
	if ctx.Err() != nil {
		t.Fatalf("%s %s: no end after a minute", program, strings.Join(args, " "))
	}
	if strings.Contains(string(out), "goroutine ") {
		t.Errorf("%s panicked:\n%s", program, out)
	}
	return string(out), err
}
