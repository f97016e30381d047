package x2go.placement

import data.x2go.lib

# METADATA
# title: Full servers, and those reserved for a group that the user is not in
# description: |
#   A server gets one reason: two different ones for the same server would be an
#   error, and an error means no server at all.
excluded[id] := reason if {
	some id, _ in data.site.servers
	reason := lib.placement.excluded[id]
}

excluded[id] := reason if {
	some id, server in data.site.servers
	not lib.placement.excluded[id]
	group := server.labels.reserved
	not group in input.user.groups
	reason := sprintf("reserved for %s", [group])
}

# METADATA
# title: The fewest sessions on servers labelled so, sessions per weight on the others
scores[id] := score if {
	some id, server in data.site.servers
	server.labels.balance == "fewest"
	facts := input.servers[id]
	score := facts.sessions + facts.inflight
}

scores[id] := score if {
	some id, server in data.site.servers
	not server.labels.balance == "fewest"
	score := lib.placement.scores[id]
}
