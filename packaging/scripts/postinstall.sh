#!/bin/sh
# After installation and after an upgrade. dpkg calls this with "configure", rpm with how many versions are installed
# now. CrowdSec is left alone: when it starts the new version is the administrator's to say.
set -e
# shellcheck source=packaging/scripts/crowdsec.sh
. "$(dirname "$0")/crowdsec.sh"

case $1 in
configure | 1 | 2) ;;
*) exit 0 ;; # dpkg takes back what failed
esac

make_state
say_what_comes_next /usr/lib/crowdsec-stormshield/plugins
