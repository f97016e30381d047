package hostile_test

import (
	"fmt"
	"io"
	"net/http"
	"os"
	"regexp"
	"strings"
	"testing"

	"github.com/x2broker/x2broker/tests/brokertest"
)

// Class 11. Whoever reads the logs, the figures, the state directory or the list
// of processes learns no password and no ticket; and a crash leaves no core with
// them. One who logs in wrongly has typed something that is nearly right.
func TestSecretsStayInMemory(t *testing.T) {
	metrics := freeAddr(t)
	v := start(t, fmt.Sprintf("metrics: %q", metrics))
	_, body := v.post("/plain/", login())
	match := regexp.MustCompile(`AUTHID:(\S+)`).FindStringSubmatch(body)
	if match == nil {
		t.Fatalf("no ticket in %q", body)
	}
	secrets := []string{"alice-pw", "nearly-r1ght", "n3w-passw0rd", match[1]}
	v.post("/plain/", login("task", "selectsession", "sid", "everywhere", "password", "", "authid", secrets[3]))
	v.post("/json/", login("password", secrets[1]))
	v.post("/json/", login("user", secrets[1], "password", "x")) // typed into the wrong field
	v.post("/plain/", login("task", "setpass", "newpass", secrets[2]))
	v.post("/plain/?password="+secrets[1], login())
	v.send(home, "POST /plain/ HTTP/1.1\r\nHost: broker\r\nConnection: close\r\nAuthorization: "+secrets[1]+"\r\n"+content("user=alice&password="+secrets[1]+"\x00"))

	s, status := v.status()
	proc := fmt.Sprintf("/proc/%d/", s.PID)
	places := map[string]string{"the log": v.Log(), "the status": status, "the metrics": get(t, "http://"+metrics+"/metrics")}
	for _, file := range []string{"cmdline", "environ", "comm"} {
		data, err := os.ReadFile(proc + file)
		if err != nil && !os.IsPermission(err) {
			t.Fatal(err)
		}
		places[file] = string(data)
	}
	for name, text := range v.files() {
		places[name] = text
	}
	for place, text := range places {
		for _, secret := range secrets {
			if strings.Contains(text, secret) && secret != secrets[1] {
				t.Errorf("%s has %q", place, secret)
			}
		}
	}
	if n := strings.Count(places["the log"], secrets[1]); n > 1 { // the name that was refused, once
		t.Errorf("the log has the wrong password %d times", n)
	}
	limits, err := os.ReadFile(proc + "limits")
	if err != nil {
		t.Fatal(err)
	}
	if !regexp.MustCompile(`Max core file size +0 +0 `).Match(limits) {
		t.Errorf("a crash would leave a core:\n%s", limits)
	}
}

func get(t *testing.T, address string) string {
	t.Helper()
	resp, err := brokertest.HTTPFrom(home).Get(address)
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	body, err := io.ReadAll(resp.Body)
	if err != nil || resp.StatusCode != http.StatusOK {
		t.Fatalf("%s: %s, %v", address, resp.Status, err)
	}
	return string(body)
}
