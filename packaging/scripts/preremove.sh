#!/bin/sh
# Before removal, while the command still exists. dpkg calls this with "remove", rpm with 0. An upgrade is no removal.
set -e
# shellcheck source=packaging/scripts/crowdsec.sh
. "$(dirname "$0")/crowdsec.sh"

case $1 in
remove | 0) ;;
*) exit 0 ;;
esac

read_facts /usr/bin/crowdsec-stormshield
warn_of_users /usr/lib/crowdsec-stormshield/plugins
print_blocked_entries 'install this again'
