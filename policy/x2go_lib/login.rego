# METADATA
# title: Who may log in, as x2broker decides when the site says nothing else
# description: Every user that the identity source lets in, with the server account of his own name.
package x2go.lib.login

import data.x2go.lib.time

# METADATA
# title: Reasons to refuse a login after the password was right
# description: None. A site that has reasons defines x2go.login.deny.
deny contains reason if some reason in _none

# METADATA
# title: Server accounts that the user may act as
# description: His own name only.
accounts contains input.user.name

# METADATA
# title: The param of this name gives the user a last day, and it has not passed
# description: |
#   With params: guests: {"g-okafor": "2026-03-31"}, valid_by("guests") is true
#   for that user up to and on that day. It is not true for users without a day
#   and for days that are no dates.
valid_by(param) if {
	days := data.site.params[param]
	time.until(object.get(days, input.user.name, ""))
}

# Written so that its type stays open: OPA refuses to iterate over a set that it
# knows to be empty.
_none := json.unmarshal("[]")
