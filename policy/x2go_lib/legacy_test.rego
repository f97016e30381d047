package x2go.lib.legacy_test

import data.x2go.lib.access
import data.x2go.lib.legacy

alice := {
	"user": {"name": "alice", "groups": ["staff", "interns"]},
	"client": {"address": "10.1.2.3", "networks": ["campus"]},
}

seen(acl) if {
	access.visible.office with data.site as {"profiles": {"office": {"legacyACL": acl}}}
		with input as alice
}

# METADATA
# title: What the lists of one kind come to for who is in none, one or both of them
# description: The old broker's table, by order and then by the lists that have the name.
verdicts(kind, name, rest) := {order: verdict |
	some order in ["allow-deny", "deny-allow"]
	verdict := [lists |
		some lists in [["allow"], ["deny"], ["allow", "deny"]]
		acl := object.union(rest, {kind: object.union({"order": order}, {list: [name] | some list in lists})})
		seen(acl)
	]
}

test_no_lists_hide_nothing if seen({"users": {}, "groups": {"allow": [], "deny": []}, "clients": {}})

test_users if {
	every name in ["alice", "ALL"] {
		verdicts("users", name, {}) == {"allow-deny": [["allow"], ["allow", "deny"]], "deny-allow": [["allow"]]}
	}
}

test_groups if {
	every name in ["staff", "ALL"] {
		verdicts("groups", name, {}) == {"allow-deny": [["allow"], ["allow", "deny"]], "deny-allow": [["allow"]]}
	}
}

test_clients if {
	every name in ["10.1.0.0/16", "10.1.2.3/32", "ALL"] {
		verdicts("clients", name, {}) == {"allow-deny": [["allow"], ["allow", "deny"]], "deny-allow": [["allow"]]}
	}
}

test_any_other_order_lets_deny_win if not seen({"users": {"allow": ["alice"], "deny": ["ALL"], "order": "Allow-Deny"}})

test_names_compare_exactly if {
	not seen({"users": {"allow": ["Alice", "all", "alice "]}})
	not seen({"groups": {"allow": ["Staff", "all"]}})
}

test_who_is_in_no_list_is_hidden if {
	not seen({"users": {"allow": ["bob"]}})
	not seen({"users": {"deny": ["bob"]}})
	not seen({"groups": {"allow": ["students"]}})
	not seen({"groups": {"deny": ["students"]}})
	not seen({"clients": {"allow": ["192.0.2.0/24"]}})
	not seen({"clients": {"deny": ["192.0.2.0/24"]}})
}

test_an_allowed_user_needs_no_group if seen({"users": {"allow": ["alice"]}, "groups": {"deny": ["ALL"]}})

test_a_denied_user_has_no_group if not seen({"users": {"deny": ["alice"]}, "groups": {"allow": ["ALL"]}})

test_another_user_may_have_a_group if seen({"users": {"allow": ["bob"], "deny": ["carol"]}, "groups": {"allow": ["staff"]}})

test_one_denied_group_is_enough if not seen({"groups": {"allow": ["staff"], "deny": ["interns"]}})

test_the_clients_decide_first if not seen({"users": {"allow": ["ALL"]}, "clients": {"allow": ["ALL"], "deny": ["10.1.2.3/32"]}})

test_ipv4_and_ipv6_never_match if {
	_allowed_at("0.0.0.0/0", "10.1.2.3")
	_allowed_at("::/0", "2001:db8::1")
	not _allowed_at("::/0", "10.1.2.3")
	not _allowed_at("0.0.0.0/0", "2001:db8::1")
}

test_all_is_everywhere if {
	_allowed_at("ALL", "10.1.2.3")
	_allowed_at("ALL", "2001:db8::1")
}

_allowed_at(place, address) if {
	legacy.allows({"clients": {"allow": [place]}}) with input as {"client": {"address": address}}
}

# METADATA
# title: The codes and messages of the reasons for a profile with these lists
why(acl) := {reason.code: reason.message |
	some reason in access.reasons.office with data.site as {"profiles": {"office": {"legacyACL": acl}}}
		with input as alice
}

test_reasons if {
	why({"clients": {"allow": ["ALL"]}}) == {"granted-everyone": "granted to everyone"}
	why({"users": {"allow": ["alice"]}}) == {"granted-by-user": "granted to user alice"}
	why({"groups": {"allow": ["staff"]}}) == {"granted-by-group": "granted to group staff"}
	why({"groups": {"allow": ["ALL"]}}) == {"granted-by-group": "granted to group ALL"}
	why({"users": {"deny": ["alice"]}, "groups": {"allow": ["staff"]}}) == {"denied-user": "denied to user alice"}
	why({"groups": {"allow": ["staff"], "deny": ["interns"]}}) == {"denied-group": "denied to group interns"}
	why({"users": {"allow": ["bob"]}}) == {"not-invited": "granted to none of user alice, group staff, group interns"}
}

test_reasons_of_places if {
	why({"clients": {"allow": ["ALL"], "deny": ["10.0.0.0/8"]}}) == {
		"granted-everyone": "granted to everyone",
		"denied-place": "denied from 10.1.2.3",
	}
	why({"clients": {"allow": ["192.0.2.0/24"]}}) == {
		"granted-everyone": "granted to everyone",
		"not-at-place": "only from 192.0.2.0/24, not from 10.1.2.3",
	}
	why({"clients": {"deny": ["192.0.2.0/24"]}}) == {
		"granted-everyone": "granted to everyone",
		"not-at-place": "not allowed from 10.1.2.3",
	}
}

against(acl) := {code | some code, _ in why(acl)} & {"not-invited", "not-at-place", "denied-user", "denied-group", "denied-place"}

test_something_speaks_against_what_is_hidden_and_nothing_else if {
	lists := [[], ["ALL"], ["mine"], ["other"]]
	every order in ["allow-deny", "deny-allow"] {
		every allow in lists {
			every deny in lists {
				every kind, mine in {"users": "alice", "groups": "staff", "clients": "10.1.0.0/16"} {
					other := object.get({"clients": "192.0.2.0/24"}, kind, "other")
					named := {"ALL": "ALL", "mine": mine, "other": other}
					rule := {"order": order, "allow": [named[n] | some n in allow], "deny": [named[n] | some n in deny]}
					_explained({kind: rule})
				}
			}
		}
	}
}

_explained(acl) if {
	seen(acl)
	against(acl) == set()
}

_explained(acl) if {
	not seen(acl)
	against(acl) != set()
}
