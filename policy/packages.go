package policy

import (
	"slices"
	"strings"

	"github.com/open-policy-agent/opa/v1/ast"

	"github.com/x2broker/x2broker/schema"
)

// packageName gives "x2go.access" for package x2go.access.
func packageName(m *ast.Module) string {
	if m.Package == nil {
		return ""
	}
	var parts []string
	for _, t := range m.Package.Path[1:] { // the first is data
		if s, ok := t.Value.(ast.String); ok {
			parts = append(parts, string(s))
			continue
		}
		parts = append(parts, t.Value.String())
	}
	return strings.Join(parts, ".")
}

// isReserved reports whether a site may define nothing in the package, because
// the catalog, the library or a rule that the broker asks is there.
func isReserved(name string) bool {
	below, ours := strings.CutPrefix(name, "x2go.")
	if !ours {
		return name == "x2go" || name == "site" || strings.HasPrefix(name, "site.")
	}
	first, _, nested := strings.Cut(below, ".")
	return isLibrary(name) || nested && first != "site"
}

func isLibrary(name string) bool {
	return name == "x2go.lib" || name == "x2go.lib_test" || strings.HasPrefix(name, "x2go.lib.")
}

// checkPackage says what is wrong with the package name of a site's module. A
// package of the broker's own would be united with it, and a misspelt one would
// never be asked.
func checkPackage(file string, m *ast.Module) schema.Diagnostics {
	name := packageName(m)
	d := schema.Diagnostic{Severity: schema.Error, Pos: position(m.Package.Location), Path: name}
	below, ours := strings.CutPrefix(name, "x2go.")
	switch {
	case isLibraryTest(file):
		return nil
	case name == "x2go":
		d.Message = "the package is the broker's own; use x2go.site for helpers"
	case isLibrary(name):
		d.Message = "the package is the library's, which only `x2broker vendor` writes; " +
			"define the rule in x2go.login, x2go.access, x2go.placement or x2go.sessions, or helpers in x2go.site"
	case isReserved(name) && !ours:
		d.Message = "the package would hide the catalog, which policies read at data.site; use x2go." + name + " for helpers"
	case !ours && isTest(file):
		return nil
	case !ours:
		d.Severity = schema.Warning
		d.Message = "misspelt input paths are not found in this package; name it x2go.site." + name
		if near := nearestPackage(name); near != "" {
			d.Message = "the broker does not ask this package" + near
		}
	case slices.Contains(sitePackages(), strings.TrimSuffix(below, "_test")) || strings.HasPrefix(below, "site."):
		return nil
	default:
		d.Message = "the broker asks no such package; it asks x2go.access, x2go.login, x2go.placement and x2go.sessions " +
			"(their tests end in _test), and x2go.site is for helpers" + nearestPackage(name)
	}
	return schema.Diagnostics{d}
}

// nearestPackage gives the package that a misspelt name is nearest to.
func nearestPackage(name string) string {
	name, isTest := strings.CutSuffix(name, "_test")
	var packages []string
	for _, p := range sitePackages() {
		packages = append(packages, "x2go."+p)
	}
	near := schema.DidYouMean(name, packages)
	if isTest {
		near = strings.Replace(near, "\"?", "_test\"?", 1)
	}
	return near
}

// sitePackages lists the packages below x2go that a site may define. Those below
// x2go.site are free.
func sitePackages() []string { return []string{"access", "login", "placement", "sessions", "site"} }

// isTest reports whether the module is for `opa test` only.
func isTest(file string) bool { return strings.HasSuffix(file, "_test.rego") }

// isLibraryTest reports whether the module tests the library.
func isLibraryTest(file string) bool { return isTest(file) && strings.HasPrefix(file, libraryDir) }
