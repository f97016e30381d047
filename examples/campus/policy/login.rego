package x2go.login

import data.x2go.lib
import data.x2go.site.guests

# METADATA
# title: The library's reasons, and a guest account that has ended
# description: The reason is for the broker's log; the user reads that he may not log in.
deny contains reason if some reason in lib.login.deny

deny contains "the guest account has ended, or has no date in params.guests" if not guests.admitted
