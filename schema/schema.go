// Package schema turns the CUE files of a site into a [Catalog] of plain Go
// values, or into [Diagnostics] that name every mistake by file, line and
// column.
//
// # What a site is
//
// A tree of files of `package site`. As in CUE itself there is one instance per
// directory, made of its files and those of the directories above it; siblings
// never meet. An instance contributes the servers and profiles that its nearest
// ancestor instance does not have, and the site is the union of these. One id
// contributed twice is an error.
//
// # What it promises
//
// The broker's own copy of the schema always applies; a site's vendored copy is
// for editors and for plain cue, and is never read. Nothing outside the given
// tree is read, no network is used, and imports reach the schema, CUE's standard
// library and packages of the site's own module only.
package schema

import (
	_ "embed"
	"regexp"
)

// ImportPath is the path under which sites import the schema.
const ImportPath = "github.com/x2broker/x2broker/schema"

//go:embed schema.cue
var schemaSource []byte

// bindingSource binds each top-level field of a site to the schema.
//
//go:embed binding/x2broker.cue
var bindingSource []byte

const (
	// bindingFile is the name of the built-in bindings in CUE's positions; it
	// cannot be the name of a site's file.
	bindingFile = "<x2broker>/binding.cue"
	schemaFile  = "<x2broker>/schema.cue"
)

// Limits on what a site may hold, so that a mistaken or hostile commit costs
// bounded memory.
const (
	MaxFileBytes = 1 << 20 // of one CUE file
	MaxIDLength  = 128     // bytes of a profile or server id
	MaxText      = 4096    // bytes of any one string that reaches a client
)

// idPattern is what X2Go Client bears in sid=, which it does not encode.
var idPattern = regexp.MustCompile(`^[A-Za-z0-9._-]+$`)

// topLevel are the fields of a site; all but profiles belong in its root.
var topLevel = []string{"site", "networks", "params", "servers", "profiles", "cases"}
