#!/bin/sh
# After installation and after an upgrade. dpkg calls this with "configure", rpm with the number of installed versions.
# The administrator decides when CrowdSec starts the new version.
set -e
# shellcheck source=packaging/scripts/crowdsec.sh
. "$(dirname "$0")/crowdsec.sh"

case $1 in
configure | 1 | 2) ;;
*) exit 0 ;; # dpkg undoes an upgrade that failed
esac

read_facts /usr/bin/crowdsec-stormshield
make_state
print_next_steps /usr/lib/crowdsec-stormshield/plugins
