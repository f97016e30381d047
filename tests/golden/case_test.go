package golden_test

import (
	"encoding/base64"
	"encoding/json"
	"fmt"
	"maps"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"
)

// A transcript is one recorded case.
type transcript struct {
	Name   string
	Config struct {
		Broker   *string `json:"x2gobroker.conf"` // nil: there is no such file
		Profiles *string `json:"sessionprofiles"`
		Users    string
		Groups   string
	}
	Steps []step

	others map[string]*transcript // all cases, by name
}

// recorded is the first answer of another case, with any ids.
func (t *transcript) recorded(name string) answer {
	a := t.others[name].Steps[0].Response.answer()
	a.Body = placeholder.ReplaceAllString(a.Body, "{{UUID:any}}")
	return a
}

// defaults are the keys that the old broker sends when a profile does not say
// otherwise.
func (t *transcript) defaults() (keys []keyValue) {
	plainest := t.recorded("list-json-one")
	plainest.each(func(p *listed) {
		p.keep(func(key string) bool { return !slices.Contains([]string{"name", "host", "user"}, key) })
		keys = p.keys
	})
	return keys
}

// A step is a request with its recorded answer, or something that was done
// between two requests.
type step struct {
	Action   string
	Request  *request
	Response *recorded
	Agent    []call     `json:"agent_calls"`
	Repeated int        // requests were sent so often,
	AnyOf    []recorded `json:"response_any_of"` // and these answers came
}

// A call is what the old broker had an agent do.
type call struct {
	Args    []string `json:"argv"`
	Command string   `json:"ssh_original_command"`
}

// deeds are what of an agent's calls changes something on a server.
func (s *step) deeds() (all []string) {
	for _, c := range s.Agent {
		for _, deed := range []string{"addauthkey", "delauthkey", "suspendsession"} {
			if slices.Contains(c.Args, deed) || strings.Contains(c.Command, " "+deed+" ") {
				all = append(all, deed)
			}
		}
	}
	return all
}

type request struct {
	Command []string // of the SSH frontend; nil for HTTP
	RunAs   string   `json:"run_as"`
	Env     map[string]string
	Method  string
	Path    string
	Headers [][2]string
	Body    string
	Base64  string `json:"body_b64"`
	Client  string `json:"client_address"`
}

// bytes is the body.
func (r *request) bytes() []byte {
	if r.Base64 == "" {
		return []byte(r.Body)
	}
	body, err := base64.StdEncoding.DecodeString(r.Base64)
	if err != nil {
		panic(err) // a broken test file
	}
	return body
}

type recorded struct {
	Status  int
	Headers [][2]string
	Body    string
	Never   float64 `json:"no_response_within_seconds"`
	Closed  bool    `json:"connection_closed_without_response"`

	Exit   *int `json:"exit_code"` // of the SSH frontend; nil for HTTP
	Stdout string
}

// An answer is what of a reply is compared.
type answer struct {
	Status  int
	Headers map[string]string // by canonical name
	Body    string
}

// The status of an answer that never came.
const (
	hangs  = -1 // the client waits for ever
	closed = -2 // the connection is closed without a word
)

// unread are headers that no client reads, or that follow from the rest.
var unread = []string{"Server", "Date", "Expires", "Etag", "Connection", "Content-Length", "Cache-Control", "X-Content-Type-Options"}

func (r *recorded) answer() answer {
	switch {
	case r.Never > 0:
		return answer{Status: hangs}
	case r.Closed:
		return answer{Status: closed}
	case r.Exit != nil:
		return printed(*r.Exit, r.Stdout)
	}
	a := answer{Status: r.Status, Headers: map[string]string{}, Body: r.Body}
	for _, h := range r.Headers {
		if name := http.CanonicalHeaderKey(h[0]); !slices.Contains(unread, name) {
			a.Headers[name] = h[1]
		}
	}
	return a
}

// text is an answer as it is compared.
func (a answer) text() string {
	switch a.Status {
	case hangs:
		return "never answered"
	case closed:
		return "connection closed without an answer"
	}
	var b strings.Builder
	fmt.Fprintf(&b, "%d\n", a.Status)
	for _, name := range slices.Sorted(maps.Keys(a.Headers)) {
		fmt.Fprintf(&b, "%s: %s\n", name, a.Headers[name])
	}
	b.WriteString("\n" + a.Body)
	return b.String()
}

// answers are all that were recorded for the step.
func (s *step) answers() []answer {
	if s.Response != nil {
		return []answer{s.Response.answer()}
	}
	var all []answer
	for _, r := range s.AnyOf {
		all = append(all, r.answer())
	}
	return all
}

// transcripts reads all cases, by name.
func transcripts(tb testing.TB) []*transcript {
	tb.Helper()
	files, err := filepath.Glob("testdata/*.json")
	if err != nil {
		tb.Fatal(err)
	}
	var all []*transcript
	for _, file := range files {
		data, err := os.ReadFile(file)
		if err != nil {
			tb.Fatal(err)
		}
		t := &transcript{}
		if err := json.Unmarshal(data, t); err != nil {
			tb.Fatalf("%s: %v", file, err)
		}
		if t.Name != strings.TrimSuffix(filepath.Base(file), ".json") || len(t.Steps) == 0 {
			tb.Fatalf("%s holds the case %q with %d steps", file, t.Name, len(t.Steps))
		}
		all = append(all, t)
	}
	others := map[string]*transcript{}
	for _, t := range all {
		t.others, others[t.Name] = others, t
	}
	return all
}

// oldFiles are the files of the old broker; nil: there is no such file.
type oldFiles struct{ broker, profiles *string }

// act does what was done between two requests. What concerns neither file was
// done to things that this broker does not have.
func (f *oldFiles) act(action string) error {
	switch {
	case action == "x2gobroker.conf removed":
		f.broker = nil
	case strings.HasPrefix(action, "profile file replaced by bytes "):
		text := strings.TrimPrefix(action, "profile file replaced by bytes ")
		text, err := strconv.Unquote(`"` + text + `"`)
		if err != nil {
			return fmt.Errorf("action %q: %w", action, err)
		}
		f.profiles = &text
	case strings.Contains(action, "cookie"), strings.Contains(action, "load checker"), action == "wait 22 s":
	default:
		return fmt.Errorf("action %q is not known", action)
	}
	return nil
}
