#!/usr/bin/env bash
# Run by `elector-agent exec`: it runs only while this pod leads, and is to end within 2.4 s of SIGTERM.
act() {
  : # What the leader does, with the token for whoever checks it.
}

trap 'echo "leads: false"; exit' TERM
echo "leads: true, token $LEADER_ELECTION_FENCING_TOKEN"
while sleep 0.5; do act; done
