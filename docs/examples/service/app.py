"""Asks the leader by its Service, and again for as long as nobody answers as the leader. Each time by a new connection:
one that is kept leads to the pod that led when it was made."""

import http.client
import os
import time
import urllib.request

URL = os.environ.get("LEADER_URL", "http://billing-leader")

# It keeps no connection, and asks no proxy.
client = urllib.request.build_opener(urllib.request.ProxyHandler({}))


def ask():
    try:
        with client.open(URL, timeout=2) as response:
            return response.read().decode()
    except (OSError, http.client.HTTPException, ValueError):
        return "nobody"


before = None
while True:
    leader = ask()
    if leader != before:
        print(f"leader: {leader}", flush=True)
        before = leader
    time.sleep(0.5)
