package x2go.lib.time_test

import data.x2go.lib.time as clock

at(hour, minute) := {"time": {"hour": hour, "minute": minute}}

on(date) := {"time": {"date": date}}

test_the_clock_has_two_digits if clock.clock == "08:05" with input as at(8, 5)

test_a_span_begins_with_its_first_minute if {
	not clock.between("08:00", "18:00") with input as at(7, 59)
	clock.between("08:00", "18:00") with input as at(8, 0)
}

test_a_span_ends_before_its_last_minute if {
	clock.between("08:00", "18:00") with input as at(17, 59)
	not clock.between("08:00", "18:00") with input as at(18, 0)
}

test_a_span_over_midnight if {
	not clock.between("22:00", "06:00") with input as at(21, 59)
	clock.between("22:00", "06:00") with input as at(22, 0)
	clock.between("22:00", "06:00") with input as at(0, 0)
	clock.between("22:00", "06:00") with input as at(5, 59)
	not clock.between("22:00", "06:00") with input as at(6, 0)
}

test_a_span_to_the_end_of_the_day if {
	clock.between("20:00", "24:00") with input as at(23, 59)
	clock.between("20:00", "00:00") with input as at(23, 59)
	not clock.between("20:00", "24:00") with input as at(0, 0)
}

test_the_whole_day if clock.between("00:00", "24:00") with input as at(0, 0)

test_an_empty_span if {
	not clock.between("08:00", "08:00") with input as at(7, 59)
	not clock.between("08:00", "08:00") with input as at(8, 0)
}

test_a_span_that_is_none[[from, until]] if {
	some from in ["8:00", "08:60", "24:00", "08.00", "", 8, null]
	some until in ["18:00", "25:00"]
	not clock.between(from, until) with input as at(12, 0)
}

test_an_end_that_is_none[until] if {
	some until in ["1800", "18:0", "24:01", "25:00", " 18:00", 18, ["18:00"]]
	not clock.between("08:00", until) with input as at(12, 0)
}

test_a_weekday if clock.on_weekdays(["mon", "fri"]) with input as {"time": {"weekday": "fri"}}

test_another_weekday if not clock.on_weekdays(["mon", "fri"]) with input as {"time": {"weekday": "sat"}}

test_working_hours if {
	clock.working_hours with input as {"time": {"weekday": "fri", "hour": 17, "minute": 59}}
	not clock.working_hours with input as {"time": {"weekday": "fri", "hour": 18, "minute": 0}}
	not clock.working_hours with input as {"time": {"weekday": "sat", "hour": 12, "minute": 0}}
}

test_on_or_after_begins_with_the_date if {
	not clock.on_or_after("2026-10-01") with input as on("2026-09-30")
	clock.on_or_after("2026-10-01") with input as on("2026-10-01")
	clock.on_or_after("2026-10-01") with input as on("2027-01-01")
}

test_before_ends_the_day_before if {
	clock.before("2026-10-01") with input as on("2026-09-30")
	not clock.before("2026-10-01") with input as on("2026-10-01")
}

test_until_ends_with_the_date if {
	clock.until("2026-10-01") with input as on("2026-10-01")
	not clock.until("2026-10-01") with input as on("2026-10-02")
}

test_during_has_both_ends if {
	not clock.during("2026-12-24", "2027-01-06") with input as on("2026-12-23")
	clock.during("2026-12-24", "2027-01-06") with input as on("2026-12-24")
	clock.during("2026-12-24", "2027-01-06") with input as on("2027-01-06")
	not clock.during("2026-12-24", "2027-01-06") with input as on("2027-01-07")
}

test_a_span_of_days_backwards_is_empty if {
	not clock.during("2027-01-06", "2026-12-24") with input as on("2026-12-30")
}

no_dates := [
	"2026-1-1", "2026-13-01", "2026-00-10", "2026-04-31", "2026-02-30", "2026-12-32",
	"01.10.2026", "2026-10-01T00:00:00Z", "20261001", "soon", "", 20261001, null, ["2026-10-01"],
]

test_what_is_no_date_is_never_true[date] if {
	some date in no_dates
	not clock.on_or_after(date) with input as on("2026-06-01")
	not clock.before(date) with input as on("2026-06-01")
	not clock.until(date) with input as on("2026-06-01")
	not clock.during("2000-01-01", date) with input as on("2026-06-01")
	not clock.during(date, "2099-12-31") with input as on("2026-06-01")
}

test_last_days_of_months_are_dates if {
	every date in ["2026-01-31", "2026-04-30", "2028-02-29", "2026-12-31"] {
		clock.on_or_after(date) with input as on(date)
	}
}
