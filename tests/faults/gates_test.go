package faults_test

import (
	"fmt"
	"strings"
	"time"

	"github.com/x2broker/x2broker/broker/snapshot"
)

// limit is how long a site of this test may take to compile, many times more
// than the good ones take.
const limit = 5 * time.Second

// gates are faults of what a site says.
var gates = []fault{
	{
		name: "CUE bomb, long disjunction chain", reason: "[1 error: profiles/bomb.cue: gave up: it took too long; CUE",
		gate:  snapshot.Compiled,
		setup: func(b *broker) { b.options.Limit = limit },
		begin: func(b *broker) {
			var alternatives []string
			for i := range 16 { // minutes
				alternatives = append(alternatives, fmt.Sprintf("({a%d: 1} | {b%d: 2})", i, i))
			}
			b.push("bomb", "profiles/bomb.cue", "package site\n\n_x: "+strings.Join(alternatives, " & ")+"\n")
		},
	},
	{
		name: "CUE bomb, huge comprehension", reason: "evaluating the site takes more than 128 MB of memory: look for large comprehensions",
		gate:  snapshot.Compiled,
		setup: func(b *broker) { b.memory = 128 << 20 },
		begin: func(b *broker) {
			b.push("bomb", "profiles/bomb.cue", "package site\n\nimport (\n\t\"list\"\n\t\"strings\"\n)\n\n"+
				"_x: [for i in list.Range(0, 100, 1) for j in list.Range(0, 100, 1) {strings.Repeat(\"\\(i),\\(j)\", 1000000)}]\n")
		},
	},
	{
		name: "Rego that never ends", reason: "the policy did not decide in time",
		gate: snapshot.Tested,
		begin: func(b *broker) {
			b.push("endless", "policy/access.rego", "package x2go.access\n\nimport data.x2go.lib\n\nvisible contains id if {\n\tlib.access.visible[id]\n\t"+endless+"\n}\n",
				"cases.cue", "package site\n\ncases: everybody: {user: name: \"guest\", address: \"127.0.0.1\", sees: [\"endless\"]}\n")
		},
	},
	{
		name: "Rego test that never ends", reason: "x2go.access_test.test_endless: the test fails: takes more than 5s",
		gate: snapshot.Tested,
		begin: func(b *broker) {
			b.push("endless", "policy/access_test.rego", "package x2go.access_test\n\ntest_endless if "+endless+"\n")
		},
	},
	{
		name: "failing case", reason: "cases.cue:3:8: cases.\"guests\": guest (no groups) from 127.0.0.1 on Mon 2026-01-05 12:00 UTC: expected exactly nothing, got open",
		gate: snapshot.Tested,
		begin: func(b *broker) {
			b.push("open", "cases.cue", "package site\n\ncases: guests: {user: name: \"guest\", address: \"127.0.0.1\", exactly: []}\n")
		},
	},
	{
		name: "failing test", reason: "policy/access_test.rego:3:1: x2go.access_test.test_all_is_well: the test fails",
		gate: snapshot.Tested,
		begin: func(b *broker) {
			b.push("failing", "policy/access_test.rego", "package x2go.access_test\n\ntest_all_is_well if 1 == 2\n")
		},
	},
	{
		name: "lock-out", reason: "locks out too many: of 6 users of the last 7 days 6 would see nothing any more",
		gate: snapshot.Tested,
		begin: func(b *broker) {
			for _, name := range []string{"ann", "ben", "cem", "dia", "eli"} {
				b.seenBy(name)
			}
			b.push("closed", "policy/login.rego", "package x2go.login\n\ndeny contains \"closed\"\n")
		},
	},
}

// endless is a condition that no evaluator gets to the end of.
const endless = "count([1 | some i in numbers.range(1, 100000); some j in numbers.range(1, 100000); i + j < 0]) == 0"
