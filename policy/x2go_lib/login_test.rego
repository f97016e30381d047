package x2go.lib.login_test

import data.x2go.lib.login

alice := {"user": {"name": "alice", "groups": []}}

test_a_user_is_himself_on_the_servers if login.accounts == {"alice"} with input as alice

test_a_user_is_let_in if count(login.deny) == 0 with input as alice

# Where no password is asked for, clients may send no name.
test_a_user_without_a_name_is_let_in if count(login.deny) == 0 with input as {"user": {"name": "", "groups": []}}

valid(days, date) if {
	login.valid_by("guests") with data.site as {"params": {"guests": days}}
		with input as object.union(alice, {"time": {"date": date}})
}

test_a_guest_is_valid_up_to_his_last_day if valid({"alice": "2026-03-31"}, "2026-03-31")

test_a_guest_is_not_valid_the_day_after if not valid({"alice": "2026-03-31"}, "2026-04-01")

test_a_guest_without_a_day_is_not_valid if not valid({"bob": "2026-03-31"}, "2026-01-01")

test_a_guest_whose_day_is_no_date_is_not_valid if {
	not valid({"alice": "end of March"}, "2026-01-01")
	not valid({"alice": 20260331}, "2026-01-01")
	not valid({"alice": null}, "2026-01-01")
}

test_without_the_param_nobody_is_valid if {
	not login.valid_by("guests") with data.site as {"params": {}}
		with input as object.union(alice, {"time": {"date": "2026-01-01"}})
	not login.valid_by("guests") with input as object.union(alice, {"time": {"date": "2026-01-01"}})
}
