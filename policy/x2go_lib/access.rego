# METADATA
# title: Who sees which profile, as x2broker decides when the site says nothing else
# description: |
#   Write visible[id] with the id at hand, or call the functions with one
#   profile. Iterating over visible works, and is slow on a large site.
package x2go.lib.access

# METADATA
# title: Ids of the profiles that the user may list and select
# description: Granted and not denied.
visible contains id if {
	some id, profile in data.site.profiles
	not denied(profile)
	granted(profile)
}

# METADATA
# title: Whether a profile is meant for this user at this place
# description: |
#   Everyone, the user's name or one of the groups, and one of the places in
#   access.from, if there are any. A network alone grants nobody.
granted(profile) if {
	_invites(profile.access)
	_admits(profile.access)
}

# METADATA
# title: Whether a profile is taken away from this user or this place
# description: One match in access.deny is enough, whatever grants the profile.
denied(profile) if input.user.name in profile.access.deny.users

denied(profile) if _any_group(profile.access.deny.groups)

denied(profile) if _any_place(profile.access.deny.from)

# METADATA
# title: Session keys to change for this request, by profile and key
# description: None. A site that changes some defines x2go.access.overlay.
overlay[id][key] contains value if {
	some id, settings in _none
	some key, value in settings
}

# METADATA
# title: Whether the client is in a place
# description: A place is the name of one of the site's networks, or a CIDR.
at(place) if place in input.client.networks

at(place) if {
	contains(place, "/")
	net.cidr_contains(place, input.client.address)
}

_invites(access) if access.everyone

_invites(access) if input.user.name in access.users

_invites(access) if _any_group(access.groups)

_admits(access) if object.get(access, "from", []) == []

_admits(access) if _any_place(access.from)

_any_group(groups) if {
	some group in groups
	group in input.user.groups
}

_any_place(places) if {
	some place in places
	at(place)
}

# Written so that its type stays open: OPA refuses to iterate over an object that
# it knows to be empty.
_none := json.unmarshal("{}")
