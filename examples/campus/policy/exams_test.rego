package x2go.site.exams_test

import data.x2go.site.exams

# opa test sees no CUE files: a test brings the data of the site that it is
# about. The cases in cases.cue try the real ones.
_site := {"params": {"exams": [
	{"room": "r101", "date": "2026-02-16", "from": "08:45", "until": "12:00"},
	{"room": "r102", "date": "2026-02-17", "from": "08:45", "until": "12:00"},
]}}

_desktop := {"name": "Desktop"}

_exam := {"labels": {"exam": "r101"}}

_client(networks, date, hour, minute) := {
	"client": {"address": "192.0.2.1", "networks": networks},
	"time": {"date": date, "hour": hour, "minute": minute},
}

_allows(profile, client) if exams.allows(profile) with data.site as _site with input as client

test_during_an_exam_its_room_has_nothing_else if {
	_allows(_exam, _client(["r101"], "2026-02-16", 10, 0))
	not _allows(_desktop, _client(["r101"], "2026-02-16", 10, 0))
}

test_an_exam_is_in_its_room_only if {
	not _allows(_exam, _client(["r102"], "2026-02-16", 10, 0))
	_allows(_desktop, _client(["r102"], "2026-02-16", 10, 0))
}

test_an_exam_is_not_in_the_room_of_another if {
	not _allows(_exam, _client(["r102"], "2026-02-17", 10, 0))
}

test_an_exam_is_on_its_day_only if {
	not _allows(_exam, _client(["r101"], "2026-02-18", 10, 0))
	_allows(_desktop, _client(["r101"], "2026-02-18", 10, 0))
}

test_an_exam_begins_with_its_minute if {
	not _allows(_exam, _client(["r101"], "2026-02-16", 8, 44))
	_allows(_exam, _client(["r101"], "2026-02-16", 8, 45))
}

test_an_exam_ends_before_its_last_minute if {
	_allows(_exam, _client(["r101"], "2026-02-16", 11, 59))
	not _allows(_exam, _client(["r101"], "2026-02-16", 12, 0))
}

test_without_params_there_is_no_exam if {
	client := _client(["r101"], "2026-02-16", 10, 0)
	exams.allows(_desktop) with data.site as {} with input as client
	not exams.allows(_exam) with data.site as {} with input as client
}

_against(profile, client) := reason if {
	reason := exams.against(profile) with data.site as _site with input as client
}

test_the_reason_during_an_exam if {
	_against(_desktop, _client(["r101"], "2026-02-16", 10, 0)) == {"code": "exam-running", "message": "an exam runs in r101"}
}

test_the_reason_without_an_exam if {
	_against(_exam, _client(["r101"], "2026-02-18", 10, 0)) == {
		"code": "no-exam",
		"message": "no exam runs in r101, or the client is not there",
	}
}

test_no_reason_against_what_is_allowed if {
	not _against(_exam, _client(["r101"], "2026-02-16", 10, 0))
	not _against(_desktop, _client(["r101"], "2026-02-18", 10, 0))
}
