"""Listens to /sse: the pod whose name is told leads. The library waits for 3 s before it connects again, and says nothing."""

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
        for event in SSEClient(os.environ["ELECTOR_SSE_URL"]):
            tell(json.loads(event.data)["name"] == socket.gethostname())
    except requests.RequestException:
        tell(False)
        time.sleep(0.5)
