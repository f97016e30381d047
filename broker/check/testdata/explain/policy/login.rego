package x2go.login

deny contains "the night shift has terminals of its own" if "night" in input.user.groups
