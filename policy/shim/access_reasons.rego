package x2go.access

import data.x2go.lib

# METADATA
# title: Why the user sees a profile or not, by profile
# description: The library's; a site's own x2go.access.reasons takes its place.
reasons[id] contains reason if some reason in lib.access.reasons[id]
