#!/usr/bin/env bash
# Asks `elector-agent check` before each act. It reads STATUS_FILE, and exits with 0 only if this pod leads.
leads=false

act() {
  : # What the leader does. Short, as the look is over once it begins.
}

trap exit TERM
while sleep 0.5; do
  before=$leads
  if elector-agent check; then leads=true; else leads=false; fi
  if [[ $leads != "$before" ]]; then echo "leads: $leads"; fi
  if $leads; then act; fi
done
