package x2go.lib.user_test

import data.x2go.lib.user

alice := {"user": {"name": "alice", "groups": ["staff", "library"]}}

test_a_group_of_the_user if user.in_group("staff") with input as alice

test_a_group_of_others if not user.in_group("students") with input as alice

test_a_group_is_compared_whole if not user.in_group("staf") with input as alice

test_one_of_several_groups if user.in_any_group(["students", "library"]) with input as alice

test_none_of_several_groups if not user.in_any_group(["students", "guests"]) with input as alice

test_no_groups_have_nobody if not user.in_any_group([]) with input as alice

test_a_name if user.is_any_of(["bob", "alice"]) with input as alice

test_another_name if not user.is_any_of(["bob"]) with input as alice

test_names_may_be_a_set if user.is_any_of({"alice"}) with input as alice
