package frontend

import (
	"errors"
	"fmt"
	"io"
	"mime"
	"mime/multipart"
	"net/http"
	"net/url"
	"regexp"
	"strings"
	"sync"
	"unicode"
	"unicode/utf8"
)

const (
	// MaxBody is the most bytes of a request body; real clients send a few
	// hundred.
	MaxBody = 64 << 10

	// maxKey is the most bytes of a public key; one of RSA with 16384 bits has
	// 2,800.
	maxKey = 8 << 10

	// maxFields is the most fields of a form; the protocol knows 15.
	maxFields = 64
)

// FormError says why a form is refused, with the status to answer.
type FormError struct {
	Status int
	Reason string // for the client: names fields, never values
}

// Error gives the reason.
func (e *FormError) Error() string { return e.Reason }

// Form is the fields of a request; of a repeated one the last counts.
type Form map[string]string

// secrets are fields that a URL must not carry: URLs end up in logs.
var secrets = []string{"user", "password", "authid", "newpass", "pubkey"}

// ParseForm reads the body as a form, whatever its type says (a multipart one
// by its own rules), and the query, which the body overrides. It refuses what
// is too large, is not UTF-8, or has a control character in a field that means
// something; all fields but the passwords lose white space around them,
// as with the reference broker. A pubkey must look like a line of
// authorized_keys. The error is a *FormError.
func ParseForm(w http.ResponseWriter, r *http.Request) (Form, error) {
	f := Form{}
	if err := f.addEncoded(r.URL.RawQuery); err != nil {
		return nil, err
	}
	for _, name := range secrets {
		if _, ok := f[name]; ok {
			return nil, badForm("%s must be sent in the body, not in the URL", name)
		}
	}
	r.Body = http.MaxBytesReader(w, r.Body, MaxBody)
	var err error
	if boundary, ok := multipartForm(r.Header.Get("Content-Type")); ok {
		err = f.addMultipart(multipart.NewReader(r.Body, boundary))
	} else {
		var body string
		if body, err = readBody(r); err == nil {
			err = f.addEncoded(body)
		}
	}
	if err != nil {
		return nil, bodyError(err)
	}
	for name, value := range f {
		cleaned, err := clean(name, value)
		if err != nil {
			return nil, err
		}
		if cleaned != value {
			f[name] = cleaned
		}
	}
	if key := f["pubkey"]; len(key) > maxKey || key != "" && !publicKey.MatchString(key) {
		return nil, badForm("pubkey is no SSH public key")
	}
	return f, nil
}

// rooms are for bodies as real clients send them. Room for others grows with what
// has come.
var rooms = sync.Pool{New: func() any { return new([2 << 10]byte) }}

func readBody(r *http.Request) (string, error) {
	room := rooms.Get().(*[2 << 10]byte)
	defer rooms.Put(room)
	if r.ContentLength < 0 || r.ContentLength > int64(len(room)) {
		body, err := io.ReadAll(r.Body)
		return string(body), err
	}
	body := room[:r.ContentLength]
	defer clear(body) // there are passwords in it
	_, err := io.ReadFull(r.Body, body)
	return string(body), err
}

// multipartForm says whether a body of this type has parts, and what is between
// them. All real clients send the type that is looked at first.
func multipartForm(contentType string) (boundary string, ok bool) {
	if contentType == "application/x-www-form-urlencoded" {
		return "", false
	}
	kind, params, _ := mime.ParseMediaType(contentType)
	return params["boundary"], kind == "multipart/form-data"
}

// publicKey is options, which may have blanks between quotes, then the type of
// the key, the key in Base64, and a comment (sshd(8), AUTHORIZED_KEYS). What the
// key says is for whoever makes use of it.
var publicKey = regexp.MustCompile(`^((?:[!#-~]|"[^"]*")+ +)?(?:ssh|ecdsa|sk-ssh|sk-ecdsa)-[a-z0-9@.-]+ +[A-Za-z0-9+/]+={0,2}(?: .*)?$`)

func bodyError(err error) error {
	var form *FormError
	var large *http.MaxBytesError
	switch {
	case errors.As(err, &form):
		return form
	case errors.As(err, &large):
		return &FormError{http.StatusRequestEntityTooLarge, fmt.Sprintf("the request is larger than %d bytes", MaxBody)}
	}
	return badForm("the request body cannot be read")
}

func badForm(format string, args ...any) *FormError {
	return &FormError{http.StatusBadRequest, fmt.Sprintf(format, args...)}
}

// addEncoded reads name=value&...; a semicolon is an ordinary character, as
// X2Go Client sends sid and authid raw.
func (f Form) addEncoded(s string) error {
	for pair := range strings.SplitSeq(s, "&") {
		if pair == "" {
			continue
		}
		name, value, _ := strings.Cut(pair, "=")
		name, err := url.QueryUnescape(name)
		if err != nil {
			return badForm("a field name has a broken %% escape")
		}
		if value, err = url.QueryUnescape(value); err != nil {
			return badForm("a field has a broken %% escape")
		}
		if err := f.set(name, value); err != nil {
			return err
		}
	}
	return nil
}

func (f Form) addMultipart(m *multipart.Reader) error {
	for {
		part, err := m.NextPart()
		if errors.Is(err, io.EOF) {
			return nil
		}
		if err != nil {
			return err
		}
		value, err := io.ReadAll(part)
		if err != nil {
			return err
		}
		if err := f.set(part.FormName(), string(value)); err != nil {
			return err
		}
	}
}

func (f Form) set(name, value string) error {
	f[name] = value
	if len(f) > maxFields {
		return badForm("the request has more than %d fields", maxFields)
	}
	return nil
}

// clean checks one value and takes white space away where the protocol does.
// Task names alone may have control characters around them.
func clean(name, value string) (string, error) {
	known := false
	switch name {
	case "task":
		value, known = strings.TrimSpace(value), true
	case "user", "password", "authid", "login", "sid", "pubkey", "newpass", "profile-id":
		known = true
	}
	switch {
	case !utf8.ValidString(name) || !utf8.ValidString(value):
		return "", badForm("the request is not valid UTF-8")
	case known && hasControl(value):
		return "", badForm("%s has a control character", name)
	case name == "password" || name == "newpass":
		return value, nil
	}
	return strings.TrimSpace(value), nil
}

func hasControl(s string) bool {
	for i := range len(s) {
		switch c := s[i]; {
		case c < ' ' || c == 0x7f:
			return true
		case c >= utf8.RuneSelf:
			return strings.ContainsFunc(s[i:], unicode.IsControl)
		}
	}
	return false
}
