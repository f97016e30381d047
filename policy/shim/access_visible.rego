package x2go.access

import data.x2go.lib

# METADATA
# title: Ids of the profiles that the user may list and select
# description: The library's; a site's own x2go.access.visible takes its place.
visible contains id if lib.access.visible[id]
