package x2go.access_test

import data.x2go.access

# What each condition does is tested beside it; these tests are about their sum.
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

_asks(name, group, networks, date) := {
	"user": {"name": name, "groups": [group]},
	"client": {"address": "192.0.2.1", "networks": networks},
	"time": {"date": date, "hour": 10, "minute": 0},
}

_seen(request) := seen if seen := access.visible with data.site as _site with input as request

_codes(id, request) := {reason.code | some reason in reasons} if {
	reasons := access.reasons[id] with data.site as _site with input as request
}

_sam(networks) := _asks("sam", "students", networks, "2026-02-16")

_gina(date) := _asks("gina", "guests", [], date)

test_a_student_has_a_desktop if _seen(_sam([])) == {"desktop"}

test_in_an_exam_there_is_nothing_else if _seen(_sam(["room"])) == {"exam"}

test_an_exam_is_not_for_guests if _seen(_asks("gina", "guests", ["room"], "2026-02-16")) == set()

test_a_kiosk_has_nothing_else if _seen(_sam(["lobby"])) == {"catalogue"}

test_an_exam_at_a_kiosk_has_nothing if _seen(_sam(["lobby", "room"])) == set()

test_a_guest_has_a_desktop_until_the_last_day if {
	_seen(_gina("2026-03-31")) == {"desktop"}
	_seen(_gina("2026-04-01")) == set()
}

test_why_a_student_has_a_desktop if _codes("desktop", _sam([])) == {"granted-by-group"}

test_why_it_is_gone_in_an_exam if _codes("desktop", _sam(["room"])) == {"granted-by-group", "exam-running"}

test_why_it_is_gone_at_a_kiosk if _codes("desktop", _sam(["lobby"])) == {"granted-by-group", "kiosk-only"}

test_why_there_is_no_exam if _codes("exam", _sam([])) == {"granted-by-group", "no-exam"}

test_why_a_guest_has_nothing if _codes("desktop", _gina("2026-04-01")) == {"granted-by-group", "guest-ended"}

test_the_library_has_reasons_of_its_own if _codes("exam", _gina("2026-03-31")) == {"not-invited", "no-exam"}
