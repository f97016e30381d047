// Package golden holds what x2gobroker 0.0.4.3 answered, and proves that this
// broker answers the same, but for deviations of which each has a reason.
//
// Each file in testdata is a case: the old broker's files, requests, and the
// answers that were recorded; testdata/README.md says how to read one. A case
// goes through the import, the schema, the policies and the real frontends, and
// its answers are compared byte by byte.
//
// A deviation is a function from recorded bytes to expected bytes, in
// deviations_test.go. What is not built yet is in pending_test.go, by reason; the
// tests fail when one of those cases would pass. There is no other way for a
// case to be left out. docs/conformance.md says how many cases there are of each
// kind, and is written by the tests (go test ./tests/golden -update).
package golden
