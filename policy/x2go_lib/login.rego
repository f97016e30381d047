# METADATA
# title: Who may log in, as x2broker decides when the site says nothing else
# description: Every user that the identity source lets in, with the server account of his own name.
package x2go.lib.login

# METADATA
# title: Reasons to refuse a login after the password was right
# description: None. A site that has reasons defines x2go.login.deny.
deny contains reason if some reason in _none

# METADATA
# title: Server accounts that the user may act as
# description: His own name only.
accounts contains input.user.name

# Written so that its type stays open: OPA refuses to iterate over a set that it
# knows to be empty.
_none := json.unmarshal("[]")
