# METADATA
# title: Who sees a profile by the lists of the Python broker
# description: |
#   The lists are those of legacyACL, which x2broker import writes where access
#   cannot say the same. ALL in a list stands for everybody. Who is in both lists
#   of a kind is denied, unless their order is allow-deny.
package x2go.lib.legacy

# METADATA
# title: The lists show a profile to this user at this place
# description: |
#   allows(profile.legacyACL): the clients decide first, then the names of users,
#   then the groups of those whose names neither allow nor deny them.
allows(acl) if {
	_invites(acl)
	_admits(acl)
}

# METADATA
# title: Why the lists show a profile or not
# description: Reasons with the codes of lib.access.reasons.
reasons(acl) := _of_users(acl) | _of_places(acl)

_invites(acl) if _allows_user(acl)

_invites(acl) if {
	_allows_group(acl)
	not _lists_denied_user(acl)
}

_invites(acl) if not _names_someone(acl)

_allows_user(acl) if {
	_is(acl.users.allow)
	not _denies_user(acl)
}

_allows_group(acl) if {
	_in(acl.groups.allow)
	not _denies_group(acl)
}

_admits(acl) if {
	_at(acl.clients.allow)
	not _denies_client(acl)
}

_admits(acl) if not _limits_clients(acl)

_lists_denied_user(acl) if _is(acl.users.deny)

_denies_user(acl) if {
	not acl.users.order == "allow-deny"
	_is(acl.users.deny)
}

_denies_group(acl) if {
	not acl.groups.order == "allow-deny"
	_in(acl.groups.deny)
}

_denies_client(acl) if {
	not acl.clients.order == "allow-deny"
	_at(acl.clients.deny)
}

_names_someone(acl) if count(acl.users.allow) > 0

_names_someone(acl) if count(acl.users.deny) > 0

_names_someone(acl) if count(acl.groups.allow) > 0

_names_someone(acl) if count(acl.groups.deny) > 0

_limits_clients(acl) if count(acl.clients.allow) > 0

_limits_clients(acl) if count(acl.clients.deny) > 0

_is(users) if "ALL" in users

_is(users) if input.user.name in users

_in(groups) if "ALL" in groups

_in(groups) if {
	some group in groups
	group in input.user.groups
}

_at(places) if "ALL" in places

_at(places) if {
	some place in places
	place != "ALL"
	net.cidr_contains(place, input.client.address)
}

_of_users(acl) := {{"code": "granted-everyone", "message": "granted to everyone"}} if {
	not _names_someone(acl)
} else := {{"code": "granted-by-user", "message": sprintf("granted to user %s", [input.user.name])}} if {
	_allows_user(acl)
} else := {{"code": "denied-user", "message": sprintf("denied to user %s", [input.user.name])}} if {
	_is(acl.users.deny)
} else := {{"code": "granted-by-group", "message": message} |
	some group in array.concat(input.user.groups, ["ALL"])
	group in acl.groups.allow
	message := sprintf("granted to group %s", [group])
} if {
	_allows_group(acl)
} else := {{"code": "denied-group", "message": message} |
	some group in array.concat(input.user.groups, ["ALL"])
	group in acl.groups.deny
	message := sprintf("denied to group %s", [group])
} if {
	_in(acl.groups.deny)
} else := {{"code": "not-invited", "message": sprintf("granted to none of user %s", [concat(", ", _who)])}}

_of_places(acl) := set() if {
	_admits(acl)
} else := {{"code": "denied-place", "message": sprintf("denied from %s", [input.client.address])}} if {
	_at(acl.clients.deny)
} else := {{"code": "not-at-place", "message": message}} if {
	count(acl.clients.allow) > 0
	message := sprintf("only from %s, not from %s", [concat(", ", acl.clients.allow), input.client.address])
} else := {{"code": "not-at-place", "message": sprintf("not allowed from %s", [input.client.address])}}

_who := array.concat([input.user.name], [sprintf("group %s", [group]) | some group in input.user.groups])
