package x2go.placement_test

import data.x2go.placement

_site := {"servers": {
	"ts01": {"weight": 200},
	"gpu01": {"weight": 100, "labels": {"balance": "fewest"}},
	"gpu02": {"weight": 100, "labels": {"balance": "fewest", "reserved": "vision"}, "capacity": {"sessions": 2}},
}}

_input(groups, sessions) := {
	"user": {"name": "ann", "groups": groups},
	"servers": {
		"ts01": {"sessions": 3, "inflight": 0},
		"gpu01": {"sessions": 1, "inflight": 1},
		"gpu02": {"sessions": sessions, "inflight": 0},
	},
}

test_sessions_count_on_labelled_servers_and_weights_on_others if {
	placement.scores == {"ts01": 0.02, "gpu01": 2, "gpu02": 1} with data.site as _site
		with input as _input([], 1)
}

test_a_reserved_server_is_for_its_group if {
	placement.excluded == {"gpu02": "reserved for vision"} with data.site as _site with input as _input([], 0)
	placement.excluded == {} with data.site as _site with input as _input(["vision"], 0)
}

test_a_reserved_server_that_is_full_has_one_reason if {
	placement.excluded == {"gpu02": "full: 2 of 2 sessions"} with data.site as _site with input as _input([], 2)
}
