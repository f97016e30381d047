package x2go.access

import data.x2go.lib
import data.x2go.site.exams
import data.x2go.site.guests
import data.x2go.site.kiosks

# METADATA
# title: What the library shows, where exams, kiosks and guest accounts allow it
# description: |
#   Every condition says what is allowed. One that fails, or that reads a field
#   that is not there, hides.
visible contains id if {
	lib.access.visible[id]
	profile := data.site.profiles[id]
	exams.allows(profile)
	kiosks.allows(profile)
	guests.admitted
}

# METADATA
# title: The library's reasons, and those of the conditions above
reasons[id] contains reason if some reason in lib.access.reasons[id]

reasons[id] contains exams.against(profile) if some id, profile in data.site.profiles

reasons[id] contains kiosks.against(profile) if some id, profile in data.site.profiles

reasons[id] contains {"code": "guest-ended", "message": message} if {
	some id, _ in data.site.profiles
	not guests.admitted
	message := sprintf("the guest account %s has ended, or has no date", [input.user.name])
}
