#!/bin/sh
# Before removal, while the command is still there. dpkg calls this with "remove", rpm with 0; an upgrade is none.
set -e
# shellcheck source=packaging/scripts/crowdsec.sh
. "$(dirname "$0")/crowdsec.sh"

case $1 in
remove | 0) ;;
*) exit 0 ;;
esac

say_what_needs_us /usr/lib/crowdsec-stormshield/plugins
say_what_stays_blocked 'install this again'
