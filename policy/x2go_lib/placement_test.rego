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

servers := {"servers": {
	"ts01": {"weight": 200, "labels": {"zone": "north"}, "capacity": {"sessions": 60}},
	"ts02": {"weight": 100, "labels": {"zone": "south", "reserved": "vision"}},
	"ts03": {},
}}

facts(ts01) := {
	"user": {"name": "ann", "groups": ["staff"]},
	"client": {"address": "10.1.2.3", "networks": ["labs"]},
	"servers": {"ts01": ts01},
}

test_stale if {
	placement.stale("ts01", 120) == "no report for 300 s" with input as facts({"age_s": 300.2})
	not placement.stale("ts01", 120) with input as facts({"age_s": 120})
	not placement.stale("ts02", 120) with input as facts({"age_s": 300})
}

test_failing if {
	placement.failing("ts01", 3) == "3 failures in a row" with input as facts({"failures": 3})
	not placement.failing("ts01", 3) with input as facts({"failures": 2})
}

test_overloaded if {
	busy := facts({"load1": 6, "inflight": 3, "cpus": 4})
	placement.overloaded("ts01", 1.5) == "load 2.25 per processor" with input as busy
	not placement.overloaded("ts01", 2.25) with input as busy
}

test_overloaded_says_so_in_few_digits if {
	placement.overloaded("ts01", 1) == "load 3 per processor" with input as facts({"load1": 12, "inflight": 0, "cpus": 4})
	placement.overloaded("ts01", 1) == "load 1.33 per processor" with input as facts({"load1": 4, "inflight": 0, "cpus": 3})
}

test_short_of_memory if {
	placement.short_of_memory("ts01", 10) == "7% of the memory free" with input as facts({"mem_available": 79, "mem_total": 1000})
	not placement.short_of_memory("ts01", 10) with input as facts({"mem_available": 100, "mem_total": 1000})
}

test_memory_that_is_not_known_is_not_short if {
	not placement.short_of_memory("ts01", 10) with input as facts({"mem_available": 0, "mem_total": 0})
	not placement.short_of_memory("ts01", 10) with input as facts({})
}

test_reserved if {
	placement.reserved("ts02", "reserved") == "reserved for vision" with data.site as servers with input as facts({})
	not placement.reserved("ts01", "reserved") with data.site as servers with input as facts({})
	not placement.reserved("ts02", "reserved") with data.site as servers
		with input as {"user": {"name": "vic", "groups": ["vision"]}}
}

test_reasons_are_joined_in_order if placement.join({"b", "a", "c"}) == "a; b; c"

test_no_reasons_are_no_reason if not placement.join(set())

test_weighted_counts_the_session_to_come if {
	placement.weighted("ts01") == 0.02 with data.site as servers with input as facts({"sessions": 2, "inflight": 1})
}

test_sessions_are_counted_whatever_the_weight if {
	placement.sessions("ts01") == 3 with data.site as servers with input as facts({"sessions": 2, "inflight": 1})
	placement.sessions("ts02") == 0 with data.site as servers with input as facts({})
}

test_packed_prefers_the_fuller if {
	placement.packed("ts01") < placement.packed("ts02") with data.site as servers with input as facts({"sessions": 2, "inflight": 1})
}

test_load_is_per_processor if {
	placement.load("ts01") == 0.5 with input as facts({"load1": 2, "inflight": 2, "cpus": 8})
}

test_load_with_processors_unknown if {
	placement.load("ts01") == 2 with input as facts({"load1": 2, "inflight": 0, "cpus": 0})
}

test_memory_in_use if {
	placement.memory("ts01") == 0.75 with input as facts({"mem_available": 4, "mem_total": 16})
}

test_memory_that_is_not_known_counts_as_used if {
	placement.memory("ts01") == 1 with input as facts({"mem_available": 0, "mem_total": 0})
	placement.memory("ts02") == 1 with input as facts({"mem_available": 4, "mem_total": 16})
}

zones := object.union(servers, {"params": {"zones": {"north": ["dorms", "labs"], "south": ["lobby"]}}})

test_near_is_the_zone_of_the_client if {
	placement.far("ts01", "zones") == 0 with data.site as zones with input as facts({})
}

test_far_is_another_zone_and_none if {
	placement.far("ts02", "zones") == 1 with data.site as zones with input as facts({})
	placement.far("ts03", "zones") == 1 with data.site as zones with input as facts({})
}

test_all_is_far_without_the_param if {
	placement.far("ts01", "zones") == 1 with data.site as servers with input as facts({})
	placement.far("ts01", "zone") == 1 with data.site as zones with input as facts({})
}
