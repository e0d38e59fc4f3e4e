"""Asks `elector-agent check` before each act. It reads STATUS_FILE, and exits with 0 only if this pod leads."""

import subprocess
import time


def act():
    """What the leader does. Short, as the look is over once it begins."""


led = False
while True:
    leads = subprocess.run(["elector-agent", "check"]).returncode == 0
    if leads != led:
        print(f"leads: {str(leads).lower()}", flush=True)
        led = leads
    if leads:
        act()
    time.sleep(0.5)
