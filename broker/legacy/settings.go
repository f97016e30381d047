package legacy

import (
	"encoding/json"
	"errors"
	"fmt"
	"strings"

	"github.com/x2broker/x2broker/client"
	"github.com/x2broker/x2broker/schema"
)

// builtin are the options of profiles that the old broker has a type and a
// default for, apart from host, sshport, user and the ACLs. The defaults are
// those of x2broker, too.
var builtin = map[string]any{
	"command": "TERMINAL", "kdrive": false, "defsndport": true, "useiconv": false, "iconvfrom": "UTF-8",
	"iconvto": "UTF-8", "width": 800, "height": 600, "export": "", "quality": 9, "fullscreen": false,
	"layout": "", "variant": "", "useexports": true, "speed": 2, "soundsystem": "pulse", "print": true,
	"type": "auto", "sndport": 4713, "xinerama": true, "usekbd": true, "fstunnel": true,
	"applications": []string{"TERMINAL", "WWWBROWSER", "MAILCLIENT", "OFFICE"},
	"multidisp":    false, "sshproxyport": 22, "sound": true, "rootless": true, "soundtunnel": true,
	"dpi": 96, "setdpi": false, "pack": "16m-jpeg", "directrdp": false,
}

// topFields are the options that are no key of x2go but a field of the profile.
var topFields = map[string]any{"autologin": false, "usebrokerpass": false, "icon": ""}

// A setting is what an option of a profile came to.
type setting struct {
	field string // its field in the profile, like x2go.width
	value any    // string, int, bool or []string
	set   bool   // false: the field is not to be written
}

// fieldOf gives the field of an option, and a value of the type that it has
// there; no field for options that no client takes.
func fieldOf(option string) (field string, kind any) {
	if kind, ok := topFields[option]; ok {
		return option, kind
	}
	field = "x2go." + option
	if kind, ok := builtin[option]; ok {
		return field, kind
	}
	for _, try := range []any{true, json.Number("1"), "x", ""} {
		if _, err := schema.CheckSetting(option, try); err == nil {
			switch try.(type) {
			case json.Number:
				return field, 0
			case bool:
				return field, false
			}
			return field, ""
		}
	}
	if _, err := schema.CheckSetting(option, "x"); err != nil && strings.Contains(err.Error(), "is no session key") {
		return "", nil
	}
	return field, ""
}

// errOldBroker says that the old broker fails at a value for every request.
type errOldBroker struct{ err error }

func (e *errOldBroker) Error() string { return e.err.Error() }

// readSetting gives an option its type. Texts are what X2Go Client made of them,
// which reads quotes and escapes as QSettings does; the old broker sent them as
// they were. The error is an *errOldBroker, or says why the site cannot have the
// value.
func readSetting(option, text string) (setting, error) {
	field, kind := fieldOf(option)
	s := setting{field: field}
	_, typed := builtin[option]
	var value any
	switch kind.(type) {
	case string:
		value = client.AsWritten(text)
	case bool:
		switch {
		case option == "setdpi": // a number to the old broker
			n, err := parseInt(text)
			if err != nil {
				return s, &errOldBroker{err}
			}
			value = n != "0"
		case typed:
			b, err := parseBool(text)
			if err != nil {
				return s, &errOldBroker{err}
			}
			value = b
		default:
			value = clientBool(text)
		}
	case int:
		n, err := parseInt(text)
		if err != nil && typed {
			return s, &errOldBroker{err}
		} else if err != nil {
			return s, err
		}
		value = json.Number(n)
	case []string:
		entries, err := splitList(text)
		if err != nil {
			return s, err
		}
		list := []any{}
		for _, e := range entries {
			if e != "" {
				list = append(list, e)
			}
		}
		value = list
	}
	if _, top := topFields[option]; top {
		s.value, s.set = value, true
		return s, badText(value)
	}
	checked, err := schema.CheckSetting(option, value)
	if err != nil {
		return s, errors.New(strings.TrimPrefix(err.Error(), "key "+option+": "))
	}
	s.value, s.set = checked, true
	return s, nil
}

// badText says why a text cannot be a field at the top of a profile.
func badText(value any) error {
	text, ok := value.(string)
	if !ok {
		return nil
	}
	// The schema has the same rule for every text that reaches a client.
	if _, err := schema.CheckSetting("layout", text); err != nil {
		return errors.New(strings.TrimPrefix(err.Error(), "key layout: "))
	}
	return nil
}

// desktops are the commands that the old broker sent in capitals, and not as
// rootless.
var desktops = map[string]bool{
	"KDE": true, "GNOME": true, "XFCE": true, "CINNAMON": true, "MATE": true, "LXDE": true,
	"TRINITY": true, "UNITY": true, "ICEWM": true, "OPENBOX": true, "XDMCP": true,
}

// shown writes a value for people.
func shown(value any) string {
	if s, ok := value.(string); ok {
		return fmt.Sprintf("%q", s)
	}
	return strings.Trim(fmt.Sprint(value), "[]")
}
