package x2go.login

import data.x2go.lib

# METADATA
# title: Reasons to refuse a login after the password was right
# description: The library's; a site's own x2go.login.deny takes its place.
deny contains reason if some reason in lib.login.deny
