"""Run by `elector-agent exec`: it runs only while this pod leads, and is to end within 2.4 s of SIGTERM."""

import os
import signal
import sys
import time


def end(*_):
    print("leads: false", flush=True)
    sys.exit()


def act(token):
    """What the leader does, with the token for whoever checks it."""


signal.signal(signal.SIGTERM, end)
token = os.environ["LEADER_ELECTION_FENCING_TOKEN"]
print(f"leads: true, token {token}", flush=True)
while True:
    act(token)
    time.sleep(0.5)
