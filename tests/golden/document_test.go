package golden_test

import "testing"

func checkDocument(t *testing.T, cases []*transcript, outcomes []*outcome) {}
