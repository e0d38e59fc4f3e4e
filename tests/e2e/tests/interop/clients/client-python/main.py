"""Contends for a Lease until SIGTERM, and ends its work then. The library has no way to release a Lease."""

import os
import signal
import sys
import time

from kubernetes import config
from kubernetes.leaderelection import electionconfig, leaderelection
from kubernetes.leaderelection.resourcelock.leaselock import LeaseLock

led = False


def tell(leads):
    global led
    if leads != led:
        print(time.monotonic_ns(), "leads" if leads else "follows", flush=True)
    led = leads


def end(*_):
    tell(False)
    sys.exit()


signal.signal(signal.SIGTERM, end)
config.load_kube_config()
lock = LeaseLock(os.environ["LEASE_NAME"], os.environ["NAMESPACE"], os.environ["IDENTITY"])
settings = electionconfig.Config(lock, 5, 3, 1, lambda: tell(True), lambda: tell(False))
while True:
    leaderelection.LeaderElection(settings).run()
