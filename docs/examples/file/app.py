"""Looks at the file before each act: it exists only while this pod leads."""

import os
import time

STATUS_FILE = os.environ.get("STATUS_FILE", "/run/leader-election/leader_status")


def act():
    """What the leader does. Short, as the look is over once it begins."""


led = False
while True:
    leads = os.path.isfile(STATUS_FILE)
    if leads != led:
        print(f"leads: {str(leads).lower()}", flush=True)
        led = leads
    if leads:
        act()
    time.sleep(0.5)
