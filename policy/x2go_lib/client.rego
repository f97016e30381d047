# METADATA
# title: Where the client is
# description: Conditions for rules of a site's own, true or not there.
package x2go.lib.client

# METADATA
# title: The client is in this network of the site
# description: in_network("campus")
in_network(name) if name in input.client.networks

# METADATA
# title: The client is at this place
# description: |
#   A place is the name of a network of the site or a CIDR, as in access.from:
#   at("campus"), at("192.0.2.0/24").
at(place) if place in input.client.networks

at(place) if {
	contains(place, "/")
	net.cidr_contains(place, input.client.address)
}

# METADATA
# title: The client is at one of these places
# description: at_any(["campus", "192.0.2.0/24"])
at_any(places) if {
	some place in places
	at(place)
}
