#!/usr/bin/env bash
# Asks the agent before each act. No answer in time, or any other than 200, and it does not lead.
address=${ELECTOR_ADDRESS:-127.0.0.1:4040}
leads=false

act() {
  : # What the leader does. Short, as the answer is of the past once it begins.
}

trap exit TERM
while sleep 0.5; do
  before=$leads
  if curl --silent --fail --output /dev/null --max-time 0.5 --noproxy '*' "http://$address/isLeader"; then
    leads=true
  else
    leads=false
  fi
  if [[ $leads != "$before" ]]; then echo "leads: $leads"; fi
  if $leads; then act; fi
done
