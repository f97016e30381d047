# METADATA
# title: Which server is best, and what tells servers apart
# description: |
#   Functions of a server's id. Some give a reason to leave the server out, and
#   nothing when there is none; the others give a number to score it by. The
#   broker has left out servers that are not of the profile, in drain or in
#   maintenance.
# schemas:
#   - input:
#       type: object
#       additionalProperties: false
#       properties:
#         user:
#           type: object
#           additionalProperties: false
#           properties: {name: {type: string}, groups: {type: array, items: {type: string}}}
#         account: {type: string}
#         client:
#           type: object
#           additionalProperties: false
#           properties: {address: {type: string}, networks: {type: array, items: {type: string}}, frontend: {type: string}}
#         time:
#           type: object
#           additionalProperties: false
#           properties: {unix: {type: integer}, date: {type: string}, weekday: {type: string}, hour: {type: integer}, minute: {type: integer}}
#         task: {type: string}
#         profile_id: {type: string}
#         servers:
#           type: object
#           additionalProperties:
#             type: object
#             additionalProperties: false
#             properties:
#               sessions: {type: integer}
#               inflight: {type: integer}
#               load1: {type: number}
#               cpus: {type: integer}
#               mem_available: {type: integer}
#               mem_total: {type: integer}
#               age_s: {type: number}
#               failures: {type: integer}
package x2go.lib.placement

import data.x2go.lib.client
import data.x2go.lib.user

# METADATA
# title: Servers that are no candidate now, by id, with the reason
# description: Those that are full.
excluded[id] := full(id) if some id, _ in data.site.servers

# METADATA
# title: What one more session would cost, by server id; the lowest wins
# description: Sessions per weight.
scores[id] := weighted(id) if some id, _ in data.site.servers

# METADATA
# title: Several reasons as one
# description: |
#   For a site that writes excluded[id] := reason; nothing for no reasons.
#   join({"full", "reserved"}) is "full; reserved".
join(reasons) := concat("; ", sort(reasons)) if count(reasons) > 0

# METADATA
# title: The server has as many sessions as capacity.sessions allows
# description: |
#   Sessions that run and that are being started. full("ts01") is
#   "full: 40 of 40 sessions".
full(id) := sprintf("full: %d of %d sessions", [sessions(id), most]) if {
	most := data.site.servers[id].capacity.sessions
	sessions(id) >= most
}

# METADATA
# title: The last report of the server is older than so many seconds
# description: stale("ts01", 120) is "no report for 300 s".
stale(id, seconds) := sprintf("no report for %v s", [round(age)]) if {
	age := input.servers[id].age_s
	age > seconds
}

# METADATA
# title: So many connections in a row have failed
# description: failing("ts01", 3) is "3 failures in a row".
failing(id, times) := sprintf("%d failures in a row", [failures]) if {
	failures := input.servers[id].failures
	failures >= times
}

# METADATA
# title: The load per processor is higher than this
# description: overloaded("ts01", 1.5) is "load 2.25 per processor".
overloaded(id, most) := sprintf("load %v per processor", [round(100 * load(id)) / 100]) if load(id) > most

# METADATA
# title: Less than this share of the memory is free, in percent
# description: short_of_memory("ts01", 10) is "7% of the memory free".
short_of_memory(id, percent) := sprintf("%d%% of the memory free", [floor(free)]) if {
	facts := input.servers[id]
	facts.mem_total > 0
	free := (100 * facts.mem_available) / facts.mem_total
	free < percent
}

# METADATA
# title: The server has this label, and its value is none of the user's groups
# description: |
#   With labels: reserved: "vision" on gpu02, reserved("gpu02", "reserved") is
#   "reserved for vision" to everyone who is not in that group.
reserved(id, label) := sprintf("reserved for %s", [group]) if {
	group := data.site.servers[id].labels[label]
	not user.in_group(group)
}

# METADATA
# title: Sessions after the next one, per unit of weight
# description: |
#   Twice the weight, twice the sessions. With 3 sessions and a weight of 100,
#   weighted("ts01") is 0.04.
weighted(id) := (sessions(id) + 1) / object.get(data.site.servers[id], "weight", 1)

# METADATA
# title: Sessions on the server, those being started among them
# description: As a score it spreads them evenly, whatever the weights. sessions("ts01") is 3.
sessions(id) := object.get(facts, "sessions", 0) + object.get(facts, "inflight", 0) if {
	facts := input.servers[id]
} else := 0

# METADATA
# title: Minus the number of sessions
# description: |
#   Fills a server before it opens the next; combine it with full. With 3
#   sessions, packed("ts01") is -3.
packed(id) := 0 - sessions(id)

# METADATA
# title: Load average and sessions being started, per processor
# description: A load of 2 and two more sessions on 8 processors, load("ts01") is 0.5.
load(id) := (facts.load1 + facts.inflight) / max([facts.cpus, 1]) if facts := input.servers[id]

# METADATA
# title: Share of the memory that is in use, from 0 to 1
# description: It is 1 where it is not known. With 4 of 16 GB available, memory("ts01") is 0.75.
memory(id) := 1 - (facts.mem_available / facts.mem_total) if {
	facts := input.servers[id]
	facts.mem_total > 0
} else := 1

# METADATA
# title: 0 for servers in the client's zone, 1 for all others
# description: |
#   The server's zone is its label zone; the param of this name says which
#   networks belong to a zone, such as params: zones: north: ["dorms", "labs"].
#   Then 10 * far(id, "zones") + weighted(id) puts the servers nearby first.
far(id, param) := 0 if {
	some network in data.site.params[param][data.site.servers[id].labels.zone]
	client.in_network(network)
} else := 1
