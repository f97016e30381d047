# METADATA
# title: "Kiosks: whoever is in one gets what is meant for it, and nothing else"
# description: |
#   params.kiosks has the names of their networks; a profile is a kiosk's by its
#   label kiosk.
package x2go.site.kiosks

import data.x2go.lib

# METADATA
# title: The profile may be seen, as far as kiosks go
# description: The kiosk's own there; all but kiosks' elsewhere.
allows(profile) if {
	some network in data.site.params.kiosks
	network == profile.labels.kiosk
	lib.client.in_network(network)
}

allows(profile) if {
	not profile.labels.kiosk
	not _at_kiosk
}

# METADATA
# title: Why the profile may not be seen
against(profile) := {"code": "kiosk-only", "message": "the client is a kiosk, which has profiles of its own"} if {
	_at_kiosk
	not allows(profile)
}

against(profile) := {"code": "not-at-kiosk", "message": sprintf("only at the kiosk in %s", [kiosk])} if {
	kiosk := profile.labels.kiosk
	not _at_kiosk
}

_at_kiosk if lib.client.at_any(data.site.params.kiosks)
