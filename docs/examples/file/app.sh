#!/usr/bin/env bash
# Looks at the file before each act: it exists only while this pod leads.
status_file=${STATUS_FILE:-/run/leader-election/leader_status}
leads=false

act() {
  : # What the leader does. Short, as the look is over once it begins.
}

trap exit TERM
while sleep 0.5; do
  before=$leads
  if [[ -f $status_file ]]; then leads=true; else leads=false; fi
  if [[ $leads != "$before" ]]; then echo "leads: $leads"; fi
  if $leads; then act; fi
done
