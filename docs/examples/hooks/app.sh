#!/bin/sh
# ON_ACQUIRED and ON_LOST both name this program; LEADER_ELECTION_EVENT says why it is run.
case $LEADER_ELECTION_EVENT in
  acquired) echo "leads: true, token $LEADER_ELECTION_FENCING_TOKEN" ;;
  lost) echo "leads: false" ;;
esac
