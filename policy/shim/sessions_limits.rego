package x2go.sessions

import data.x2go.lib

# METADATA
# title: Limits of the user's sessions, by name
# description: The library's; a site's own x2go.sessions.limits takes its place.
limits[name] := most if some name, most in lib.sessions.limits
