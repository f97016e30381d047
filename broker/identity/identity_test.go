package identity

import (
	"encoding/json"
	"fmt"
	"log/slog"
	"net/netip"
	"strings"
	"testing"
)

func TestCredentialsPrintWithoutSecrets(t *testing.T) {
	c := Credentials{Name: "n-secret", Password: "p-secret", Ticket: "t-secret", Address: addr("192.0.2.1")}
	var out strings.Builder
	for _, verb := range []string{"%v", "%+v", "%#v", "%s", "%q", "%d", "%x"} {
		fmt.Fprintf(&out, verb+"\n", c)
		fmt.Fprintf(&out, verb+"\n", &c)
		fmt.Fprintf(&out, verb+"\n", []any{c, struct{ C Credentials }{c}})
	}
	slog.New(slog.NewTextHandler(&out, nil)).Info("m", "c", c, "p", &c, "s", struct{ C Credentials }{c})
	slog.New(slog.NewJSONHandler(&out, nil)).Info("m", "c", c, "p", &c, "s", struct{ C Credentials }{c})
	if err := json.NewEncoder(&out).Encode(c); err != nil {
		t.Fatal(err)
	}
	if strings.Contains(out.String(), "secret") {
		t.Errorf("a secret got out:\n%s", out.String())
	}
	if !strings.Contains(out.String(), "192.0.2.1") {
		t.Errorf("the address is missing:\n%s", out.String())
	}
}

func TestClientNet(t *testing.T) {
	for in, want := range map[string]string{
		"192.0.2.7":               "192.0.2.7/32",
		"::ffff:192.0.2.7":        "192.0.2.7/32",
		"2001:db8:1:2:3:4:5:6":    "2001:db8:1:2::/64",
		"fe80::1%eth0":            "fe80::/64",
		"::1":                     "::/64",
		"2001:db8:1:2::ffff:c000": "2001:db8:1:2::/64",
	} {
		if got := clientNet(addr(in)).String(); got != want {
			t.Errorf("clientNet(%s) = %s, want %s", in, got, want)
		}
	}
	if clientNet(netip.Addr{}).IsValid() {
		t.Error("no address has a network")
	}
}
