package x2go.placement

import data.x2go.lib

# METADATA
# title: Servers that are full, short of graphics cards, or for a group that the user is not in
excluded[id] contains lib.placement.full(id) if some id, _ in input.servers

excluded[id] contains cards_taken(id) if some id, _ in input.servers

excluded[id] contains lib.placement.reserved(id, "reserved") if some id, _ in input.servers

# METADATA
# title: Servers near the client first; among these the fewest sessions per weight or card
scores[id] := (10 * lib.placement.far(id, "zones")) + sessions_per_card(id) if some id, _ in input.servers

scores[id] := (10 * lib.placement.far(id, "zones")) + lib.placement.weighted(id) if {
	some id, _ in input.servers
	not cards(id)
}
