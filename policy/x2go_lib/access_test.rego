package x2go.lib.access_test

import data.x2go.lib.access

# METADATA
# title: A catalog that says of access only what each test is about
catalog(rules) := {"profiles": {"office": {"access": rules}}}

alice := {
	"user": {"name": "alice", "groups": ["staff"]},
	"client": {"address": "10.1.2.3", "networks": ["campus"]},
}

seen(rules) if {
	access.visible.office with data.site as catalog(rules)
		with input as alice
}

test_everyone_sees_it if seen({"everyone": true})

test_a_user_sees_it if seen({"users": ["bob", "alice"]})

test_a_group_sees_it if seen({"groups": ["staff"]})

test_nobody_sees_an_empty_access if not seen({})

test_nobody_sees_a_profile_without_access if {
	count(access.visible) == 0 with data.site as {"profiles": {"office": {}}}
		with input as alice
}

test_a_network_alone_grants_nobody if not seen({"from": ["campus"]})

test_the_place_may_be_a_network if seen({"everyone": true, "from": ["campus"]})

test_the_place_may_be_a_cidr if seen({"everyone": true, "from": ["192.0.2.0/24", "10.1.0.0/16"]})

test_another_place_does_not_do if not seen({"everyone": true, "from": ["exam", "192.0.2.0/24"]})

test_no_place_named_is_any_place if seen({"everyone": true, "from": []})

test_a_denied_user_is_out if not seen({"everyone": true, "deny": {"users": ["alice"]}})

test_a_denied_group_is_out if not seen({"everyone": true, "deny": {"groups": ["staff"]}})

test_a_denied_network_is_out if not seen({"everyone": true, "deny": {"from": ["campus"]}})

test_a_denied_cidr_is_out if not seen({"everyone": true, "deny": {"from": ["10.0.0.0/8"]}})

test_an_empty_deny_takes_nothing if seen({"everyone": true, "deny": {"users": [], "groups": [], "from": []}})

test_visible_can_be_iterated if {
	access.visible == {"a", "b"} with data.site as {"profiles": {
		"a": {"access": {"everyone": true}},
		"b": {"access": {"users": ["alice"]}},
		"c": {"access": {"users": ["bob"]}},
	}}
		with input as alice
}
