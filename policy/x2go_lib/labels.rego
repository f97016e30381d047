# METADATA
# title: What profiles and servers are labelled with
# description: |
#   Conditions about a profile or a server of data.site, true or not there.
package x2go.lib.labels

# METADATA
# title: It has this label with this value
# description: has(profile, "stage", "test")
has(labelled, name, value) if labelled.labels[name] == value

# METADATA
# title: It has no such label, or one with one of these values
# description: allows(profile, "only", input.user.groups)
allows(labelled, name, _) if not labelled.labels[name]

allows(labelled, name, values) if labelled.labels[name] in values
