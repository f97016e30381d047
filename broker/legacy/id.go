package legacy

import (
	"regexp"
	"strconv"
	"strings"

	"github.com/x2broker/x2broker/schema"
)

var (
	validID   = regexp.MustCompile(`^[A-Za-z0-9._-]+$`)
	invalidID = regexp.MustCompile(`[^A-Za-z0-9._-]+`)
)

var umlauts = strings.NewReplacer("ä", "ae", "ö", "oe", "ü", "ue", "Ä", "Ae", "Ö", "Oe", "Ü", "Ue", "ß", "ss")

// safeID makes an id of a name: as it is if it can be one, else with a hyphen
// in place of what cannot be in it.
func safeID(name string) string {
	if validID.MatchString(name) && len(name) <= maxID && name != "General" && name != "embedded" {
		return name
	}
	name = umlauts.Replace(name)
	id := strings.Trim(invalidID.ReplaceAllString(name, "-"), "-")
	if len(id) > maxID {
		id = id[:maxID]
	}
	switch id {
	case "":
		return "unnamed"
	case "General", "embedded": // X2Go Client never shows them
		return id + "-1"
	}
	return id
}

// whyNoID says why a name cannot be an id as it is.
func whyNoID(name string) string {
	switch {
	case !validID.MatchString(name):
		return "cannot be the id of a profile, which has letters, digits and . _ - only"
	case len(name) > maxID:
		return "is too long for the id of a profile"
	}
	return "cannot be the id of a profile, since X2Go Client never shows one that is called so"
}

// maxID leaves room for a number behind an id.
const maxID = schema.MaxIDLength - 8

// unused adds a number to a name that is taken.
func unused(name string, taken func(string) bool) string {
	if !taken(name) {
		return name
	}
	for n := 2; ; n++ {
		if try := name + "-" + strconv.Itoa(n); !taken(try) {
			return try
		}
	}
}

// device matches names that are no files on Windows, where somebody may want to
// check the site out.
var device = regexp.MustCompile(`(?i)^(con|prn|aux|nul|com[0-9]|lpt[0-9])(\.|$)`)

// fileNames gives each profile a file of its own, also where upper and lower
// case are one.
type fileNames map[string]bool

func (f fileNames) of(id string) string {
	base := id
	switch {
	case strings.ContainsRune("._-", rune(id[0])): // CUE does not read the first two, and - begins an option
		base = "profile" + id
	case device.MatchString(id):
		base = "profile-" + id
	}
	if strings.HasSuffix(id, "_test") || strings.HasSuffix(id, "_tool") { // not part of a package
		base += "-profile"
	}
	base = unused(base, func(b string) bool { return f[strings.ToLower(b)] })
	f[strings.ToLower(base)] = true
	return "profiles/" + base + ".cue"
}
