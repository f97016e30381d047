package main

import (
	"fmt"
	"net/http"
	"net/http/httptest"
	"testing"
)

func TestFrontendsAreFoundByThePathThatWasSent(t *testing.T) {
	says := func(text string) http.Handler {
		return http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { fmt.Fprint(w, text) })
	}
	f := &frontends{all: []below{{"/x2go/plain/", says("plain")}, {"/x2go/json/", says("json")}}, rest: says("rest")}
	for path, want := range map[string]string{
		"/x2go/plain/":            "plain",
		"/x2go/plain/a/b?c=d":     "plain",
		"/x2go/plain/a%2Fb":       "plain",
		"/x2go/json/inifile":      "json",
		"/x2go/plain":             "rest",
		"/x2go/pl%61in/":          "rest",
		"/x2go%2Fplain/":          "rest",
		"/plain/":                 "rest",
		"/":                       "rest",
		"/x2go/other/x2go/plain/": "rest",
	} {
		w := httptest.NewRecorder()
		f.ServeHTTP(w, httptest.NewRequest(http.MethodPost, path, nil))
		if got := w.Body.String(); got != want {
			t.Errorf("%s: %s answers, want %s", path, got, want)
		}
	}
}
