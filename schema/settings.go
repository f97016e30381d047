package schema

import "strings"

// A settingRule is a client key that brokers always send and that a site may set
// below x2go, with the value that is sent when it does not.
type settingRule struct {
	key string
	def any // string, int, bool or []string: also the key's type
}

// settingRules are in the order in which the reference broker sends them;
// clients do not depend on it. setdpi is a number on the wire.
var settingRules = []settingRule{
	{"command", "TERMINAL"},
	{"kdrive", false},
	{"defsndport", true},
	{"useiconv", false},
	{"iconvfrom", "UTF-8"},
	{"height", 600},
	{"export", ""},
	{"quality", 9},
	{"fullscreen", false},
	{"layout", ""},
	{"useexports", true},
	{"width", 800},
	{"speed", 2},
	{"soundsystem", "pulse"},
	{"print", true},
	{"type", "auto"},
	{"sndport", 4713},
	{"xinerama", true},
	{"variant", ""},
	{"usekbd", true},
	{"fstunnel", true},
	{"applications", []string{"TERMINAL", "WWWBROWSER", "MAILCLIENT", "OFFICE"}},
	{"multidisp", false},
	{"sshproxyport", 22},
	{"sound", true},
	{"rootless", true},
	{"iconvto", "UTF-8"},
	{"soundtunnel", true},
	{"dpi", 96},
	{"setdpi", false},
	{"pack", "16m-jpeg"},
	{"directrdp", false},
}

// brokerKeys are client keys that a site cannot set below x2go: the broker
// alone sets the first group, the others have their place in the profile.
var brokerKeys = map[string]string{
	"host":          "the broker sets it from the server",
	"sshport":       "the broker sets it from the server",
	"status":        "the broker sets it from the user's sessions",
	"key":           "the broker sets it",
	"user":          "the broker sets it from the login",
	"name":          "write it at the top of the profile",
	"icon":          "write it at the top of the profile",
	"autologin":     "write it at the top of the profile",
	"usebrokerpass": "write it at the top of the profile",
}

// desktops are the commands that X2Go Client knows as desktops; they are sent
// in upper case and never rootless, as the reference broker does.
var desktops = []string{
	"KDE", "GNOME", "XFCE", "CINNAMON", "MATE", "LXDE", "TRINITY",
	"UNITY", "ICEWM", "OPENBOX", "XDMCP",
}

// settings completes the values that a profile gives with the defaults.
func settings(given map[string]any) []Setting {
	out := make([]Setting, 0, len(settingRules))
	desktop := false
	for _, r := range settingRules {
		v, ok := given[r.key]
		if !ok {
			v = r.def
		}
		switch r.key {
		case "command":
			for _, d := range desktops {
				if strings.EqualFold(v.(string), d) {
					v, desktop = d, true
				}
			}
		case "rootless":
			v = v.(bool) && !desktop
		}
		out = append(out, Setting{Key: r.key, Value: v})
	}
	return out
}
