# Who sees which profile: what the library says from `access` in the profiles,
# with one rule of this site on top.
#
# This file replaces the built-in rules x2go.access.visible and reasons. Delete
# it, and the built-in ones serve.
package x2go.access

import data.x2go.lib

# METADATA
# title: Profiles that the user may list and select
# description: All that the profiles' access grants, but no labs while they are closed.
visible contains id if {
	lib.access.visible[id]
	not _closed(data.site.profiles[id])
}

# METADATA
# title: Why the user sees a profile or not
# description: The library's reasons, and ours; nothing is decided by them.
reasons[id] contains reason if some reason in lib.access.reasons[id]

reasons[id] contains {"code": "labs-closed", "message": "the labs are closed now"} if {
	some id, profile in data.site.profiles
	_closed(profile)
}

_closed(profile) if {
	profile.labels.room == "lab"
	not _lab_hours
}

# By the clock in the time zone of the site. The hours are in site.cue; if they
# were missing there, the labs would be closed, not open.
_lab_hours if {
	lib.time.on_weekdays(["mon", "tue", "wed", "thu", "fri"])
	lib.time.between(data.site.params.labs.opens, data.site.params.labs.closes)
}
