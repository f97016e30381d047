package x2go.login_test

import data.x2go.login

_denied(name, groups, date) if {
	count(login.deny) > 0 with data.site as {"params": {"guests": {"gina": "2026-03-31"}}}
		with input as {"user": {"name": name, "groups": groups}, "time": {"date": date}}
}

test_a_guest_is_let_in_on_his_last_day if not _denied("gina", ["guests"], "2026-03-31")

test_a_guest_is_refused_the_day_after if _denied("gina", ["guests"], "2026-04-01")

test_a_guest_without_a_date_is_refused if _denied("gus", ["guests"], "2026-02-16")

test_others_need_no_date if not _denied("sam", ["students"], "2026-02-16")
