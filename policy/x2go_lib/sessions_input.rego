# METADATA
# title: What the session policy is given to decide from
# description: |
#   The input of placement, and the user's sessions by id: the id of the server,
#   the profile that started it, its state (running or suspended), when it was
#   created and when its state changed, in unix seconds, and the address of the
#   client that has it now or had it last.
#   This version of x2broker does not ask x2go.sessions.
# scope: subpackages
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
package x2go.sessions
