package x2go.placement_test

import data.x2go.placement

_site := {
	"params": {"zones": {"north": ["labs"]}},
	"servers": {
		"ts01": {"weight": 200, "capacity": {"sessions": 3}},
		"ts02": {"weight": 100, "labels": {"zone": "north"}},
		"gpu01": {"weight": 100, "labels": {"cards": "4"}},
		"gpu02": {"weight": 100, "labels": {"cards": "2", "reserved": "vision"}},
	},
}

_busy(count) := {"sessions": count, "inflight": 0}

_asks(groups, networks, servers) := {
	"user": {"name": "ann", "groups": groups},
	"client": {"address": "192.0.2.1", "networks": networks},
	"servers": servers,
}

_scores(networks, servers) := scores if {
	scores := placement.scores with data.site as _site with input as _asks([], networks, servers)
}

_excluded(groups, servers) := excluded if {
	excluded := placement.excluded with data.site as _site with input as _asks(groups, [], servers)
}

test_servers_nearby_come_first if {
	_scores(["labs"], {"ts01": _busy(1), "ts02": _busy(39)}) == {"ts01": 10.01, "ts02": 0.4}
}

test_at_home_no_server_is_nearby if {
	_scores(["vpn"], {"ts01": _busy(1), "ts02": _busy(39)}) == {"ts01": 10.01, "ts02": 10.4}
}

test_cards_count_instead_of_weights if {
	_scores([], {"gpu01": _busy(1), "gpu02": _busy(1)}) == {"gpu01": 10.5, "gpu02": 11}
}

test_a_reserved_server_is_for_its_group if {
	_excluded(["staff"], {"gpu02": _busy(0)}) == {"gpu02": {"reserved for vision"}}
	_excluded(["vision"], {"gpu02": _busy(0)}) == {}
}

test_a_full_server_is_excluded if {
	_excluded([], {"ts01": _busy(3), "ts02": _busy(300)}) == {"ts01": {"full: 3 of 3 sessions"}}
}

test_a_server_may_have_two_reasons if {
	_excluded([], {"gpu02": _busy(2)}) == {"gpu02": {"2 of 2 cards taken", "reserved for vision"}}
}
