// Package examples holds sites to learn from, and the one that x2broker serves
// when it is started without a site.
package examples

import (
	"embed"
	"io/fs"
)

//go:embed all:demo
var demo embed.FS

// Demo is the built-in demo site.
func Demo() fs.FS {
	sub, err := fs.Sub(demo, "demo")
	if err != nil {
		panic(err) // the directory is embedded above
	}
	return sub
}
