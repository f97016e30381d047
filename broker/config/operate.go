package config

import (
	"bytes"
	"errors"
	"io/fs"
	"os"
	"path"
	"path/filepath"
	"slices"
	"strings"
)

// Webhook is where a forge says that there is a new commit.
type Webhook struct {
	Path   string // below Listen.BasePath; "" is off
	Kind   string // "github", "gitlab" or "forgejo"
	Secret []byte // not empty
}

// rawWebhook is the webhook block as CUE decodes it.
type rawWebhook struct{ Path, Kind, SecretFile string }

// Limits of the file of a webhook's secret, in bytes.
const (
	minSecret = 16
	maxSecret = 4096
)

// taken reports whether something else answers there.
func taken(path string) bool {
	first, _, _ := strings.Cut(strings.TrimPrefix(path, "/"), "/")
	return path == "/healthz" || path == "/readyz" || slices.Contains([]string{"plain", "json", "uccs", "pubkeys"}, first)
}

// fill reads the secret: without one anybody could call.
func (r *rawWebhook) fill(c *Config, p *problems) {
	if r == nil {
		return
	}
	c.Webhook = Webhook{Path: path.Clean(r.Path), Kind: r.Kind}
	switch {
	case !strings.HasPrefix(r.Path, "/") || c.Webhook.Path == "/" || strings.ContainsAny(r.Path, "{}*?#% "):
		p.add("webhook.path", "%q is no path, like \"/hook\"", r.Path)
	case taken(c.Webhook.Path):
		p.add("webhook.path", "%q is taken: choose another, like \"/hook\"", r.Path)
	}
	if !filepath.IsAbs(r.SecretFile) {
		p.add("webhook.secretFile", "must be the absolute path of a file: the secret itself does not belong into broker.cue")
		return
	}
	data, err := os.ReadFile(r.SecretFile)
	secret := bytes.TrimSpace(data)
	switch {
	case errors.Is(err, fs.ErrNotExist):
		p.add("webhook.secretFile", "%s not found: write the secret that the forge has for this webhook into it", r.SecretFile)
		return
	case err != nil:
		p.add("webhook.secretFile", "%v", err)
		return
	case len(secret) == 0:
		p.add("webhook.secretFile", "%s is empty: write the secret that the forge has for this webhook into it", r.SecretFile)
		return
	case len(secret) > maxSecret:
		p.add("webhook.secretFile", "%s has more than %d bytes: is it the right file?", r.SecretFile, maxSecret)
		return
	case len(secret) < minSecret:
		c.warn("webhook.secretFile: the secret has only %d letters: openssl rand -hex 32 makes a better one", len(secret))
	}
	if info, err := os.Stat(r.SecretFile); err == nil && info.Mode().Perm()&0o007 != 0 {
		c.warn("%s can be read by every user of this machine, with the secret of the webhook in it: chmod 0640 it", r.SecretFile)
	}
	c.Webhook.Secret = secret
}
