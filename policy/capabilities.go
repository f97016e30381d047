package policy

import (
	"bytes"
	"encoding/json"
	"slices"
	"strings"

	"github.com/open-policy-agent/opa/v1/ast"
)

// capabilities is Rego version 1 less every function whose result depends on
// more than its arguments, and less those of which one call can end the broker.
func capabilities() *ast.Capabilities {
	c := ast.CapabilitiesForThisVersion(ast.CapabilitiesRegoVersion(ast.RegoV1))
	c.Builtins = slices.DeleteFunc(c.Builtins, func(b *ast.Builtin) bool { return unrepeatable(b) || unbounded(b) })
	c.Features = slices.DeleteFunc(c.Features, func(f string) bool { return strings.HasPrefix(f, "rego_v2") })
	c.AllowNet = []string{} // empty: no host; nil would be any
	return c
}

// unrepeatable reports whether two brokers, or one at two moments, may get
// different results from the function.
func unrepeatable(b *ast.Builtin) bool {
	switch b.Name {
	case "crypto.x509.parse_and_verify_certificates",
		"crypto.x509.parse_and_verify_certificates_with_options":
		return true // compare with the clock, though not declared so
	}
	return b.IsNondeterministic()
}

// unbounded reports whether the function may take all memory before a deadline
// is looked at.
func unbounded(b *ast.Builtin) bool { return b.Name == "bits.lsh" }

// instead says what to use in place of an unrepeatable function.
func instead(builtin string) string {
	family, _, _ := strings.Cut(builtin, ".")
	switch family {
	case "time":
		return "use input.time"
	case "http", "net":
		return "put what it would fetch into params of the site"
	case "rand", "uuid":
		return "decide from input; among equal servers the broker draws"
	case "opa":
		return "put what it would read into params of the site"
	case "json":
		return "test the fields that matter"
	}
	return "decide from input and data.site"
}

// CapabilitiesJSON gives the capabilities for
// `opa check --strict --capabilities FILE policy/`, which then refuses the
// functions that the broker refuses.
func CapabilitiesJSON() []byte {
	fields := make(map[string]json.RawMessage)
	text, err := json.Marshal(capabilities())
	if err == nil {
		err = json.Unmarshal(text, &fields)
	}
	if err != nil {
		panic("policy: OPA's own capabilities are not JSON: " + err.Error())
	}
	fields["allow_net"] = json.RawMessage("[]") // the encoder drops the empty list
	var out bytes.Buffer
	encoder := json.NewEncoder(&out)
	encoder.SetIndent("", "  ")
	if err := encoder.Encode(fields); err != nil {
		panic("policy: OPA's own capabilities are not JSON: " + err.Error())
	}
	return out.Bytes()
}
