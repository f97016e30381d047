package schema

import (
	"slices"
	"testing"
)

func TestEveryKeyOfTheSchemaIsSentAndTheOtherWayRound(t *testing.T) {
	var rules []string
	for _, r := range settingRules {
		rules = append(rules, r.key)
	}
	keys := fieldsNear([]string{"profiles", "p", "x2go", "key"})
	if len(keys) < 60 {
		t.Errorf("%d keys only", len(keys))
	}
	for _, k := range keys {
		if !slices.Contains(rules, k) {
			t.Errorf("%s is in the schema and has no rule", k)
		}
	}
	for _, k := range rules {
		if !slices.Contains(keys, k) {
			t.Errorf("%s has a rule and is not in the schema", k)
		}
	}
}
