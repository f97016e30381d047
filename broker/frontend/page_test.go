package frontend

import (
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
)

func TestPagesAnswerEveryMethod(t *testing.T) {
	for _, test := range []struct {
		handler      http.HandlerFunc
		method, path string
		status       int
		body         string
	}{
		{Index, "GET", "/", 200, index},
		{Index, "POST", "/", 405, "<html><title>405: Method Not Allowed</title><body>405: Method Not Allowed</body></html>"},
		{PublicKeys, "GET", "/pubkeys", 200, ""},
		{PublicKeys, "GET", "/pubkeys/", 200, ""},
		{PublicKeys, "HEAD", "/pubkeys//", 200, ""},
		{PublicKeys, "POST", "/pubkeys/", 405, "<html><title>405: Method Not Allowed</title><body>405: Method Not Allowed</body></html>"},
		{PublicKeys, "DELETE", "/pubkeys/", 405, "<html><title>405: Method Not Allowed</title><body>405: Method Not Allowed</body></html>"},
		{PublicKeys, "GET", "/pubkeys/x", 404, "<html><title>404: Not Found</title><body>404: Not Found</body></html>"},
		{NotFound, "GET", "/x", 404, "<html><title>404: Not Found</title><body>404: Not Found</body></html>"},
	} {
		w := httptest.NewRecorder()
		test.handler(w, httptest.NewRequest(test.method, test.path, nil))
		if w.Code != test.status || w.Body.String() != test.body {
			t.Errorf("%s %s: %d %q", test.method, test.path, w.Code, w.Body)
		}
		if allow := w.Header().Values("Allow"); test.status == 405 && strings.Join(allow, ", ") != "GET, HEAD" {
			t.Errorf("%s %s: Allow %q", test.method, test.path, allow)
		}
	}
}

func TestReasonsAreNoHTML(t *testing.T) {
	w := httptest.NewRecorder()
	Fail(w, 400, "<script>")
	if want := "<html><title>400: Bad Request</title><body>400: Bad Request: &lt;script&gt;</body></html>"; w.Body.String() != want {
		t.Errorf("got %q, want %q", w.Body, want)
	}
}
