package schema

import (
	"strings"

	"cuelang.org/go/cue"
)

// A settingRule is a client key that a site may set below x2go, with the value
// that is sent when it does not. Optional ones are then left out.
type settingRule struct {
	key      string
	def      any // string, int, bool or []string: also the key's type
	optional bool
	path     cue.Path // of the key
}

// settingRules are in the order in which the reference broker sends them;
// clients do not depend on it. setdpi is a number on the wire.
var settingRules = withPaths([]settingRule{
	{key: "command", def: "TERMINAL"},
	{key: "kdrive", def: false},
	{key: "defsndport", def: true},
	{key: "useiconv", def: false},
	{key: "iconvfrom", def: "UTF-8"},
	{key: "height", def: 600},
	{key: "export", def: ""},
	{key: "quality", def: 9},
	{key: "fullscreen", def: false},
	{key: "layout", def: ""},
	{key: "useexports", def: true},
	{key: "width", def: 800},
	{key: "speed", def: 2},
	{key: "soundsystem", def: "pulse"},
	{key: "print", def: true},
	{key: "type", def: "auto"},
	{key: "sndport", def: 4713},
	{key: "xinerama", def: true},
	{key: "variant", def: ""},
	{key: "usekbd", def: true},
	{key: "fstunnel", def: true},
	{key: "applications", def: []string{"TERMINAL", "WWWBROWSER", "MAILCLIENT", "OFFICE"}},
	{key: "multidisp", def: false},
	{key: "sshproxyport", def: 22},
	{key: "sound", def: true},
	{key: "rootless", def: true},
	{key: "iconvto", def: "UTF-8"},
	{key: "soundtunnel", def: true},
	{key: "dpi", def: 96},
	{key: "setdpi", def: false},
	{key: "pack", def: "16m-jpeg"},
	{key: "directrdp", def: false},

	{key: "published", def: false, optional: true},
	{key: "maxdim", def: false, optional: true},
	{key: "display", def: 1, optional: true},
	{key: "clipboard", def: "", optional: true},
	{key: "startsoundsystem", def: true, optional: true},
	{key: "startembed", def: true, optional: true},
	{key: "krblogin", def: false, optional: true},
	{key: "krbdelegation", def: false, optional: true},
	{key: "usesshproxy", def: false, optional: true},
	{key: "sshproxytype", def: "", optional: true},
	{key: "sshproxyhost", def: "", optional: true},
	{key: "sshproxyuser", def: "", optional: true},
	{key: "sshproxyautologin", def: false, optional: true},
	{key: "sshproxykrblogin", def: false, optional: true},
	{key: "sshproxysameuser", def: false, optional: true},
	{key: "sshproxysamepass", def: false, optional: true},
	{key: "sshproxysamekey", def: false, optional: true},
	{key: "sshproxykeyfile", def: "", optional: true},
	{key: "usebrokerpassforproxy", def: false, optional: true},
	{key: "usebrokeruserforproxy", def: false, optional: true},
	{key: "rdpclient", def: "", optional: true},
	{key: "rdpport", def: 0, optional: true},
	{key: "directrdpsettings", def: "", optional: true},
	{key: "rdpserver", def: "", optional: true},
	{key: "rdpoptions", def: "", optional: true},
	{key: "xdmcpserver", def: "", optional: true},
	{key: "directxdmcp", def: false, optional: true},
	{key: "xdmcpclient", def: "", optional: true},
	{key: "directxdmcpsettings", def: "", optional: true},
	{key: "shadowuser", def: "", optional: true},
	{key: "shadowdisplay", def: "", optional: true},
	{key: "shadowfullaccess", def: false, optional: true},
})

func withPaths(rules []settingRule) []settingRule {
	for i := range rules {
		rules[i].path = cue.MakePath(cue.Str(rules[i].key))
	}
	return rules
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
// as it spells them and never rootless. The reference broker does not know LXQt.
var desktops = []string{
	"KDE", "GNOME", "XFCE", "CINNAMON", "MATE", "LXDE", "TRINITY",
	"UNITY", "ICEWM", "OPENBOX", "LXQt", "XDMCP",
}

// settings completes the values that a profile gives with the defaults.
func settings(given map[string]any) []Setting {
	out := make([]Setting, 0, len(settingRules))
	desktop := false
	for _, r := range settingRules {
		v, ok := given[r.key]
		if !ok {
			if r.optional {
				continue
			}
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
