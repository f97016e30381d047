# METADATA
# title: Which server is best, as x2broker decides when the site says nothing else
# description: |
#   Rules to be looked up by server id. The broker has already left out servers
#   that are not of the profile, in drain or in maintenance.
# schemas:
#   - input:
#       type: object
#       additionalProperties: false
#       properties:
#         user:
#           type: object
#           additionalProperties: false
#           properties:
#             name: {type: string}
#             groups: {type: array, items: {type: string}}
#         account: {type: string}
#         client:
#           type: object
#           additionalProperties: false
#           properties:
#             address: {type: string}
#             networks: {type: array, items: {type: string}}
#             frontend: {type: string}
#         time:
#           type: object
#           additionalProperties: false
#           properties:
#             unix: {type: integer}
#             date: {type: string}
#             weekday: {type: string}
#             hour: {type: integer}
#             minute: {type: integer}
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

# METADATA
# title: Servers that are no candidate now, by id, with the reason
# description: A server is full when its sessions, running and being started, reach capacity.sessions.
excluded[id] := reason if {
	some id, server in data.site.servers
	most := server.capacity.sessions
	now := _busy(id)
	now >= most
	reason := sprintf("full: %d of %d sessions", [now, most])
}

# METADATA
# title: What one more session would cost, by server id; the lowest wins
# description: Sessions after the next one, per unit of weight.
scores[id] := score if {
	some id, server in data.site.servers
	score := (_busy(id) + 1) / object.get(server, "weight", 1)
}

default _busy(_) := 0

_busy(id) := object.get(facts, "sessions", 0) + object.get(facts, "inflight", 0) if facts := input.servers[id]
