package config_test

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

func secretFile(t *testing.T, text string) string {
	t.Helper()
	file := filepath.Join(t.TempDir(), "secret")
	if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	return file
}

func TestAWebhookHasASecret(t *testing.T) {
	file := secretFile(t, "a good long secret\n")
	c, err := load(t, users+fmt.Sprintf(`webhook: {path: "/hook/", kind: "gitlab", secretFile: %q}`, file))
	if err != nil {
		t.Fatal(err)
	}
	if w := c.Webhook; w.Path != "/hook" || w.Kind != "gitlab" || string(w.Secret) != "a good long secret" || len(c.Warnings) != 0 {
		t.Errorf("%+v, warnings %q", w, c.Warnings)
	}
	if c, err := load(t, users+fmt.Sprintf(`webhook: {path: "/hook", kind: "github", secretFile: %q}`, secretFile(t, "short"))); err != nil ||
		len(c.Warnings) != 1 || !strings.Contains(c.Warnings[0], "openssl rand -hex 32") {
		t.Errorf("a short secret: %v, %q", err, c.Warnings)
	}
	for name, test := range map[string][2]string{
		"empty":       {fmt.Sprintf(`{path: "/hook", kind: "github", secretFile: %q}`, secretFile(t, " \n")), "is empty"},
		"not there":   {`{path: "/hook", kind: "github", secretFile: "/nonexistent"}`, "not found"},
		"huge":        {fmt.Sprintf(`{path: "/hook", kind: "github", secretFile: %q}`, secretFile(t, strings.Repeat("x", 5000))), "right file?"},
		"itself":      {`{path: "/hook", kind: "github", secretFile: "s3cret"}`, "must be the absolute path"},
		"none":        {`{path: "/hook", kind: "github"}`, "webhook.secretFile: required field is missing"},
		"other forge": {fmt.Sprintf(`{path: "/hook", kind: "svn", secretFile: %q}`, file), "webhook.kind"},
		"no path":     {fmt.Sprintf(`{path: "hook", kind: "github", secretFile: %q}`, file), "is no path"},
		"root":        {fmt.Sprintf(`{path: "/", kind: "github", secretFile: %q}`, file), "is no path"},
		"taken":       {fmt.Sprintf(`{path: "/plain/../plain/x", kind: "github", secretFile: %q}`, file), "is taken"},
		"below json":  {fmt.Sprintf(`{path: "/json/x", kind: "github", secretFile: %q}`, file), "is taken"},
	} {
		_, err := load(t, users+"webhook: "+test[0])
		if err == nil || !strings.Contains(err.Error(), test[1]) {
			t.Errorf("%s: %v, want %q", name, err, test[1])
		}
		if err != nil && strings.Contains(err.Error(), "s3cret") {
			t.Errorf("%s: tells the secret: %v", name, err)
		}
	}
}

func TestMetricsForOtherMachinesAreWarnedOf(t *testing.T) {
	for address, want := range map[string]int{"127.0.0.1:9090": 0, "[::1]:9090": 0, "0.0.0.0:9090": 1} {
		c, err := load(t, users+fmt.Sprintf("listen: metrics: %q", address))
		if err != nil || c.Listen.Metrics != address || len(c.Warnings) != want {
			t.Errorf("%s: %v, warnings %q", address, err, c.Warnings)
		}
	}
	if _, err := load(t, users+`listen: metrics: "9090"`); err == nil || !strings.Contains(err.Error(), "listen.metrics") {
		t.Errorf("no address: %v", err)
	}
}
