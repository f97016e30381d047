# Who sees which profile: what the library says from `access` in the profiles,
# with one rule of this site on top.
#
# This file replaces the built-in rule x2go.access.visible. Delete it, and the
# built-in one serves.
package x2go.access

import data.x2go.lib

# METADATA
# title: Profiles that the user may list and select
# description: All that the profiles' access grants, but no labs while they are closed.
visible contains id if {
	lib.access.visible[id]
	not _closed(data.site.profiles[id])
}

_closed(profile) if {
	profile.labels.room == "lab"
	not _lab_hours
}

# The clock is input.time, in the time zone of the site. The hours are in
# site.cue; if they were missing there, the labs would be closed, not open.
_lab_hours if {
	not input.time.weekday in {"sat", "sun"}
	input.time.hour >= data.site.params.labs.opens
	input.time.hour < data.site.params.labs.closes
}
