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

# METADATA
# title: The reasons for a profile that says of access only what each test is about
why(rules) := reasons if {
	reasons := access.reasons.office with data.site as catalog(rules)
		with input as alice
}

test_reason_everyone if why({"everyone": true}) == {{"code": "granted-everyone", "message": "granted to everyone"}}

test_reason_user if why({"users": ["alice", "bob"]}) == {{"code": "granted-by-user", "message": "granted to user alice"}}

test_reason_group if {
	why({"groups": ["staff", "students"]}) == {{"code": "granted-by-group", "message": "granted to group staff"}}
}

test_every_reason_is_given if {
	codes := {reason.code | some reason in why({"everyone": true, "users": ["alice"], "groups": ["staff"]})}
	codes == {"granted-everyone", "granted-by-user", "granted-by-group"}
}

test_reason_not_invited if {
	why({"users": ["bob"]}) == {{"code": "not-invited", "message": "granted to none of user alice, group staff"}}
}

test_reason_for_who_has_no_groups if {
	reasons := access.reasons.office with data.site as catalog({"groups": ["staff"]})
		with input as {"user": {"name": "sam", "groups": []}, "client": alice.client}
	reasons == {{"code": "not-invited", "message": "granted to none of user sam"}}
}

test_reason_without_access if {
	reasons := access.reasons.office with data.site as {"profiles": {"office": {}}}
		with input as alice
	reasons == {{"code": "not-invited", "message": "granted to none of user alice, group staff"}}
}

test_reason_not_at_place if {
	why({"everyone": true, "from": ["exam", "192.0.2.0/24"]}) == {
		{"code": "granted-everyone", "message": "granted to everyone"},
		{"code": "not-at-place", "message": "only from exam, 192.0.2.0/24, not from 10.1.2.3"},
	}
}

test_no_reason_for_being_at_the_place if {
	why({"everyone": true, "from": ["campus"]}) == {{"code": "granted-everyone", "message": "granted to everyone"}}
}

test_reason_denied_user if {
	{"code": "denied-user", "message": "denied to user alice"} in why({"everyone": true, "deny": {"users": ["alice"]}})
}

test_reason_denied_group if {
	{"code": "denied-group", "message": "denied to group staff"} in why({"everyone": true, "deny": {"groups": ["staff"]}})
}

test_reason_denied_place if {
	{"code": "denied-place", "message": "denied from campus, where 10.1.2.3 is"} in why({"everyone": true, "deny": {"from": ["campus"]}})
}

against(rules) := {reason.code | some reason in why(rules)} & {"not-invited", "not-at-place", "denied-user", "denied-group", "denied-place"}

test_nothing_speaks_against_what_is_seen if {
	every rules in [
		{"everyone": true},
		{"users": ["alice"]},
		{"groups": ["staff"], "from": ["campus"]},
		{"everyone": true, "deny": {"users": ["bob"], "groups": ["students"], "from": ["exam"]}},
	] {
		seen(rules)
		against(rules) == set()
	}
}

test_something_speaks_against_what_is_not_seen if {
	every rules in [
		{},
		{"users": ["bob"]},
		{"from": ["campus"]},
		{"groups": ["staff"], "from": ["exam"]},
		{"everyone": true, "deny": {"users": ["alice"]}},
		{"groups": ["staff"], "deny": {"groups": ["staff"]}},
		{"everyone": true, "deny": {"from": ["10.0.0.0/8"]}},
	] {
		not seen(rules)
		against(rules) != set()
	}
}

test_there_is_no_reason_for_what_is_not_there if {
	not access.reasons.gone with data.site as catalog({}) with input as alice
}

test_nothing_is_changed_for_a_request if {
	access.overlay == {} with data.site as catalog({"everyone": true}) with input as alice
}
