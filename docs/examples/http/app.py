"""Asks the agent before each act. No answer in time, or any other than 200, and it does not lead."""

import http.client
import os
import time

ADDRESS = os.environ.get("ELECTOR_ADDRESS", "127.0.0.1:4040")


def is_leader():
    connection = http.client.HTTPConnection(ADDRESS, timeout=0.5)
    try:
        connection.request("GET", "/isLeader")
        return connection.getresponse().status == 200
    except (OSError, http.client.HTTPException):
        return False
    finally:
        connection.close()


def act():
    """What the leader does. Short, as the answer is of the past once it begins."""


led = False
while True:
    leads = is_leader()
    if leads != led:
        print(f"leads: {str(leads).lower()}", flush=True)
        led = leads
    if leads:
        act()
    time.sleep(0.5)
