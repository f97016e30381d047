# METADATA
# title: Which session is resumed, as x2broker decides when the site says nothing else
# description: |
#   This version of x2broker does not ask these rules. What is written here is
#   what a later one asks.
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
#         sessions:
#           type: object
#           additionalProperties:
#             type: object
#             additionalProperties: false
#             properties:
#               server: {type: string}
#               profile_id: {type: string}
#               state: {type: string}
#               created: {type: integer}
#               changed: {type: integer}
#               client: {type: string}
package x2go.lib.sessions

# METADATA
# title: Suspended sessions that may be resumed, by id; the lowest number wins
# description: |
#   Those of the profile, the one suspended last before the others. If there is
#   none, takeover is asked.
resume[id] := since if {
	some id, session in input.sessions
	since := _since(session, "suspended")
}

# METADATA
# title: Running sessions that may be taken from the client that shows them, by id; the lowest number wins
# description: |
#   Those of the profile, the one that was started or resumed last before the
#   others. If there is none, a new session is placed.
takeover[id] := since if {
	some id, session in input.sessions
	since := _since(session, "running")
}

# METADATA
# title: Limits of the user's sessions, by name
# description: |
#   None. The names are sessions (how many the user may have), profile_sessions
#   (how many of this profile), suspended_s (seconds after which a suspended
#   session is ended) and age_s (seconds after which any session is).
limits[name] := most if some name, most in _none

# Seconds since a session of the profile came to this state.
_since(session, state) := input.time.unix - session.changed if {
	session.profile_id == input.profile_id
	session.state == state
}

# Written so that its type stays open: OPA refuses to iterate over an object that
# it knows to be empty.
_none := json.unmarshal("{}")
