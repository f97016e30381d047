package config

import (
	"io/fs"
	"net"
	"net/netip"
	"os"
	"path"
	"path/filepath"
	"strconv"
	"strings"
)

// Numbers of connections without a broker.cue.
const (
	DefaultConnections = 8192
	DefaultPerAddress  = 1024

	maxConnections  = 1 << 20
	defaultUnixMode = 0o660
)

// Listen is where the broker answers. An empty address is off.
type Listen struct {
	HTTP           string
	HTTPS          string
	SSH            string
	Unix           Unix
	OpenSSH        OpenSSH
	Metrics        string // for Prometheus, in clear
	TLS            TLS
	TrustedProxies []netip.Prefix
	ProxyProtocol  bool   // trusted proxies send PROXY headers
	BasePath       string // "/" or "/prefix", no slash at the end
	Connections    int    // open ones, in all
	PerAddress     int    // of one IPv4 address or IPv6 /64
}

// Unix is a unix socket; without a path it is off.
type Unix struct {
	Path  string
	Mode  fs.FileMode
	Group string
}

// OpenSSH is the socket of `x2broker ssh`.
type OpenSSH struct {
	Unix
	TrustAddress bool // the client is where SSH_CLIENT says
}

// TLS names PEM files.
type TLS struct{ Cert, Key, ClientCA string }

// rawListen is the listen block as CUE decodes it.
type rawListen struct {
	HTTP    *string
	HTTPS   string
	SSH     string
	Unix    struct{ Path, Mode, Group string }
	OpenSSH struct {
		Path, Mode, Group string
		TrustAddress      bool
	}
	Metrics        string
	TLS            TLS
	TrustedProxies []string
	ProxyProtocol  bool
	BasePath       string
	Limits         struct{ Connections, PerAddress *int }
}

func (r *rawListen) fill(c *Config, p *problems) {
	l := &c.Listen
	if r.HTTP != nil {
		l.HTTP = *r.HTTP
	}
	l.HTTPS, l.SSH, l.Metrics, l.TLS, l.ProxyProtocol = r.HTTPS, r.SSH, r.Metrics, r.TLS, r.ProxyProtocol
	if l.HTTPS != "" && (l.TLS.Cert == "" || l.TLS.Key == "") {
		p.add("listen.tls", "https needs the PEM files cert and key")
	}
	if info, err := os.Stat(l.TLS.Key); err == nil && info.Mode().Perm()&0o007 != 0 {
		c.warn("listen.tls.key %s can be read by every user of this machine: chmod 0640 it", l.TLS.Key)
	}
	if r.Unix.Path != "" {
		l.Unix = Unix{Path: r.Unix.Path, Mode: p.mode("listen.unix.mode", r.Unix.Mode, defaultUnixMode), Group: r.Unix.Group}
	}
	if o := r.OpenSSH; o.Path != "" {
		l.OpenSSH = OpenSSH{Unix{Path: o.Path, Mode: p.mode("listen.openssh.mode", o.Mode, defaultUnixMode), Group: o.Group}, o.TrustAddress}
	}
	l.TrustedProxies = p.prefixes("listen.trustedProxies", r.TrustedProxies)
	if r.BasePath != "" {
		l.BasePath = p.basePath(r.BasePath)
	}
	if n := r.Limits.Connections; n != nil {
		l.Connections = *n
		l.PerAddress = min(l.PerAddress, *n)
	}
	if n := r.Limits.PerAddress; n != nil {
		l.PerAddress = *n
	}
}

