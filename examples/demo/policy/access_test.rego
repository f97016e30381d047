package x2go.access_test

import data.x2go.access

_catalog := {"profiles": {
	"office": {"access": {"groups": ["staff"]}},
	"exam": {"labels": {"room": "exam"}, "access": {"groups": ["students"]}},
}}

_student := {"name": "sam", "groups": ["students"]}

test_exam_room_is_open_on_monday if {
	{id | some id in ["office", "exam"]; access.visible[id]} == {"exam"} with data.site as _catalog
		with input as {"user": _student, "time": {"weekday": "mon"}}
}

test_exam_room_is_closed_on_sunday if {
	not access.visible.exam with data.site as _catalog
		with input as {"user": _student, "time": {"weekday": "sun"}}
}
