# Run with `opa test policy/`. Plain opa does not see the CUE files, so that tests
# bring a small site of their own; cases.cue tests the real one.
package x2go.access_test

import data.x2go.access

_site := {
	"params": {"labs": {"opens": "07:00", "closes": "20:00"}},
	"profiles": {
		"office": {"access": {"groups": ["staff"]}},
		"lab": {"labels": {"room": "lab"}, "access": {"groups": ["students"]}},
	},
}

_student_at(weekday, hour, minute) := {
	"user": {"name": "sam", "groups": ["students"]},
	"client": {"address": "10.1.2.3", "networks": ["campus"]},
	"time": {"weekday": weekday, "hour": hour, "minute": minute},
}

test_lab_opens_at_seven if {
	not access.visible.lab with data.site as _site with input as _student_at("mon", 6, 59)
	access.visible.lab with data.site as _site with input as _student_at("mon", 7, 0)
}

test_lab_closes_at_twenty if {
	access.visible.lab with data.site as _site with input as _student_at("mon", 19, 59)
	not access.visible.lab with data.site as _site with input as _student_at("mon", 20, 0)
}

test_lab_is_closed_on_saturday if {
	not access.visible.lab with data.site as _site with input as _student_at("sat", 12, 0)
}

test_lab_without_hours_is_closed if {
	not access.visible.lab with data.site as object.remove(_site, ["params"])
		with input as _student_at("mon", 12, 0)
}

test_students_do_not_see_the_office if {
	not access.visible.office with data.site as _site with input as _student_at("mon", 12, 0)
}

test_why_the_lab_is_not_there if {
	reasons := access.reasons.lab with data.site as _site with input as _student_at("sat", 12, 0)
	{"code": "labs-closed", "message": "the labs are closed now"} in reasons
}
