package x2go.access

import data.x2go.lib
import data.x2go.site.exams
import data.x2go.site.guests

# METADATA
# title: What the library shows, where exams, kiosks and guest accounts allow it
# description: |
#   Every condition says what is allowed. One that fails, or that reads a field
#   that is not there, hides.
visible contains id if {
	lib.access.visible[id]
	profile := data.site.profiles[id]
	_exam_allows(profile)
	_kiosk_allows(profile)
	_account_allows
}

# In a room where an exam runs, that exam and nothing else; elsewhere, no exam.
_exam_allows(profile) if profile.labels.exam in exams.here

_exam_allows(profile) if {
	count(exams.here) == 0
	not profile.labels.exam
}

# The same for kiosks, at any time.
_kiosk_allows(profile) if profile.labels.kiosk in _kiosks_here

_kiosk_allows(profile) if {
	count(_kiosks_here) == 0
	not profile.labels.kiosk
}

_kiosks_here contains network if {
	some network in data.site.params.kiosks
	network in input.client.networks
}

_account_allows if not guests.guest

_account_allows if guests.valid
