package x2go.access

import data.x2go.lib

# METADATA
# title: Session keys to change for this request, by profile and key
# description: The library's; a site's own x2go.access.overlay takes its place.
overlay[id][key] contains value if some value in lib.access.overlay[id][key]
