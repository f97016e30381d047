package source

import (
	"bufio"
	"bytes"
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"io"
	"mime"
	"net/http"
	"net/url"
	"os"
	"strconv"
	"strings"
	"time"

	"github.com/go-git/go-git/v5/plumbing/protocol/packp"
)

const (
	maxRedirects   = 3
	maxHeaderBytes = 64 << 10
	maxTokenBytes  = 16 << 10
	uploadPackType = "application/x-git-upload-pack-"
	defaultUser    = "x-access-token"
	// Some servers speak Git only to what looks like it.
	userAgent = "git/2.0 (x2broker)"
)

// smartHTTP is a conversation over HTTPS: one request for the refs, one for the
// pack. The context ends requests and the reading of their answers.
type smartHTTP struct {
	ctx    context.Context
	client *http.Client
	base   string // the repository's URL, where a redirect may have led to
	auth   Auth
	token  string // "" for none
	body   io.Closer
}

// dialHTTPS reads token and certificates anew, so that renewed ones count at
// once. Nothing goes over the network yet.
func dialHTTPS(ctx context.Context, base string, auth Auth) (conversation, error) {
	h := &smartHTTP{ctx: ctx, base: base, auth: auth}
	tlsConfig := &tls.Config{MinVersion: tls.VersionTLS12}
	var err error
	if auth.TokenFile != "" {
		if h.token, err = readToken(auth.TokenFile); err != nil {
			return nil, err
		}
	}
	if auth.CAFile != "" {
		if tlsConfig.RootCAs, err = readCAs(auth.CAFile); err != nil {
			return nil, err
		}
	}
	h.client = &http.Client{
		CheckRedirect: stayAtHost,
		Transport: &http.Transport{
			Proxy:                  http.ProxyFromEnvironment,
			TLSClientConfig:        tlsConfig,
			MaxResponseHeaderBytes: maxHeaderBytes,
			DisableCompression:     true, // limits count what is received
		},
	}
	return h, nil
}

// readToken gives the token in the file, without the newline at its end.
func readToken(file string) (string, error) {
	data, err := readSecret(file)
	if err != nil {
		return "", lasting("site.auth.tokenFile: %w", err)
	}
	token := strings.TrimSpace(string(data))
	if token == "" || strings.ContainsFunc(token, func(r rune) bool { return r <= ' ' || r > '~' }) {
		return "", lasting("site.auth.tokenFile: %s: must hold one token, on one line", file)
	}
	return token, nil
}

// readSecret reads a small file that nobody but its owner and group may read.
func readSecret(file string) ([]byte, error) {
	f, err := os.Open(file)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	info, err := f.Stat()
	if err != nil {
		return nil, err
	}
	if info.Mode().Perm()&0o007 != 0 {
		return nil, fmt.Errorf("%s can be read by every user of this machine: chmod o= %s", file, file)
	}
	data, err := io.ReadAll(io.LimitReader(f, maxTokenBytes+1))
	if err == nil && len(data) > maxTokenBytes {
		err = fmt.Errorf("%s has more than %d bytes: is it the right file?", file, maxTokenBytes)
	}
	return data, err
}

func readCAs(file string) (*x509.CertPool, error) {
	pem, err := os.ReadFile(file)
	if err != nil {
		return nil, lasting("site.auth.caFile: %w", err)
	}
	pool := x509.NewCertPool()
	if !pool.AppendCertsFromPEM(pem) {
		return nil, lasting("site.auth.caFile: %s: has no certificate in PEM form", file)
	}
	return pool, nil
}

// stayAtHost follows redirects within a server only, so that neither token nor
// trust goes to another.
func stayAtHost(req *http.Request, via []*http.Request) error {
	first := via[0].URL
	switch {
	case req.Method != http.MethodGet:
		return lasting("the server redirects the request for the pack: correct the site's url")
	case req.URL.Scheme != "https" || req.URL.Host != first.Host:
		return lasting("the server redirects to %s://%s, which is not followed: if that is right, write it as the site's url", req.URL.Scheme, req.URL.Host)
	case len(via) > maxRedirects:
		return lasting("the server redirects more than %d times: correct the site's url", maxRedirects)
	}
	return nil
}

const refsPath = "/info/refs"

