# METADATA
# title: Who the user is
# description: Conditions for rules of a site's own, true or not there.
package x2go.lib.user

# METADATA
# title: The user is in this group
# description: in_group("staff")
in_group(group) if group in input.user.groups

# METADATA
# title: The user is in one of these groups
# description: in_any_group(["staff", "helpdesk"])
in_any_group(groups) if {
	some group in groups
	group in input.user.groups
}

# METADATA
# title: The user has one of these names
# description: is_any_of(data.site.params.testers)
is_any_of(names) if input.user.name in names
