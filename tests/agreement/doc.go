// Package agreement proves, with the real cue and opa programs, that plain tools
// and x2broker say the same of a site: what `cue vet -c ./...` rejects, check
// rejects, and a new site of `x2broker init` is fine for all of them.
//
// Each archive in testdata holds small sites and claims what both say of them.
// An archive in testdata/pending, which no test reads, is about a disagreement
// that waits to be ended.
//
// The tests build the programs, which takes minutes the first time, and so need
// the build tag plain: `make plain`.
package agreement
