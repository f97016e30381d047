package schema_test

import (
	"context"
	"crypto/sha256"
	"testing"
	"testing/fstest"

	"github.com/x2broker/x2broker/schema"
)

func TestTheVendoredBindingHasItsDigestListed(t *testing.T) {
	binding := schema.Vendored()[schema.VendoredBinding]
	if !schema.WroteBinding(binding) {
		t.Errorf("x2broker.cue has changed: add %x to schema/vendored/digests and keep the lines there, "+
			"or `x2broker vendor` takes it for one that an admin changed", sha256.Sum256(binding))
	}
	if schema.WroteBinding(append(binding, '\n')) || schema.WroteBinding(nil) {
		t.Error("any text passes as ours")
	}
}

func TestVendoredFilesChangeNothing(t *testing.T) {
	tree := site("site.cue", `package site

site: name: "S"
servers: "a.example.org": {}
profiles: p: {name: "P", hosts: ids: ["a.example.org"], access: everyone: true}
`)
	for name, data := range schema.Vendored() {
		tree[name] = &fstest.MapFile{Data: data}
	}
	catalog, diags := schema.NewCompiler().Compile(context.Background(), tree)
	if catalog == nil || len(diags) > 0 || len(catalog.Profiles) != 1 || len(catalog.Servers) != 1 {
		t.Errorf("got %+v, %v", catalog, diags)
	}
}
