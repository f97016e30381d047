package main

import (
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"os"
)

// brokerURL reads the URL of a broker as X2Go Client takes it.
func brokerURL(s string) (*url.URL, error) {
	u, err := url.Parse(s)
	if err != nil || u.Scheme != "http" && u.Scheme != "https" && u.Scheme != "ssh" || u.Host == "" {
		return nil, usageError(fmt.Errorf("%q is no URL of a broker, like http://127.0.0.1:8080/plain/", s))
	}
	if _, has := u.User.Password(); has {
		return nil, usageError(errors.New("a password in the URL would be seen by every user of this machine: leave it out"))
	}
	return u, nil
}

// trusting gives TLS settings that trust the CA in a PEM file, or the system's
// without one.
func trusting(ca string) (*tls.Config, error) {
	if ca == "" {
		return &tls.Config{}, nil
	}
	pem, err := os.ReadFile(ca)
	if err != nil {
		return nil, err
	}
	pool := x509.NewCertPool()
	if !pool.AppendCertsFromPEM(pem) {
		return nil, fmt.Errorf("%s: no PEM certificate in it", ca)
	}
	return &tls.Config{RootCAs: pool}, nil
}

// brokerClient follows no redirects, as X2Go Client does not.
func brokerClient(transport *http.Transport) *http.Client {
	return &http.Client{
		Transport:     transport,
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
	}
}

// passwordFrom is the first line of a file.
func passwordFrom(file string) (string, error) {
	f, err := os.Open(file)
	if err != nil {
		return "", err
	}
	defer f.Close()
	password, err := firstLine(f)
	if err != nil {
		return "", fmt.Errorf("%s: %w", file, err)
	}
	return password, nil
}
