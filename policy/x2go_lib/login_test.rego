package x2go.lib.login_test

import data.x2go.lib.login

test_a_user_is_himself_on_the_servers if {
	login.accounts == {"alice"} with input as {"user": {"name": "alice", "groups": []}}
}

test_a_user_is_let_in if {
	count(login.deny) == 0 with input as {"user": {"name": "alice", "groups": []}}
}

# Where no password is asked for, clients may send no name.
test_a_user_without_a_name_is_let_in if {
	count(login.deny) == 0 with input as {"user": {"name": "", "groups": []}}
}
