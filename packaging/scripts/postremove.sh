#!/bin/sh
# After removal, which keeps configuration and state, and after dpkg's purge, which deletes them. rpm, which has no
# purge, calls this with 0.
set -e
# shellcheck source=packaging/scripts/crowdsec.sh
. "$(dirname "$0")/crowdsec.sh"

# holds_others FILE reports whether one of the YAML documents in a file may be no notification of this plugin. The program,
# which could read the file, is gone by now.
holds_others() {
	awk '
		/^(---|\.\.\.)/ { others += has_text && !is_ours; has_text = is_ours = 0; sub(/^.../, "") }
		/^[ \t]*(#|\r?$)/ { next }
		{ has_text = 1 }
		/^type:[ \t]+["'\'']?stormshield["'\'']?([ \t]+#.*)?[ \t\r]*$/ { is_ours = 1 }
		END { exit !(others || has_text && !is_ours) }' "$1"
}

# The administrator makes this file, so dpkg does not know it. It is kept if it may hold notifications of other plugins.
purge_notification() {
	[ -f "$notification" ] || return 0
	if holds_others "$notification"; then
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
