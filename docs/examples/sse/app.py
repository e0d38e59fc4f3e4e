"""Is told by the agent when this pod begins and ceases to lead. A stream that ends, or is silent, says that it does not."""

import http.client
import json
import os
import threading
import time

ADDRESS = os.environ.get("ELECTOR_ADDRESS", "127.0.0.1:4040")
SILENCE = 30  # seconds; the agent says something every 15

leading = threading.Event()


def tell(leads):
    if leads != leading.is_set():
        print(f"leads: {str(leads).lower()}", flush=True)
    if leads:
        leading.set()
    else:
        leading.clear()


def listen():
    connection = http.client.HTTPConnection(ADDRESS, timeout=SILENCE)
    try:
        connection.request("GET", "/sse")
        response = connection.getresponse()
        if response.status == 200:
            for line in response:
                if line.startswith(b"data:"):
                    tell(json.loads(line.removeprefix(b"data:"))["is_leader"])
    except (OSError, http.client.HTTPException, ValueError):
        pass
    finally:
        connection.close()


def follow():
    while True:
        try:
            listen()
        finally:
            tell(False)
        time.sleep(1)


def act():
    """What the leader does. Short, as it is told while this runs that it leads no more."""


threading.Thread(target=follow, daemon=True).start()
while leading.wait():
    act()
    time.sleep(0.5)
