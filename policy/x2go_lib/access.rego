# METADATA
# title: Who sees which profile, as x2broker decides when the site says nothing else
# description: |
#   Write visible[id] with the id at hand, or call the functions with one
#   profile. Iterating over visible works, and is slow on a large site.
package x2go.lib.access

import data.x2go.lib.client
import data.x2go.lib.legacy
import data.x2go.lib.user

# METADATA
# title: Ids of the profiles that the user may list and select
# description: Granted and not denied.
visible contains id if {
	some id, profile in data.site.profiles
	not denied(profile)
	granted(profile)
}

# METADATA
# title: A profile is meant for this user at this place
# description: |
#   Everyone, the user's name or one of the groups, and one of the places in
#   access.from, if there are any. A network alone grants nobody. A profile that
#   has legacyACL in place of access: what that says.
granted(profile) if {
	_invites(profile.access)
	_admits(profile.access)
}

granted(profile) if legacy.allows(profile.legacyACL)

# METADATA
# title: A profile is taken away from this user or this place
# description: One match in access.deny is enough, whatever grants the profile.
denied(profile) if user.is_any_of(profile.access.deny.users)

denied(profile) if user.in_any_group(profile.access.deny.groups)

denied(profile) if client.at_any(profile.access.deny.from)

# METADATA
# title: Session keys to change for this request, by profile and key
# description: None. A site that changes some defines x2go.access.overlay.
overlay[id][key] contains value if {
	some id, settings in _none
	some key, value in settings
}

# METADATA
# title: Why the user sees a profile or not, by profile
# description: |
#   Each reason has a code, which stays the same from version to version, and a
#   message for people. With the id at hand, reasons["office"] is
#   {{"code": "granted-by-group", "message": "granted to group staff"}}.
reasons[id] contains {"code": "granted-everyone", "message": "granted to everyone"} if {
	some id, profile in data.site.profiles
	profile.access.everyone
}

reasons[id] contains {"code": "granted-by-user", "message": message} if {
	some id, profile in data.site.profiles
	user.is_any_of(profile.access.users)
	message := sprintf("granted to user %s", [input.user.name])
}

reasons[id] contains {"code": "granted-by-group", "message": message} if {
	some id, profile in data.site.profiles
	some group in profile.access.groups
	user.in_group(group)
	message := sprintf("granted to group %s", [group])
}

reasons[id] contains {"code": "not-invited", "message": message} if {
	some id, profile in data.site.profiles
	not profile.legacyACL
	access := object.get(profile, "access", {})
	not _invites(access)
	groups := [sprintf("group %s", [group]) | some group in input.user.groups]
	message := sprintf("granted to none of user %s", [concat(", ", array.concat([input.user.name], groups))])
}

reasons[id] contains {"code": "not-at-place", "message": message} if {
	some id, profile in data.site.profiles
	access := object.get(profile, "access", {})
	not _admits(access)
	message := sprintf("only from %s, not from %s", [concat(", ", access.from), input.client.address])
}

reasons[id] contains {"code": "denied-user", "message": message} if {
	some id, profile in data.site.profiles
	user.is_any_of(profile.access.deny.users)
	message := sprintf("denied to user %s", [input.user.name])
}

reasons[id] contains {"code": "denied-group", "message": message} if {
	some id, profile in data.site.profiles
	some group in profile.access.deny.groups
	user.in_group(group)
	message := sprintf("denied to group %s", [group])
}

reasons[id] contains {"code": "denied-place", "message": message} if {
	some id, profile in data.site.profiles
	some place in profile.access.deny.from
	client.at(place)
	message := sprintf("denied from %s, where %s is", [place, input.client.address])
}

reasons[id] contains reason if {
	some id, profile in data.site.profiles
	some reason in legacy.reasons(profile.legacyACL)
}

_invites(access) if access.everyone

_invites(access) if user.is_any_of(access.users)

_invites(access) if user.in_any_group(access.groups)

_admits(access) if object.get(access, "from", []) == []

_admits(access) if client.at_any(access.from)

# Written so that its type stays open: OPA refuses to iterate over an object that
# it knows to be empty.
_none := json.unmarshal("{}")
