package frontend

import (
	"errors"
	"io"
	"maps"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"unicode"
	"unicode/utf8"
)

func parse(query, contentType, body string) (Form, error) {
	r := httptest.NewRequest(http.MethodPost, "/plain/?"+query, strings.NewReader(body))
	if contentType != "" {
		r.Header.Set("Content-Type", contentType)
	}
	return ParseForm(httptest.NewRecorder(), r)
}

const form = "application/x-www-form-urlencoded"

func TestABodyIsReadToItsEnd(t *testing.T) {
	for name, tt := range map[string]struct {
		size   int
		length int64 // as told
		good   bool
	}{
		"empty":                 {0, 0, true},
		"short":                 {300, 300, true},
		"long":                  {60_000, 60_000, true},
		"of an unknown length":  {300, -1, true},
		"short, and cut off":    {299, 300, false},
		"too long, as it tells": {MaxBody + 1, MaxBody + 1, false},
		"too long":              {MaxBody + 1, -1, false},
	} {
		t.Run(name, func(t *testing.T) {
			text := strings.Repeat("x", tt.size)
			r := httptest.NewRequest(http.MethodPost, "/plain/", io.NopCloser(strings.NewReader(text)))
			r.ContentLength = tt.length
			f, err := ParseForm(httptest.NewRecorder(), r)
			if (err == nil) != tt.good {
				t.Fatalf("got %v", err)
			}
			if _, ok := f[text]; tt.good && tt.size > 0 && !ok {
				t.Error("the field is not what was sent")
			}
		})
	}
}

