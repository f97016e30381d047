package x2go.access_test

import data.x2go.access

# opa test sees no CUE files: a test brings a catalog of its own, small enough
# to be read. The cases in cases.cue try the real one.
_site := {
	"profiles": {
		"desktop": {"access": {"groups": ["students", "guests"]}},
		"exam": {"labels": {"exam": "room"}, "access": {"groups": ["students"]}},
		"catalogue": {"labels": {"kiosk": "lobby"}, "access": {"everyone": true}},
	},
	"params": {
		"exams": [{"room": "room", "date": "2026-02-16", "from": "08:45", "until": "12:00"}],
		"kiosks": ["lobby"],
		"guests": {"gina": "2026-03-31"},
	},
}

_sam := {"name": "sam", "groups": ["students"]}

_gina := {"name": "gina", "groups": ["guests"]}

_seen(user, networks, date, hour, minute) := seen if {
	seen := access.visible with data.site as _site
		with input as {
			"user": user,
			"client": {"address": "192.0.2.1", "networks": networks},
			"time": {"date": date, "hour": hour, "minute": minute},
		}
}

test_a_student_has_his_desktop if _seen(_sam, [], "2026-02-16", 10, 0) == {"desktop"}

test_during_an_exam_its_room_has_nothing_else if _seen(_sam, ["room"], "2026-02-16", 10, 0) == {"exam"}

test_an_exam_is_in_its_room_only if _seen(_sam, ["other"], "2026-02-16", 10, 0) == {"desktop"}

test_an_exam_is_on_its_day_only if _seen(_sam, ["room"], "2026-02-17", 10, 0) == {"desktop"}

test_an_exam_begins_with_its_minute if {
	_seen(_sam, ["room"], "2026-02-16", 8, 44) == {"desktop"}
	_seen(_sam, ["room"], "2026-02-16", 8, 45) == {"exam"}
}

test_an_exam_ends_before_its_last_minute if {
	_seen(_sam, ["room"], "2026-02-16", 11, 59) == {"exam"}
	_seen(_sam, ["room"], "2026-02-16", 12, 0) == {"desktop"}
}

test_an_exam_is_not_for_guests if _seen(_gina, ["room"], "2026-02-16", 10, 0) == set()

test_a_kiosk_has_nothing_else if _seen(_sam, ["lobby"], "2026-02-16", 10, 0) == {"catalogue"}

test_a_kiosk_is_for_everyone if _seen({"name": "", "groups": []}, ["lobby"], "2026-02-16", 10, 0) == {"catalogue"}

test_a_guest_has_his_last_day if _seen(_gina, [], "2026-03-31", 23, 59) == {"desktop"}

test_a_guest_does_not_have_the_day_after if _seen(_gina, [], "2026-04-01", 0, 0) == set()

test_a_guest_without_a_date_has_nothing if {
	_seen({"name": "gus", "groups": ["guests"]}, [], "2026-02-16", 10, 0) == set()
}

test_without_params_there_is_no_exam if {
	access.visible == {"desktop"} with data.site as object.remove(_site, ["params"])
		with input as {"user": _sam, "client": {"networks": ["room"]}, "time": {"date": "2026-02-16", "hour": 10, "minute": 0}}
}
