// Package uccs answers greeters that speak UCCS, the Unity Greeter Cloud Service:
// they send the user's name and password and get his remote desktops, each with
// the server to start it on. There is no select and no ticket.
//
// It parses, calls broker/session and renders, as x2gobroker 0.0.4.3 does. What
// differs from the reference broker:
//
//   - Basic authentication works, and every request is answered;
//   - the server of a desktop is the one that a select would choose;
//   - everything below /uccs/ is 404 when the frontend is switched off.
package uccs

import (
	"bytes"
	"errors"
	"net"
	"net/http"
	"net/netip"
	"regexp"
	"strconv"
	"time"

	"github.com/x2broker/x2broker/broker/frontend"
	"github.com/x2broker/x2broker/broker/session"
)

// Options are what a Frontend needs to know besides the service.
type Options struct {
	frontend.Options
	URL       string // of the broker, without a slash at the end; "" as the request has it
	BasePath  string // behind the host of a request, "" or "/prefix"
	Anonymous bool   // nobody needs a password: credentials are not looked at
	Now       func() time.Time
}

// Frontend is an http.Handler for everything below /uccs/.
type Frontend struct{ Options }

// New returns a Frontend.
func New(o Options) *Frontend { return &Frontend{o} }

// The paths behind /uccs/.
var (
	baseURL = regexp.MustCompile(`^[a-zA-Z]*/*$`)
	apiURL  = regexp.MustCompile(`^(.*)/api/([0-9])/*$`)
)

// ServeHTTP answers one request. Its path is what follows /uccs/.
func (f *Frontend) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	api := apiURL.FindStringSubmatch(r.URL.Path)
	switch {
	case api != nil && frontend.Allow(w, r, http.MethodGet):
		f.list(w, r, api[1], api[2])
	case api != nil: // answered
	case !baseURL.MatchString(r.URL.Path):
		frontend.NotFound(w, r)
	case frontend.Allow(w, r, http.MethodGet, http.MethodHead):
		now := f.Now().UTC().Format("2006-01-02 15:04:05.000000")
		frontend.Send(w, http.StatusOK, "text/html; charset=UTF-8", []byte(now))
	}
}

// list answers with the desktops of the user.
func (f *Frontend) list(w http.ResponseWriter, r *http.Request, backend, version string) {
	req := session.Request{Frontend: "uccs"}
	req.Address = frontend.Address(r.Context())
	if f.Anonymous {
		req.Name = "anonymous"
	} else {
		var ok bool
		if req.Name, req.Password, ok = r.BasicAuth(); !ok {
			unauthorized(w)
			return
		}
		req.Domain = true
	}
	zeroconf, ok := frontend.Backend(backend, f.Zeroconf)
	if !ok {
		frontend.NotFound(w, r)
		return
	}
	req.Zeroconf = zeroconf
	assigned, err := f.Service.Assign(r.Context(), req)
	if err != nil {
		f.fail(w, r, err)
		return
	}
	b := &bytes.Buffer{}
	frontend.WriteJSON(b, answer(f.url(r, backend), version, assigned), "  ")
	frontend.Send(w, http.StatusOK, "text/plain; charset=utf-8", b.Bytes())
}

// url is the address of this list's broker.
func (f *Frontend) url(r *http.Request, backend string) string {
	url := f.URL
	if url == "" {
		scheme := "http"
		if r.TLS != nil {
			scheme = "https"
		}
		url = scheme + "://" + r.Host + f.BasePath
	}
	url += "/uccs/"
	if backend != "" {
		url += backend + "/"
	}
	return url
}

// answer is what greeters read. Versions other than 4 are as 5.
func answer(url, version string, assigned session.Assigned) map[string]any {
	servers := []map[string]any{}
	reply := map[string]any{"Name": "X2Go Session Broker", "URL": url, "AdditionalManagementServers": []string{}}
	for _, a := range assigned.Profiles {
		servers = append(servers, server(version, assigned.User, a))
		reply["DefaultServer"] = a.Name // the last one, as with the reference broker
	}
	reply["RemoteDesktopServers"] = servers
	return reply
}

func server(version, user string, a session.Assignment) map[string]any {
	command, rdp := "", false
	for _, s := range a.Settings {
		switch s.Key {
		case "command":
			command, _ = s.Value.(string)
		case "directrdp":
			rdp, _ = s.Value.(bool)
		}
	}
	fields := map[string]any{"Name": a.Name, "Username": user, "Password": ""}
	if rdp {
		fields["Protocol"], fields["URL"] = "rdp", "http://"+host(a.Address)+"/"
		fields["DomainRequired"], fields["WindowsDomain"] = true, "LOCAL"
		return fields
	}
	fields["Protocol"], fields["URL"] = "x2go", "http://"+net.JoinHostPort(a.Address, strconv.Itoa(a.Port))+"/"
	if version == "4" {
		fields["SessionType"], fields["SessionTypeRequired"] = command, true
	} else {
		fields["Command"], fields["CommandRequired"] = command, true
	}
	return fields
}

// host puts brackets around an IPv6 address.
func host(address string) string {
	if a, err := netip.ParseAddr(address); err == nil && a.Is6() {
		return "[" + address + "]"
	}
	return address
}

// fail answers what cannot be granted.
func (f *Frontend) fail(w http.ResponseWriter, r *http.Request, err error) {
	var (
		denied  *session.DeniedError
		refused *session.RefusedError
	)
	switch {
	case errors.As(err, &denied) && denied.RetryAfter > 0:
		frontend.RetryAfter(w, denied.RetryAfter)
		frontend.Fail(w, http.StatusTooManyRequests, "")
	case errors.As(err, &denied):
		unauthorized(w)
	case errors.As(err, &refused):
		frontend.Fail(w, http.StatusForbidden, refused.Reason)
	default:
		frontend.FailService(w, r, f.Log, err)
	}
}

// unauthorized asks for name and password.
func unauthorized(w http.ResponseWriter) {
	w.Header().Set("WWW-Authenticate", `Basic realm="Authentication required"`)
	frontend.Send(w, http.StatusUnauthorized, "text/html; charset=UTF-8", nil)
}
