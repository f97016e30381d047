package rehearse

import (
	"strconv"
	"strings"

	"github.com/x2broker/x2broker/client"
)

// A kind is how X2Go Client reads a key.
type kind int

const (
	text   kind = iota
	flag        // as Qt does: everything but "", 0 and false is true
	number      // what is no number is 0
)

// Who takes a key from a broker.
type reader int

const (
	x2goClient reader = iota
	pyhoca            // Python X2Go, not X2Go Client
	nobody
)

// A key is what X2Go Client knows about a key of a session profile.
type key struct {
	kind   kind
	absent string // what a profile without it means, as [key.normal] has it
	reader reader
}

// keys are those of docs/profiles.md, and the broker's own. What a profile
// without them means is the client's default (onmainwindow.cpp, X2Go Client
// 4.1.2.2).
var keys = map[string]key{
	"name":          {absent: "New Session"},
	"icon":          {absent: ":/img/icons/128x128/x2gosession.png"},
	"user":          {},
	"autologin":     {kind: flag, absent: "false"},
	"usebrokerpass": {kind: flag, absent: "false"},

	"command":               {absent: "KDE"},
	"rootless":              {kind: flag, absent: "false"},
	"published":             {kind: flag, absent: "false"},
	"applications":          {reader: nobody},
	"width":                 {kind: number, absent: "800"},
	"height":                {kind: number, absent: "600"},
	"fullscreen":            {kind: flag, absent: "false"},
	"maxdim":                {kind: flag, absent: "false"},
	"multidisp":             {kind: flag, absent: "false"},
	"display":               {kind: number, absent: "1"},
	"xinerama":              {kind: flag, absent: "false"},
	"dpi":                   {kind: number, absent: "96"},
	"setdpi":                {kind: flag, absent: "false"},
	"kdrive":                {kind: flag, absent: "false"},
	"speed":                 {kind: number, absent: "2"},
	"pack":                  {absent: "16m-jpeg"},
	"quality":               {kind: number, absent: "9"},
	"clipboard":             {absent: "both"},
	"usekbd":                {kind: flag, absent: "true"},
	"type":                  {absent: "auto"},
	"layout":                {reader: pyhoca},
	"variant":               {reader: pyhoca},
	"sound":                 {kind: flag, absent: "true"},
	"soundsystem":           {absent: "pulse"},
	"soundtunnel":           {kind: flag, absent: "true"},
	"startsoundsystem":      {kind: flag, absent: "true"},
	"sndport":               {kind: number, absent: "0"},
	"defsndport":            {kind: flag, absent: "true"},
	"print":                 {kind: flag, absent: "true"},
	"useexports":            {kind: flag, absent: "true", reader: pyhoca},
	"export":                {},
	"fstunnel":              {kind: flag, absent: "true", reader: nobody},
	"useiconv":              {kind: flag, absent: "false", reader: pyhoca},
	"iconvfrom":             {reader: pyhoca},
	"iconvto":               {reader: pyhoca},
	"startembed":            {kind: flag, absent: "true", reader: nobody},
	"krblogin":              {kind: flag, absent: "false"},
	"krbdelegation":         {kind: flag, absent: "false"},
	"usesshproxy":           {kind: flag, absent: "false"},
	"sshproxytype":          {absent: "SSH"},
	"sshproxyhost":          {},
	"sshproxyport":          {kind: number, absent: "22"},
	"sshproxyuser":          {},
	"sshproxyautologin":     {kind: flag, absent: "false"},
	"sshproxykrblogin":      {kind: flag, absent: "false"},
	"sshproxysameuser":      {kind: flag, absent: "false"},
	"sshproxysamepass":      {kind: flag, absent: "false"},
	"sshproxysamekey":       {kind: flag, absent: "false"},
	"sshproxykeyfile":       {},
	"usebrokerpassforproxy": {kind: flag, absent: "false"},
	"usebrokeruserforproxy": {kind: flag, absent: "false"},
	"directrdp":             {kind: flag, absent: "false"},
	"rdpclient":             {absent: "rdesktop"},
	"rdpport":               {kind: number, absent: "3389"},
	"directrdpsettings":     {},
	"rdpserver":             {},
	"rdpoptions":            {},
	"xdmcpserver":           {absent: "localhost"},
	"directxdmcp":           {kind: flag, absent: "false"},
	"xdmcpclient":           {absent: "Xnest"},
	"directxdmcpsettings":   {},
	"shadowuser":            {reader: nobody},
	"shadowdisplay":         {reader: nobody},
	"shadowfullaccess":      {kind: flag, absent: "false", reader: nobody},
}

// A reading is one broker's value of a key.
type reading struct {
	present bool
	means   string // to X2Go Client, alike for values that it takes for the same
	meant   string // by who wrote it; differs where the client garbles it
}

// read gives what a profile says about a key.
func (k key) read(p client.Profile, name string) reading {
	raw, ok := p.Raw[name]
	if !ok {
		return reading{means: k.absent, meant: k.absent}
	}
	elements, means := client.AsRead(raw), ""
	if len(elements) == 1 {
		means = elements[0]
	}
	return reading{present: true, means: k.normal(means), meant: k.normal(client.AsWritten(raw))}
}

// normal makes one text of all that mean the same.
func (k key) normal(s string) string {
	switch k.kind {
	case flag:
		s = strings.ToLower(s)
		return strconv.FormatBool(s != "" && s != "0" && s != "false")
	case number:
		n, _ := strconv.Atoi(strings.TrimSpace(s))
		return strconv.Itoa(n)
	}
	return s
}

// show is the reading for people.
func (k key) show(r reading) string {
	shown := r.means
	if k.kind == text {
		shown = strconv.Quote(r.means)
	}
	if r.present {
		return shown
	}
	return "left out (" + shown + ")"
}