func TestForms(t *testing.T) {
	multipart := "--b\r\nContent-Disposition: form-data; name=\"user\"\r\n\r\nmaja\r\n--b--\r\n"
	tests := map[string]struct {
		query, contentType, body string
		want                     Form
		status                   int // of the refusal, 0 for none
	}{
		"as X2Go Client sends it":        {"", form, "task=listsessions&user=b%C3%BCro&password=a%20b&authid=", Form{"task": "listsessions", "user": "büro", "password": "a b", "authid": ""}, 0},
		"plus is a blank":                {"", form, "password=a+b", Form{"password": "a b"}, 0},
		"without a type":                 {"", "", "user=maja", Form{"user": "maja"}, 0},
		"with another type":              {"", "application/json", "user=maja", Form{"user": "maja"}, 0},
		"with a broken type":             {"", ";;", "user=maja", Form{"user": "maja"}, 0},
		"multipart":                      {"", "multipart/form-data; boundary=b", multipart, Form{"user": "maja"}, 0},
		"multipart without its end":      {"", "multipart/form-data; boundary=b", multipart[:len(multipart)-8], nil, 400},
		"multipart without a boundary":   {"", "multipart/form-data", multipart, nil, 400},
		"the last of a name counts":      {"", form, "task=a&task=b&user=x&user=", Form{"task": "b", "user": ""}, 0},
		"the body overrides the query":   {"task=a&sid=s", form, "task=b", Form{"task": "b", "sid": "s"}, 0},
		"a semicolon is no separator":    {"", form, "sid=a;b&task=t", Form{"sid": "a;b", "task": "t"}, 0},
		"an equals sign in a value":      {"", form, "password=a=b", Form{"password": "a=b"}, 0},
		"blanks around a password stay":  {"", form, "password=%20a%20&user=%20maja%20", Form{"password": " a ", "user": "maja"}, 0},
		"a line break behind a task":     {"", form, "task=listsessions%0A", Form{"task": "listsessions"}, 0},
		"a password in the URL":          {"password=x", form, "", nil, 400},
		"a user in the URL":              {"user=x", form, "user=y", nil, 400},
		"a broken escape":                {"", form, "user=%zz", nil, 400},
		"a user that is not UTF-8":       {"", form, "user=%FF%FE", nil, 400},
		"a field name that is not UTF-8": {"", form, "%FF=1", nil, 400},
		"line feed in the user":          {"", form, "user=a%0Ab", nil, 400},
		"carriage return in the ticket":  {"", form, "authid=a%0D", nil, 400},
		"NUL in the password":            {"", form, "password=a%00", nil, 400},
		"line feed in the profile id":    {"", form, "sid=a%0Ab", nil, 400},
		"line feed in the account":       {"", form, "login=%0Aroot", nil, 400},
		"line feed in the key":           {"", form, "pubkey=ssh-rsa%0A", nil, 400},
		"C1 control in the user":         {"", form, "user=a%C2%85", nil, 400},
		"control in an unknown field":    {"", form, "start=a%09b", Form{"start": "a\tb"}, 0},
		"the key of python-x2go":         {"", form, "pubkey=no-X11-forwarding,no-pty,no-user-rc+ssh-rsa+AAAAB3Nz%2B/A%3D%3D+", Form{"pubkey": "no-X11-forwarding,no-pty,no-user-rc ssh-rsa AAAAB3Nz+/A=="}, 0},
		"a key with a quoted option":     {"", form, "pubkey=from%3D%22a,+b%22,no-pty+ssh-ed25519+AAAA+me@home", Form{"pubkey": `from="a, b",no-pty ssh-ed25519 AAAA me@home`}, 0},
		"a key that is none":             {"", form, "pubkey=hello", nil, 400},
		"a key with a broken option":     {"", form, "pubkey=from%3D%22a+ssh-rsa+AAAA", nil, 400},
		"a private key":                  {"", form, "pubkey=-----BEGIN+RSA+PRIVATE+KEY-----", nil, 400},
		"an endless key":                 {"", form, "pubkey=ssh-rsa+" + strings.Repeat("A", 9000), nil, 400},
		"too many fields":                {"", form, strings.Repeat("&", 10) + many(65), nil, 400},
		"1 MB":                           {"", form, "user=" + strings.Repeat("a", 1<<20), nil, 413},
		"1 MB of multipart":              {"", "multipart/form-data; boundary=b", strings.Replace(multipart, "maja", strings.Repeat("a", 1<<20), 1), nil, 413},
		"nothing":                        {"", form, "", Form{}, 0},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			got, err := parse(test.query, test.contentType, test.body)
			var refusal *FormError
			switch {
			case test.status == 0 && err != nil:
				t.Errorf("refused: %v", err)
			case test.status != 0 && (!errors.As(err, &refusal) || refusal.Status != test.status):
				t.Errorf("got %v, %v, want status %d", got, err, test.status)
			case test.status == 0 && !maps.Equal(got, test.want):
				t.Errorf("got %q, want %q", got, test.want)
			}
		})
	}
}

func many(n int) string {
	var b strings.Builder
	for i := range n {
		b.WriteString("&f")
		b.WriteString(strings.Repeat("x", i))
		b.WriteString("=1")
	}
	return b.String()
}

func FuzzParseForm(f *testing.F) {
	f.Add("task=listsessions", form, "user=maja&password=x&authid=a-b_c")
	f.Add("", "multipart/form-data; boundary=b", "--b\r\nContent-Disposition: form-data; name=\"user\"\r\n\r\nmaja\r\n--b--\r\n")
	f.Add("", "", "user=%0A&sid=a;b&&=&%41=1")
	f.Fuzz(func(t *testing.T, query, contentType, body string) {
		r := httptest.NewRequest(http.MethodPost, "/plain/", strings.NewReader(body))
		r.URL.RawQuery = query
		r.Header["Content-Type"] = []string{contentType}
		got, err := ParseForm(httptest.NewRecorder(), r)
		var refusal *FormError
		if err != nil && !errors.As(err, &refusal) {
			t.Errorf("error %v is no refusal", err)
		}
		for _, name := range []string{"user", "password", "authid", "login", "sid", "pubkey", "newpass"} {
			if v := got[name]; !utf8.ValidString(v) || strings.ContainsFunc(v, unicode.IsControl) {
				t.Errorf("%s got through as %q", name, v)
			}
		}
	})
}
