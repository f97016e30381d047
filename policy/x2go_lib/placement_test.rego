package x2go.lib.placement_test

import data.x2go.lib.placement

test_the_score_is_sessions_per_weight if {
	placement.scores == {"big": 0.25, "small": 4, "idle": 0.5} with data.site as {"servers": {
		"big": {"weight": 20},
		"small": {"weight": 1},
		"idle": {"weight": 2},
	}}
		with input as {"servers": {
			"big": {"sessions": 3, "inflight": 1},
			"small": {"inflight": 3},
		}}
}

test_a_server_without_a_weight_weighs_one if {
	placement.scores.ts01 == 1 with data.site as {"servers": {"ts01": {}}}
		with input as {}
}

test_a_full_server_is_excluded if {
	placement.excluded == {"full": "full: 3 of 3 sessions", "over": "full: 4 of 3 sessions"} with data.site as {"servers": {
		"full": {"capacity": {"sessions": 3}},
		"over": {"capacity": {"sessions": 3}},
		"room": {"capacity": {"sessions": 3}},
		"endless": {"capacity": {}},
		"silent": {},
	}}
		with input as {"servers": {
			"full": {"sessions": 2, "inflight": 1},
			"over": {"sessions": 4, "inflight": 0},
			"room": {"sessions": 2, "inflight": 0},
			"endless": {"sessions": 900, "inflight": 0},
		}}
}
