#!/usr/bin/env bash
# Is told by the agent when this pod begins and ceases to lead. A stream that ends, or is silent, says that it does not.
address=${ELECTOR_ADDRESS:-127.0.0.1:4040}
silence=30 # seconds; the agent says something every 15
work=
set -m # What runs in the background is a process group of its own, and ends as a whole.

act() {
  while sleep 0.5; do
    : # What the leader does.
  done
}

tell() {
  if [[ $1 == true && -z $work ]]; then
    echo "leads: true"
    act &
    work=$!
  elif [[ $1 == false && -n $work ]]; then
    kill -- "-$work"
    wait "$work" 2>/dev/null
    work=
    echo "leads: false"
  fi
}

trap 'tell false; exit' TERM
while true; do
  while IFS= read -r -t "$silence" line; do
    case $line in
      data:*'"is_leader":true'*) tell true ;;
      data:*) tell false ;;
    esac
  done < <(exec curl --silent --fail --no-buffer --connect-timeout 1 --noproxy '*' "http://$address/sse")
  tell false
  sleep 1
done
