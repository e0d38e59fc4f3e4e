#!/usr/bin/env bash
# Asks the leader by its Service, and again for as long as nobody answers as the leader. Each time by a new connection:
# one that is kept leads to the pod that led when it was made.
url=${LEADER_URL:-http://billing-leader}
leader=

trap exit TERM
while sleep 0.5; do
  before=$leader
  leader=$(curl --silent --fail --max-time 2 --noproxy '*' "$url") || leader=nobody
  if [[ $leader != "$before" ]]; then echo "leader: $leader"; fi
done
