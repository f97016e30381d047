# Slow links: less colour and detail, so that typing stays quick. A profile whose
# label picture is "exact" keeps what it says.
package x2go.access

import data.x2go.lib

# METADATA
# title: Session keys to change for clients in the networks of params.slow
# description: A value for each key; two different ones would hide the profile.
overlay[id][key] contains value if {
	some id, profile in data.site.profiles
	not lib.labels.has(profile, "picture", "exact")
	lib.client.at_any(data.site.params.slow)
	some key, value in {"pack": "4k-jpeg", "quality": 5, "speed": 1}
}
