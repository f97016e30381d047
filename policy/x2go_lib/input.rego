# METADATA
# title: What every policy is given to decide from
# description: |
#   The schema of input, inherited by every package below x2go, so that a
#   misspelt path is an error when the policy is checked. Times are in the
#   site's zone, floored to the minute; time.unix is in seconds.
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
package x2go
