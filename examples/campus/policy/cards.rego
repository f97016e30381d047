# Graphics cards: a server labelled cards takes as many sessions as it has cards.
package x2go.placement

import data.x2go.lib

# METADATA
# title: The number of graphics cards, from the server's label
# description: None for a server without that label, or where it is no number.
cards(id) := to_number(label) if {
	label := data.site.servers[id].labels.cards
	regex.match(`^[1-9][0-9]?$`, label)
}

# METADATA
# title: All cards of the server are taken
cards_taken(id) := sprintf("%d of %d cards taken", [lib.placement.sessions(id), cards(id)]) if {
	lib.placement.sessions(id) >= cards(id)
}

# METADATA
# title: Sessions on each card after the next one
sessions_per_card(id) := (lib.placement.sessions(id) + 1) / cards(id)
