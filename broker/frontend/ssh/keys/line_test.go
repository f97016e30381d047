package keys

import (
	"bytes"
	"crypto/ed25519"
	"crypto/sha256"
	"fmt"
	"net"
	"net/netip"
	"slices"
	"strings"
	"testing"
	"time"

	"golang.org/x/crypto/ssh"
	"pgregory.net/rapid"
)

// FuzzAuthorizedKeys holds the lines that are taken against another reading of
// the same format: the key is the same, and no option is overlooked.
func FuzzAuthorizedKeys(f *testing.F) {
	good := line("", key("alice"))
	for _, options := range []string{
		"", "restrict", `from="10.0.0.0/8"`, `command="echo \"x, y\" \\"`, `from="*",expiry-time="20270101Z"`, ",", `"`, `\"`, `x="a b",pty`,
		"ssh-ed25519", `restrict,command="x ` + good + `"`, "RESTRICT\t", "no-pty,,pty",
	} {
		f.Add(options + " " + good)
	}
	f.Add(good + "\r\n#\n\n" + good[:30] + "\nssh-rsa " + good)
	f.Add("ssh-ed25519 " + good)
	f.Fuzz(func(t *testing.T, text string) {
		entries, broken := parseKeys(text, time.UTC)
		lines := strings.Split(text, "\n")
		if len(entries)+len(broken) > len(lines) {
			t.Fatalf("%d entries and %d mistakes in %d lines", len(entries), len(broken), len(lines))
		}
		for _, e := range entries {
			checkAsCryptoReads(t, lines[e.line-1], e)
		}
	})
}

func checkAsCryptoReads(t interface {
	Helper()
	Fatalf(string, ...any)
}, text string, e entry,
) {
	t.Helper()
	k, _, options, _, err := ssh.ParseAuthorizedKey([]byte(text))
	if err != nil {
		t.Fatalf("%q is taken, and golang.org/x/crypto/ssh says %v", text, err)
	}
	if !bytes.Equal(k.Marshal(), e.key.Marshal()) {
		t.Fatalf("%q is another key for golang.org/x/crypto/ssh", text)
	}
	for _, o := range options {
		name, _, hasValue := strings.Cut(strings.ToLower(o), "=")
		switch {
		case e.never != "":
		case name == "from" && e.from != nil:
		case name == "expiry-time" && !e.until.IsZero():
		case hasValue && (name == "permitopen" || name == "permitlisten"):
		case !hasValue && slices.Contains(harmless, name):
		default:
			t.Fatalf("%q: the option %q is overlooked", text, o)
		}
	}
}

