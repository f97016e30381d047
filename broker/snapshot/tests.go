package snapshot

import (
	"context"
	"crypto/sha256"
	"fmt"
	"maps"
	"slices"

	"github.com/x2broker/x2broker/broker/source"
	"github.com/x2broker/x2broker/policy"
	"github.com/x2broker/x2broker/schema"
)

// RunTests runs the Rego tests of a tree that [Build] has made a snapshot of.
// The error says that they could not be run at all.
func RunTests(ctx context.Context, tree *source.Tree) (policy.TestReport, error) {
	files, _ := regoFiles(tree) // Build has said what is wrong with them
	return policy.Test(ctx, files)
}

// test gives the tests of the tree that fail. Tests see the policies and nothing
// else of the site: while these stay as they were when all passed, they pass.
func (k *Keeper) test(ctx context.Context, tree *source.Tree) schema.Diagnostics {
	files, _ := regoFiles(tree)
	digest := digest(files)
	if k.tested == digest {
		return nil
	}
	report, err := policy.Test(ctx, files)
	if err != nil {
		return schema.Diagnostics{{Severity: schema.Error, Pos: schema.Position{File: "policy"}, Message: err.Error()}}
	}
	var diags schema.Diagnostics
	for _, f := range report.Failures {
		diags = append(diags, f.Diagnostic())
	}
	if len(diags) == 0 && ctx.Err() == nil {
		k.tested = digest
	}
	return diags
}

// digest tells sets of files apart.
func digest(files map[string][]byte) [sha256.Size]byte {
	h := sha256.New()
	for _, name := range slices.Sorted(maps.Keys(files)) {
		fmt.Fprintf(h, "%q %d\n", name, len(files[name]))
		h.Write(files[name])
	}
	return [sha256.Size]byte(h.Sum(nil))
}
