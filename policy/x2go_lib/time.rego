# METADATA
# title: What time it is
# description: |
#   Conditions for rules of a site's own, true or not there, by the clock of the
#   site's time zone. Times of day are written "08:00", dates "2026-10-01". With
#   one that is written otherwise, a condition is never true; so say with these
#   what is allowed and when, not with `not` what is closed.
package x2go.lib.time

# METADATA
# title: The time of day
# description: In the order of time as text. "08:05" at five past eight.
clock := sprintf("%02d:%02d", [input.time.hour, input.time.minute])

# METADATA
# title: The time of day is in this span
# description: |
#   From the first minute until before the last. between("08:00", "18:00");
#   between("22:00", "06:00") is at night; between("20:00", "24:00") ends with
#   the day. A span from a time to the same time is empty.
between(from, until) if {
	_span(from, until)
	from < until
	clock >= from
	clock < until
}

between(from, until) if {
	_span(from, until)
	from > until
	clock >= from
}

between(from, until) if {
	_span(from, until)
	from > until
	clock < until
}

# METADATA
# title: Today is one of these days of the week
# description: on_weekdays(["mon", "fri"])
on_weekdays(days) if input.time.weekday in days

# METADATA
# title: It is Monday to Friday, from 8 to 18 o'clock
# description: Other hours are on_weekdays and between of a site's own.
working_hours if {
	on_weekdays(["mon", "tue", "wed", "thu", "fri"])
	between("08:00", "18:00")
}

# METADATA
# title: Today is this date or later
# description: on_or_after("2026-10-01")
on_or_after(date) if {
	_date(date)
	input.time.date >= date
}

# METADATA
# title: Today is earlier than this date
# description: before("2027-04-01")
before(date) if {
	_date(date)
	input.time.date < date
}

# METADATA
# title: Today is this date or earlier
# description: until("2027-03-31")
until(date) if {
	_date(date)
	input.time.date <= date
}

# METADATA
# title: Today is in this span of days, the first and the last included
# description: during("2026-12-24", "2027-01-06")
during(first, last) if {
	_date(first)
	_date(last)
	input.time.date >= first
	input.time.date <= last
}

_span(from, until) if {
	is_string(from)
	is_string(until)
	regex.match(`^([01][0-9]|2[0-3]):[0-5][0-9]$`, from)
	regex.match(`^(([01][0-9]|2[0-3]):[0-5][0-9]|24:00)$`, until)
}

# Dates of this form are in their order as text. The months have their days;
# 29 February is one in every year.
_date(x) if {
	is_string(x)
	regex.match(`^[0-9]{4}-((0[13578]|1[02])-(0[1-9]|[12][0-9]|3[01])|(0[469]|11)-(0[1-9]|[12][0-9]|30)|02-(0[1-9]|[12][0-9]))$`, x)
}
