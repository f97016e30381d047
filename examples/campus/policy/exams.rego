# METADATA
# title: When and where there are exams, from params.exams
package x2go.site.exams

# METADATA
# title: Rooms in which the client is and an exam runs
# description: A room goes by the name of its network.
here contains room if {
	some room in input.client.networks
	running(room)
}

# METADATA
# title: Whether an exam runs in a room
# description: From its first minute until before its last.
running(room) if {
	some exam in data.site.params.exams
	exam.room == room
	exam.date == input.time.date
	exam.from <= _clock
	_clock < exam.until
}

# Strings of this form are in the order of time.
_clock := sprintf("%02d:%02d", [input.time.hour, input.time.minute])
