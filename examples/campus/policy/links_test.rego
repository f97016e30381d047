package x2go.access_test

import data.x2go.access

_overlay(id, networks) := changes if {
	changes := access.overlay[id] with data.site as {
		"params": {"slow": ["vpn", "dorms"]},
		"profiles": {"desktop": {}, "radiology": {"labels": {"picture": "exact"}}},
	}
		with input as {"client": {"address": "192.0.2.1", "networks": networks}}
}

test_a_slow_link_gets_less if {
	_overlay("desktop", ["campus", "dorms"]) == {"pack": {"4k-jpeg"}, "quality": {5}, "speed": {1}}
}

test_a_fast_link_gets_all if not _overlay("desktop", ["campus"])

test_an_exact_picture_stays if not _overlay("radiology", ["vpn"])

test_two_slow_networks_change_nothing_more if _overlay("desktop", ["dorms", "vpn"]) == _overlay("desktop", ["vpn"])

test_without_params_nothing_changes if {
	not access.overlay.desktop with data.site as {"profiles": {"desktop": {}}}
		with input as {"client": {"address": "192.0.2.1", "networks": ["vpn"]}}
}