func (h *smartHTTP) refs() (*packp.AdvRefs, error) {
	const query = "?service=git-upload-pack"
	resp, err := h.do(http.MethodGet, h.base+refsPath+query, nil, "advertisement")
	if err != nil {
		return nil, err
	}
	defer resp.Body.Close()
	at := *resp.Request.URL // behind redirects
	at.RawQuery = ""
	base, ok := strings.CutSuffix(at.String(), refsPath)
	if !ok {
		return nil, lasting("the server redirects to %s, which is no repository: correct the site's url", at.Redacted())
	}
	h.base = base
	return readRefs(bufio.NewReader(resp.Body))
}

func (h *smartHTTP) pack(req *packp.UploadPackRequest) (io.Reader, error) {
	var body bytes.Buffer
	if err := writeRequest(&body, req, true); err != nil {
		return nil, err
	}
	resp, err := h.do(http.MethodPost, h.base+"/git-upload-pack", &body, "result")
	if err != nil {
		return nil, err
	}
	h.body = resp.Body
	return readPack(resp.Body, req)
}

func (h *smartHTTP) close() {
	if h.body != nil {
		_ = h.body.Close()
	}
	h.client.CloseIdleConnections()
}

// do sends a request and gives its answer, if it is one of upload-pack.
func (h *smartHTTP) do(method, address string, body io.Reader, kind string) (*http.Response, error) {
	req, err := http.NewRequestWithContext(h.ctx, method, address, body)
	if err != nil {
		return nil, err
	}
	req.Header.Set("User-Agent", userAgent)
	if body != nil {
		req.Header.Set("Content-Type", uploadPackType+"request")
	}
	if h.token != "" {
		user := h.auth.User
		if user == "" {
			user = defaultUser
		}
		req.SetBasicAuth(user, h.token)
	}
	resp, err := h.client.Do(req)
	if err != nil {
		return nil, withoutURL(err)
	}
	if resp.StatusCode != http.StatusOK {
		resp.Body.Close()
		return nil, h.refused(resp)
	}
	if media, _, _ := mime.ParseMediaType(resp.Header.Get("Content-Type")); media != uploadPackType+kind {
		resp.Body.Close()
		return nil, lasting("what answers there is no Git repository (it says %q): correct the site's url", plainText(media))
	}
	return resp, nil
}

// withoutURL takes the URL off an error, which the source's name says already.
func withoutURL(err error) error {
	if in := new(url.Error); errors.As(err, &in) {
		return in.Err
	}
	return err
}

// refused says what an answer means that is no pack and no list of refs.
func (h *smartHTTP) refused(resp *http.Response) error {
	switch code := resp.StatusCode; {
	case code == http.StatusUnauthorized && h.token == "":
		return lasting("the server wants a token (status 401): put one that may read the repository into a file and name it as site.auth.tokenFile")
	case code == http.StatusUnauthorized:
		return lasting("the server refuses the token in %s (status 401): it is wrong or has expired: renew it, and look at site.auth.user", h.auth.TokenFile)
	case code == http.StatusForbidden && h.token != "":
		return lasting("the token in %s may not read this repository (status 403): give it the right to read", h.auth.TokenFile)
	case code == http.StatusForbidden:
		return lasting("the server does not let anybody read this repository (status 403): name a token as site.auth.tokenFile")
	case code == http.StatusNotFound && h.token != "":
		return lasting("repository not found: check the url, and that the token in %s may read it: many servers do not say which", h.auth.TokenFile)
	case code == http.StatusNotFound, code == http.StatusGone:
		return lasting("repository not found: check the url; if it is not public, name a token as site.auth.tokenFile")
	case code == http.StatusProxyAuthRequired:
		return lasting("the proxy wants a password (status 407)")
	case code == http.StatusTooManyRequests || code == http.StatusServiceUnavailable:
		after := retryAfter(resp.Header.Get("Retry-After"), time.Now())
		text := fmt.Errorf("the server asks to come back later (status %d)", code)
		return &FetchError{Kind: Passing, RetryAfter: after, Err: text}
	default:
		return fmt.Errorf("the server answers with status %d: look into its log", code)
	}
}

// retryAfter reads the header of this name: seconds, or a date. 0 is nothing.
func retryAfter(header string, now time.Time) time.Duration {
	if seconds, err := strconv.ParseUint(header, 10, 31); err == nil {
		return time.Duration(seconds) * time.Second
	}
	if date, err := http.ParseTime(header); err == nil {
		return max(0, date.Sub(now))
	}
	return 0
}
