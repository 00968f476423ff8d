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
		message "kept $notification, which may hold notifications of other plugins"
		return 0
	fi
	rm -f "$notification"
	message "deleted $notification"
}

purge_state() {
	[ -d "$state" ] || return 0
	rm -rf "$state"
	message "deleted $state"
}

case $1 in
purge)
	purge_notification
	purge_state
	print_blocked_entries 'install this again, set it up'
	;;
remove) print_kept_files 'dpkg --purge crowdsec-stormshield' ;;
0) print_kept_files '' ;;
esac
