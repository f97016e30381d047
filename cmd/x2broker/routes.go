package main

import (
	"fmt"
	"log/slog"
	"net/http"
	"strings"
	"time"

	"github.com/go-chi/chi/v5"

	"github.com/x2broker/x2broker/broker/admin"
	"github.com/x2broker/x2broker/broker/config"
	"github.com/x2broker/x2broker/broker/frontend"
	"github.com/x2broker/x2broker/broker/frontend/json"
	"github.com/x2broker/x2broker/broker/frontend/plain"
	"github.com/x2broker/x2broker/broker/frontend/uccs"
	"github.com/x2broker/x2broker/broker/listen"
	"github.com/x2broker/x2broker/broker/session"
	"github.com/x2broker/x2broker/broker/snapshot"
)

// routes is all that the broker answers over HTTP.
func routes(cfg *config.Config, keeper *snapshot.Keeper, service *session.Service, ops *operators, log *slog.Logger) http.Handler {
	base := cfg.Listen.BasePath
	if base == "/" {
		base = ""
	}
	r := chi.NewRouter()
	r.NotFound(frontend.NotFound)
	open := &frontends{rest: r}
	doors := cfg.Frontends
	options := frontend.Options{Service: service, Zeroconf: doors.Zeroconf.Enabled, Bad: ops.metrics.BadRequest, Log: log}
	door := func(path string, enabled bool, h func(frontend.Options) http.Handler) {
		options.Path = base + path
		if enabled {
			open.all = append(open.all, below{options.Path, listen.Whole(h(options))})
		}
	}
	door("/plain/", doors.Plain.Enabled, func(o frontend.Options) http.Handler { return plain.New(o, doors.Plain.DeniedStatus) })
	door("/json/", doors.JSON.Enabled, json.New)
	door("/uccs/", doors.UCCS.Enabled, func(o frontend.Options) http.Handler {
		return http.StripPrefix(o.Path, uccs.New(uccs.Options{
			Options: o, URL: doors.UCCS.URL, BasePath: base, Anonymous: cfg.Open(), Now: time.Now,
		}))
	})
	r.HandleFunc(base+"/", frontend.Index)
	r.Handle(base+"/pubkeys", http.StripPrefix(base, http.HandlerFunc(frontend.PublicKeys)))
	r.Handle(base+"/pubkeys/*", http.StripPrefix(base, http.HandlerFunc(frontend.PublicKeys)))
	r.Method(http.MethodGet, base+"/healthz", admin.Healthz(keeper))
	r.Method(http.MethodGet, base+"/readyz", admin.Readyz(keeper))
	if hook := cfg.Webhook; hook.Path != "" {
		ops.broker.Webhook = admin.NewWebhook(hook.Kind, hook.Secret, keeper.Nudge, ops.metrics, time.Now, log)
		r.Handle(base+hook.Path, ops.broker.Webhook)
	}
	return recoverer(log)(frontend.ClientAddress(cfg.Listen.TrustedProxies)(open))
}

// frontends come before all other routes: a router that can tell more apart
// costs more than it takes to answer most requests.
type frontends struct {
	all  []below
	rest http.Handler
}

// below is a handler for all paths that begin so.
type below struct {
	path string
	http.Handler
}

// ServeHTTP looks at the path as it was sent: with an escape in its beginning it
// is another.
func (f *frontends) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	path := r.URL.RawPath
	if path == "" {
		path = r.URL.Path
	}
	for _, b := range f.all {
		if strings.HasPrefix(path, b.path) {
			b.ServeHTTP(w, r)
			return
		}
	}
	f.rest.ServeHTTP(w, r)
}

// recoverer answers 500 when a handler panics, and says so in the log; other
// requests go on.
func recoverer(log *slog.Logger) func(http.Handler) http.Handler {
	return func(next http.Handler) http.Handler {
		return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			defer func() {
				if v := recover(); v != nil && v != http.ErrAbortHandler {
					log.ErrorContext(r.Context(), "request panicked", "panic", fmt.Sprint(v), "path", r.URL.Path)
					frontend.Fail(w, http.StatusInternalServerError, "")
				}
			}()
			next.ServeHTTP(w, r)
		})
	}
}