func TestLinesReadBackAsTheyWereWritten(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		var options []string
		var until time.Time
		networks := rapid.SliceOfN(rapid.SampledFrom([]string{"10.0.0.0/8", "!10.1.0.0/16", "192.0.2.7", "2001:db8::/32", "*", "10.1.*"}), 0, 4).Draw(t, "from")
		if len(networks) > 0 {
			options = append(options, fmt.Sprintf(`from="%s"`, strings.Join(networks, ",")))
		}
		if rapid.Bool().Draw(t, "expires") {
			until = time.Unix(rapid.Int64Range(0, 4e9).Draw(t, "until"), 0).UTC()
			options = append(options, fmt.Sprintf(`expiry-time="%s"`, until.Format("20060102150405Z")))
		}
		options = append(options, rapid.SliceOfN(rapid.SampledFrom(harmless), 0, 3).Draw(t, "harmless")...)
		command := rapid.StringMatching(`[ -~]{0,20}`).Draw(t, "command")
		limited := rapid.Bool().Draw(t, "limited") && !strings.HasSuffix(command, `\`)
		if limited {
			options = append(options, `command="`+strings.ReplaceAll(command, `"`, `\"`)+`"`)
		}
		options = rapid.Permutation(options).Draw(t, "options")
		k := key(rapid.StringN(1, 5, -1).Draw(t, "key"))
		text := line(strings.Join(options, ","), k)
		e, err := parseLine(text, time.UTC)
		if err != nil {
			t.Fatalf("%s: %v", text, err)
		}
		if !bytes.Equal(e.key.Marshal(), k.Marshal()) || !e.until.Equal(until) || (e.from != nil) != (len(networks) > 0) || (e.never != "") != limited {
			t.Fatalf("%s: %+v", text, e)
		}
		checkAsCryptoReads(t, text, e)
	})
}

// What from= includes is what it says, read by the standard library of another
// age and by a plain recursion.
func TestFromIncludesWhatItSays(t *testing.T) {
	address := rapid.Custom(func(t *rapid.T) netip.Addr {
		if rapid.Bool().Draw(t, "IPv6") {
			return netip.AddrFrom16([16]byte{0x20, 1, 0xd, 0xb8, 14: rapid.SampledFrom([]byte{0, 1}).Draw(t, "a"), 15: rapid.Byte().Draw(t, "b")})
		}
		return netip.AddrFrom4([4]byte{10, rapid.SampledFrom([]byte{0, 1}).Draw(t, "a"), 0, rapid.Byte().Draw(t, "b")})
	})
	one := rapid.Custom(func(t *rapid.T) string {
		a := address.Draw(t, "address")
		switch rapid.IntRange(0, 2).Draw(t, "kind") {
		case 0:
			return netip.PrefixFrom(a, rapid.IntRange(0, a.BitLen()).Draw(t, "bits")).Masked().String()
		case 1:
			text := []byte(a.String())
			for range rapid.IntRange(1, 3).Draw(t, "jokers") {
				text[rapid.IntRange(0, len(text)-1).Draw(t, "at")] = rapid.SampledFrom([]byte("*?")).Draw(t, "joker")
			}
			if a.Is4() || bytes.ContainsRune(text, ':') { // else it could be a name
				return string(text)
			}
		}
		return a.String()
	})
	rapid.Check(t, func(t *rapid.T) {
		list := rapid.SliceOfN(one, 1, 4).Draw(t, "list")
		included, excluded := false, false
		a := address.Draw(t, "from")
		for i, s := range list {
			in := includes(s, a)
			if rapid.Bool().Draw(t, "not") {
				list[i] = "!" + s
				excluded = excluded || in
			} else {
				included = included || in
			}
		}
		p, err := parsePatterns(strings.Join(list, ","))
		if err != nil {
			t.Fatal(err)
		}
		if got, want := p.match(a), included && !excluded; got != want {
			t.Fatalf("%v from %v: %v, want %v", list, a, got, want)
		}
	})
}

func includes(s string, a netip.Addr) bool {
	if _, n, err := net.ParseCIDR(s); err == nil {
		return n.Contains(a.AsSlice())
	}
	return glob(s, a.String())
}

func glob(pattern, s string) bool {
	switch {
	case pattern == "":
		return s == ""
	case pattern[0] == '*':
		return glob(pattern[1:], s) || s != "" && glob(pattern, s[1:])
	}
	return s != "" && (pattern[0] == '?' || pattern[0] == s[0]) && glob(pattern[1:], s[1:])
}

func TestFrom(t *testing.T) {
	for list, tc := range map[string]struct{ address, err string }{
		"10.1.2.3":                 {"10.1.2.3", ""},
		"10.1.2.*":                 {"10.1.2.3", ""},
		"10.1.2.?":                 {"10.1.2.3", ""},
		"2001:DB8::/32":            {"2001:db8::1", ""},
		"2001:DB8:*":               {"2001:db8::1", ""},
		"::ffff:10.1.2.3":          {"10.1.2.3", ""},
		"desk.example.org,10.*":    {"10.1.2.3", ""},
		"!192.0.2.0/24,*":          {"10.1.2.3", ""},
		"*.de,10.*":                {"10.1.2.3", ""},
		"!*.de,*":                  {"", "looks up no names"},
		"!desk,*":                  {"", "looks up no names"},
		"!fe80*,*":                 {"", "looks up no names"},
		"!10.1,*":                  {"", "looks up no names"},
		"10.0.0.0/8, 192.0.2.0/24": {"", "a blank within"},
		"10.0.0.0/33":              {"", "neither"},
		"10.0.0.1/8":               {"", "neither"},
		"::ffff:10.0.0.0/104":      {"", "neither"},
		"fe80::1%eth0":             {"", "neither"},
		"10.0.0.0/8,":              {"", "empty"},
		"!":                        {"", "empty"},
	} {
		p, err := parsePatterns(list)
		switch {
		case tc.err != "":
			if err == nil || !strings.Contains(err.Error(), tc.err) {
				t.Errorf("%s: %v, want %q", list, err, tc.err)
			}
		case err != nil || !p.match(netip.MustParseAddr(tc.address)):
			t.Errorf("%s does not include %s: %v", list, tc.address, err)
		}
	}
}

// A security key is asked for a touch, and says with its signature whether it
// had one. The library looks at that by itself; this is what we rely on.
func TestASignatureWithoutATouchIsRefusedByTheLibrary(t *testing.T) {
	k, private := securityKey(t, "token")
	data := []byte("login as alice")
	application, digest := sha256.Sum256([]byte("ssh:")), sha256.Sum256(data)
	for flags, want := range map[byte]bool{0: false, 1: true, 4: false, 5: true} {
		rest := []byte{flags, 0, 0, 0, 9}
		signed := slices.Concat(application[:], rest, digest[:])
		err := k.Verify(data, &ssh.Signature{Format: ssh.KeyAlgoSKED25519, Blob: ed25519.Sign(private, signed), Rest: rest})
		if (err == nil) != want {
			t.Errorf("flags %d: %v", flags, err)
		}
	}
}
