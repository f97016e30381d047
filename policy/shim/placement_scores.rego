package x2go.placement

import data.x2go.lib

# METADATA
# title: What one more session would cost, by server id; the lowest wins
# description: The library's; a site's own x2go.placement.scores takes its place.
scores[id] := score if some id, score in lib.placement.scores
