package x2go.placement_test

import data.x2go.placement

_cards(labels) := cards if {
	cards := placement.cards("gpu") with data.site as {"servers": {"gpu": {"labels": labels}}}
}

test_cards_are_a_label if _cards({"cards": "4"}) == 4

test_without_the_label_there_are_none if not _cards({"pool": "gpu"})

test_a_label_that_is_no_number_is_none[label] if {
	some label in ["", "0", "04", "-1", "4.5", "four", "100"]
	not _cards({"cards": label})
}

_taken(sessions, inflight) := reason if {
	reason := placement.cards_taken("gpu") with data.site as {"servers": {"gpu": {"labels": {"cards": "4"}}}}
		with input as {"servers": {"gpu": {"sessions": sessions, "inflight": inflight}}}
}

test_a_card_is_free if not _taken(2, 1)

test_sessions_being_started_take_a_card if _taken(3, 1) == "4 of 4 cards taken"

test_a_server_without_cards_has_none_taken if {
	not placement.cards_taken("ts01") with data.site as {"servers": {"ts01": {}}}
		with input as {"servers": {"ts01": {"sessions": 90, "inflight": 0}}}
}
