package identity

import (
	"crypto/x509"
	"fmt"
	"os"
)

// ReadCAs gives the authorities in a PEM file that may vouch for whom an
// authenticator asks, nil for "": those of the system.
func ReadCAs(file string) (*x509.CertPool, error) {
	if file == "" {
		return nil, nil // those of the system
	}
	pem, err := os.ReadFile(file)
	if err != nil {
		return nil, err
	}
	pool := x509.NewCertPool()
	if !pool.AppendCertsFromPEM(pem) {
		return nil, fmt.Errorf("%s has no certificate in PEM form", file)
	}
	return pool, nil
}
