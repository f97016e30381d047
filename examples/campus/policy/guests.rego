# METADATA
# title: "Guests: their accounts end by params.guests"
package x2go.site.guests

import data.x2go.lib

# METADATA
# title: The user is no guest, or a guest whose last day has not passed
# description: A guest without a day is not admitted.
admitted if not lib.user.in_group("guests")

admitted if lib.login.valid_by("guests")
