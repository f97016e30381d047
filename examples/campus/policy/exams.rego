# METADATA
# title: "Examinations: while one runs in a room, the room has nothing else"
# description: |
#   params.exams has the dates and hours; a profile is an exam's by its label
#   exam. A room goes by the name of its network.
package x2go.site.exams

import data.x2go.lib

# METADATA
# title: An exam runs where the client is
here(exam) if {
	lib.client.in_network(exam.room)
	lib.time.during(exam.date, exam.date)
	lib.time.between(exam.from, exam.until)
}

# METADATA
# title: The profile may be seen, as far as exams go
# description: The exam's own where it runs; all but exams elsewhere.
allows(profile) if {
	some exam in data.site.params.exams
	exam.room == profile.labels.exam
	here(exam)
}

allows(profile) if {
	not profile.labels.exam
	not _any_here
}

# METADATA
# title: Why the profile may not be seen
against(profile) := {"code": "exam-running", "message": sprintf("an exam runs in %s", [concat(", ", _rooms)])} if {
	_any_here
	not allows(profile)
}

against(profile) := {"code": "no-exam", "message": sprintf("no exam runs in %s, or the client is not there", [room])} if {
	room := profile.labels.exam
	not _any_here
}

_rooms contains exam.room if {
	some exam in data.site.params.exams
	here(exam)
}

_any_here if {
	some exam in data.site.params.exams
	here(exam)
}
