package x2go.login_test

import data.x2go.login

_reasons(date) := reasons if {
	reasons := login.deny with data.site as {"params": {"guests": {"gina": "2026-03-31"}}}
		with input as {"user": {"name": "gina", "groups": ["guests"]}, "time": {"date": date}}
}

test_a_guest_is_let_in_on_the_last_day if _reasons("2026-03-31") == set()

test_a_guest_is_refused_the_day_after if {
	_reasons("2026-04-01") == {"the guest account has ended, or has no date in params.guests"}
}

test_the_library_refuses_too if {
	login.deny == {"the site is closed"} with data.x2go.lib.login.deny as {"the site is closed"}
		with data.site as {"params": {"guests": {}}}
		with input as {"user": {"name": "alice", "groups": ["staff"]}, "time": {"date": "2026-01-05"}}
}
