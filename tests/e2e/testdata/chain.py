"""Lists and selects with python-x2go as a program of its own would, and prints
what went over the wire: broker's URL, user, password, id of a profile."""
import json
import sys

import requests

sent = []
real_post = requests.post


def post(url, data=None, **more):
    reply = real_post(url, data=data, **more)
    sent.append({
        "fields": {k: v for k, v in data.items() if k != "pubkey"},
        "key": data.get("pubkey", "").split(" ")[0:2],
        "status": reply.status_code,
    })
    return reply


requests.post = post

from x2go.backends.profiles.httpbroker import X2GoSessionProfiles  # noqa: E402

url, user, password, profile = sys.argv[1:]
profiles = X2GoSessionProfiles(broker_url=url, broker_username=user, broker_password=password)
granted = profiles.broker_simpleauth(user, password)
result = {
    "granted": granted,
    "profiles": {i: profiles.get_profile_config(profile_id=i) for i in profiles.profile_ids},
    "server": profiles.broker_selectsession(profile) if granted else {},
    "sent": sent,
}
json.dump(result, sys.stdout)
