package x2go.login

import data.x2go.lib

# METADATA
# title: Server accounts that the user may act as
# description: The library's; a site's own x2go.login.accounts takes its place.
accounts contains name if some name in lib.login.accounts
