#!/bin/sh
# After removal, which keeps configuration and state, and after dpkg's purge, which deletes them. rpm, which has no
# purge, calls this with 0.
set -e
# shellcheck source=packaging/scripts/crowdsec.sh
. "$(dirname "$0")/crowdsec.sh"

# Made by the command and not a file of the package, so that dpkg does not know it. Notifications of other plugins, if
# the administrator put any into it, are not ours to delete.
purge_notification() {
	[ -f "$notification" ] || return 0
	if documents "$notification" | grep -qv '^stormshield '; then
		say "kept $notification, which holds more than notifications of this plugin"
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
