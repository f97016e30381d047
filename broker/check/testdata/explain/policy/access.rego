package x2go.access

import data.x2go.lib

visible contains id if {
	lib.access.visible[id]
	not _closed(data.site.profiles[id])
}

_closed(profile) if {
	profile.labels.room == "lab"
	input.time.hour >= 18
}

reasons[id] contains {"code": "closed", "message": "the laboratory is closed in the evening"} if {
	some id, profile in data.site.profiles
	_closed(profile)
}
