package x2go.sessions

import data.x2go.lib

# METADATA
# title: Suspended sessions that may be resumed, by id; the lowest number wins
# description: The library's; a site's own x2go.sessions.resume takes its place.
resume[id] := number if some id, number in lib.sessions.resume
