"""Listens to /sse: the pod whose name is told leads. Without a connection it does not."""

import json
import os
import socket
import time

import requests
from sseclient import SSEClient

led = False


def tell(leads):
    global led
    if leads != led:
        print(time.monotonic_ns(), "leads" if leads else "follows", flush=True)
    led = leads


while True:
    try:
        stream = requests.get(os.environ["ELECTOR_SSE_URL"], headers={"Accept": "text/event-stream"}, stream=True)
        for event in SSEClient(stream).events():
            tell(json.loads(event.data)["name"] == socket.gethostname())
    except requests.RequestException:
        pass
    tell(False)
    time.sleep(0.5)
