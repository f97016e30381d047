package x2go.placement

import data.x2go.lib

# METADATA
# title: Servers that are no candidate now, by id, with the reason
# description: The library's; a site's own x2go.placement.excluded takes its place.
excluded[id] := reason if some id, reason in lib.placement.excluded