// validate checks what flags may have changed.
func (l *Listen) validate(c *Config, p *problems) {
	if l.HTTP == "" && l.HTTPS == "" && l.SSH == "" && l.Unix.Path == "" && l.OpenSSH.Path == "" {
		p.add("listen", "the broker would listen nowhere: give http, https, ssh, unix or openssh")
	}
	for _, a := range []struct{ field, address, like string }{
		{"listen.http", l.HTTP, DefaultListenHTTP},
		{"listen.https", l.HTTPS, "0.0.0.0:443"},
		{"listen.ssh", l.SSH, "0.0.0.0:2222"},
		{"listen.metrics", l.Metrics, "127.0.0.1:9090"},
	} {
		if a.address == "" {
			continue
		}
		_, port, err := net.SplitHostPort(a.address)
		if err == nil {
			_, err = net.LookupPort("tcp", port)
		}
		if err != nil {
			p.add(a.field, "%q is no host:port, like %q", a.address, a.like)
		}
	}
	if l.HTTP != "" && !loopback(l.HTTP) {
		c.warn("listen.http %s is reachable from other machines, and passwords travel in clear there: use https, or a proxy in front", l.HTTP)
	}
	if l.Metrics != "" && !loopback(l.Metrics) {
		c.warn("listen.metrics %s is reachable from other machines: anybody there can read the figures of the broker", l.Metrics)
	}
	if l.Unix.Path != "" && !filepath.IsAbs(l.Unix.Path) {
		p.add("listen.unix.path", "%q is no absolute path", l.Unix.Path)
	}
	if l.Unix.Mode&0o007 != 0 {
		c.warn("listen.unix.mode %04o lets every user of this machine in, and who comes through the socket is believed like a proxy: use 0660 and group", l.Unix.Mode)
	}
	l.OpenSSH.validate(c, p)
	if l.ProxyProtocol && len(l.TrustedProxies) == 0 && l.Unix.Path == "" {
		p.add("listen.proxyProtocol", "nobody may send PROXY headers: name the proxy in trustedProxies")
	}
	if l.Connections < 1 || l.Connections > maxConnections {
		p.add("listen.limits.connections", "%d is not between 1 and %d", l.Connections, maxConnections)
	}
	if l.PerAddress < 1 || l.PerAddress > l.Connections {
		p.add("listen.limits.perAddress", "%d is not between 1 and limits.connections, %d", l.PerAddress, l.Connections)
	}
}

func (o OpenSSH) validate(c *Config, p *problems) {
	switch {
	case o.Path == "":
		return
	case !filepath.IsAbs(o.Path):
		p.add("listen.openssh.path", "%q is no absolute path", o.Path)
	case o.Path == c.Listen.Unix.Path:
		p.add("listen.openssh.path", "listen.unix has the same path: proxies and users need a socket each")
	}
	if o.Mode&0o007 != 0 {
		c.warn("listen.openssh.mode %04o lets every account of this machine ask, those of daemons too: use 0660 and group", o.Mode)
	}
}

var (
	loopback4 = netip.MustParsePrefix("127.0.0.0/8")
	loopback6 = netip.MustParsePrefix("::1/128")
)

// loopbackOnly is whether nobody reaches the broker from another machine but
// through a proxy that says who he is. Behind OpenSSH everybody may be from
// elsewhere, and looks as if he were here.
func (c *Config) loopbackOnly() bool {
	if c.Listen.OpenSSH.Path != "" {
		return false
	}
	for _, address := range []string{c.Listen.HTTP, c.Listen.HTTPS, c.Listen.SSH} {
		if address != "" && !loopback(address) {
			return false
		}
	}
	return true
}

func loopback(hostport string) bool {
	host, _, err := net.SplitHostPort(hostport)
	if err != nil {
		return false
	}
	a, err := netip.ParseAddr(host)
	return host == "localhost" || err == nil && a.IsLoopback()
}

// basePath gives "/" or "/prefix".
func (p *problems) basePath(s string) string {
	if !strings.HasPrefix(s, "/") || strings.ContainsAny(s, "{}*?#% ") {
		p.add("listen.basePath", "%q is no path, like \"/\" or \"/broker\"", s)
		return "/"
	}
	return path.Clean(s)
}

// mode reads the permissions of a file; "" leaves def.
func (p *problems) mode(field, s string, def fs.FileMode) fs.FileMode {
	if s == "" {
		return def
	}
	mode, err := strconv.ParseUint(s, 8, 9)
	if err != nil {
		p.add(field, "%q is no mode, like \"0660\"", s)
		return def
	}
	return fs.FileMode(mode)
}
