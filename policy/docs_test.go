package policy

import (
	"os"
	"regexp"
	"testing"

	"github.com/x2broker/x2broker/schema"
)

func TestTheExamplesInTheDocsCompile(t *testing.T) {
	page, err := os.ReadFile("../docs/policy.md")
	if err != nil {
		t.Fatal(err)
	}
	examples := regexp.MustCompile("(?s)```rego\n(.*?)```").FindAllStringSubmatch(string(page), -1)
	if len(examples) < 4 {
		t.Fatalf("%d examples only", len(examples))
	}
	access := map[string][]byte{"policy/access.rego": []byte(examples[0][1])}
	for _, example := range examples {
		files := map[string][]byte{"policy/example.rego": []byte(example[1])}
		if regexp.MustCompile(`package \S+_test\n`).MatchString(example[1]) {
			files = map[string][]byte{"policy/access_test.rego": []byte(example[1]), "policy/access.rego": access["policy/access.rego"]}
		}
		cat := site(t, map[string]schema.Access{}, server("ts01"))
		if _, diags := Compile(t.Context(), cat, files); len(diags) > 0 {
			t.Errorf("%s\n%v", example[1], diags)
		}
	}
}
