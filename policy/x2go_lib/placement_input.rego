# METADATA
# title: What the placement policy is given to decide from
# description: |
#   The input of every policy, and the profile to place with the measured facts
#   of its candidates: sessions running, sessions being started (inflight), load
#   average and processors, memory in bytes, age of the report in seconds, and
#   failures in a row.
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
package x2go.placement
