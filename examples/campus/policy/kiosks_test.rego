package x2go.site.kiosks_test

import data.x2go.site.kiosks

_site := {"params": {"kiosks": ["lobby", "reading-room"]}}

_catalogue := {"labels": {"kiosk": "lobby"}}

_in(network) := {"client": {"address": "192.0.2.1", "networks": [network]}}

_allows(profile, network) if kiosks.allows(profile) with data.site as _site with input as _in(network)

test_a_kiosk_has_its_profile if _allows(_catalogue, "lobby")

test_a_kiosk_has_nothing_else if not _allows({"name": "Desktop"}, "lobby")

test_a_kiosk_does_not_have_those_of_another if not _allows(_catalogue, "reading-room")

test_elsewhere_there_is_no_kiosk if not _allows(_catalogue, "labs")

test_elsewhere_there_is_all_else if _allows({"name": "Desktop"}, "labs")

_code(profile, network) := reason.code if {
	reason := kiosks.against(profile) with data.site as _site with input as _in(network)
}

test_the_reasons if {
	_code({"name": "Desktop"}, "lobby") == "kiosk-only"
	_code(_catalogue, "reading-room") == "kiosk-only"
	_code(_catalogue, "labs") == "not-at-kiosk"
}

test_no_reason_against_what_is_allowed if {
	not _code(_catalogue, "lobby")
	not _code({"name": "Desktop"}, "labs")
}
