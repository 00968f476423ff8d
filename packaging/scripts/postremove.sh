#!/bin/sh
# After removal, which keeps configuration and state, and after dpkg's purge, which deletes them. rpm, which has no
# purge, calls this with 0.
set -e
# shellcheck source=packaging/scripts/crowdsec.sh
. "$(dirname "$0")/crowdsec.sh"

# The administrator makes this file, so dpkg does not know it. It is kept if it may hold notifications of other plugins.
# The program, which could read it, is gone by now.
purge_notification() {
	[ -f "$notification" ] || return 0
	types=$(sed -n "s/^type:[[:space:]]*[\"']\{0,1\}\([^\"'#[:space:]]*\).*/\1/p" "$notification" | sort -u)
	if [ "$types" != stormshield ] || grep -q '^[{]' "$notification"; then
		say "kept $notification, which may hold notifications of other plugins"
		return 0
	fi
	rm -f "$notification"
	say "deleted $notification"
}

purge_state() {
	[ -d "$state" ] || return 0
	rm -rf "$state"
	say "deleted $state"
}

case $1 in
purge)
	purge_notification
	purge_state
	say_what_stays_blocked 'install this again, set it up'
	;;
remove) say_what_is_kept 'dpkg --purge crowdsec-stormshield' ;;
0) say_what_is_kept '' ;;
esac
