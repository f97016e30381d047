package x2go.lib.sessions_test

import data.x2go.lib.sessions

asks(now) := {
	"profile_id": "office",
	"time": {"unix": now},
	"sessions": {
		"s1": {"profile_id": "office", "state": "suspended", "changed": 100},
		"s2": {"profile_id": "office", "state": "suspended", "changed": 150},
		"r1": {"profile_id": "office", "state": "running", "changed": 120},
		"lab": {"profile_id": "lab", "state": "suspended", "changed": 190},
	},
}

test_suspended_sessions_of_the_profile_are_resumed if {
	sessions.resume == {"s1": 100, "s2": 50} with input as asks(200)
}

test_running_sessions_of_the_profile_are_taken_over if {
	sessions.takeover == {"r1": 80} with input as asks(200)
}

test_there_are_no_limits if sessions.limits == {} with input as asks(200)
