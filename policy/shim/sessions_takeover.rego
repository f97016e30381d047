package x2go.sessions

import data.x2go.lib

# METADATA
# title: Running sessions that may be taken over, by id; the lowest number wins
# description: The library's; a site's own x2go.sessions.takeover takes its place.
takeover[id] := number if some id, number in lib.sessions.takeover
