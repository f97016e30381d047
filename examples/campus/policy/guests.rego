# METADATA
# title: Guest accounts, which end by params.guests
package x2go.site.guests

# METADATA
# title: Whether the user is a guest
guest if "guests" in input.user.groups

# METADATA
# title: Whether the user's last day has not passed
# description: A guest without a date is not valid.
valid if input.time.date <= data.site.params.guests[input.user.name]
