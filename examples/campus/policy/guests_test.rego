package x2go.site.guests_test

import data.x2go.site.guests

_admitted(name, groups, date) if {
	guests.admitted with data.site as {"params": {"guests": {"gina": "2026-03-31"}}}
		with input as {"user": {"name": name, "groups": groups}, "time": {"date": date}}
}

test_a_guest_is_admitted_on_the_last_day if _admitted("gina", ["guests"], "2026-03-31")

test_a_guest_is_not_admitted_the_day_after if not _admitted("gina", ["guests"], "2026-04-01")

test_a_guest_without_a_day_is_not_admitted if not _admitted("gus", ["guests"], "2026-02-16")

test_others_need_no_day if _admitted("sam", ["students"], "2026-02-16")

test_without_params_no_guest_is_admitted if {
	not guests.admitted with data.site as {}
		with input as {"user": {"name": "gina", "groups": ["guests"]}, "time": {"date": "2026-02-16"}}
}
