package x2go.lib.client_test

import data.x2go.lib.client

pc := {"client": {"address": "10.1.2.3", "networks": ["campus", "labs"]}}

phone := {"client": {"address": "2001:db8::7", "networks": []}}

test_a_network_of_the_client if client.in_network("labs") with input as pc

test_another_network if not client.in_network("lobby") with input as pc

test_a_place_may_be_a_network if client.at("campus") with input as pc

test_a_place_may_be_a_cidr if client.at("10.1.0.0/16") with input as pc

test_a_place_may_be_ipv6 if client.at("2001:db8::/32") with input as phone

test_a_place_elsewhere if not client.at("192.0.2.0/24") with input as pc

test_ipv4_is_in_no_ipv6_network if not client.at("::/0") with input as pc

test_a_name_that_is_no_network_is_nowhere if not client.at("10.1.2.3") with input as pc

test_one_of_several_places if client.at_any(["lobby", "10.0.0.0/8"]) with input as pc

test_none_of_several_places if not client.at_any(["lobby", "192.0.2.0/24"]) with input as pc

test_no_places if not client.at_any([]) with input as pc
