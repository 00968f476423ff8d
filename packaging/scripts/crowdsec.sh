# shellcheck shell=sh
# The common part of the packages' scripts and of install.sh. The build copies this text into each of them, because the
# scripts of a package must not read other files.
#
# It makes the state folder and prints messages. It never starts, stops or reloads CrowdSec.

crowdsec=/etc/crowdsec
notification=$crowdsec/notifications/stormshield.yaml
state=/var/lib/crowdsec-stormshield

message() {
	printf 'crowdsec-stormshield: %s\n' "$1"
	shift
	[ $# -eq 0 ] || printf '    %s\n' "$@"
}

facts=

# read_facts PROGRAM asks the installed program about CrowdSec's configuration. The scripts work without an answer, too.
read_facts() {
	[ -f "$crowdsec/config.yaml" ] || return 0 # CrowdSec is not installed
	facts=$("$1" package-facts --crowdsec "$crowdsec/config.yaml") ||
		message "$1 cannot read CrowdSec's configuration, or does not run on this machine ($(uname -m))."
}

# print_fact WORD prints the values of a fact, a line each. printPackageFacts in packagefacts.go lists the words.
print_fact() { printf '%s\n' "$facts" | sed -n "s/^$1 //p"; }

# make_state makes the state folder for the user that runs plugins. A folder that exists keeps its owner.
make_state() {
	[ ! -d "$state" ] || return 0
	mkdir -p "${state%/*}"
	mkdir -m 0700 "$state"
	user=$(print_fact user)
	user=${user:-nobody}
	group=$(print_fact group)
	group=${group:-$(id -gn "$user" 2>/dev/null || echo nogroup)}
	chown -- "$user:$group" "$state" ||
		message "$state belongs to root, because there is no $user:$group." \
			"Give it to the user that CrowdSec runs plugins as (plugin_config in $crowdsec/config.yaml)."
}

# print_next_steps ALONE prints what to run after an installation. ALONE is the folder that holds only a link to the
# plugin.
print_next_steps() {
	alone=$1
	if [ -n "$(print_fact notification)" ]; then
		message 'to have CrowdSec run this version: systemctl reload crowdsec'
	else
		message 'to set it up: crowdsec-stormshield setup'
	fi
	plugins=$(print_fact plugin_dir)
	misnamed=$(print_fact misnamed)
	if [ -n "$misnamed" ]; then # as in Debian 12
		message "CrowdSec loads no notification while $misnamed is in its plugin folder." \
			"Set in $crowdsec/config.yaml, under config_paths: plugin_dir: $alone"
	elif [ -d "$plugins" ] && [ ! -e "$plugins/notification-stormshield" ]; then
		message "CrowdSec looks for plugins in $plugins (plugin_dir in $crowdsec/config.yaml)." \
			"To have it find this one: ln -s $alone/notification-stormshield $plugins/"
	fi
}

# warn_of_users ALONE prints which files make CrowdSec need the plugin.
warn_of_users() {
	plugins=$(print_fact plugin_dir)
	reasons=$(
		print_fact named | sed 's/ names / still names /; s/$/ under notifications:/'
		if [ "$plugins" = "$1" ]; then
			printf '%s still has plugin_dir: %s\n' "$(print_fact plugin_dir_file)" "$plugins"
		elif [ -L "$plugins/notification-stormshield" ]; then
			printf '%s is a link to the plugin\n' "$plugins/notification-stormshield"
		fi
	)
	[ -n "$reasons" ] || return 0
	message 'WARNING: without this plugin CrowdSec will neither start nor reload, because'
	printf '%s\n' "$reasons" | sed 's/^/    /'
	printf '    %s\n' 'Take that out, then: systemctl reload crowdsec'
}

# print_kept_files COMMAND prints what a removal keeps, and how to delete it: with COMMAND, or with rm if that is empty.
print_kept_files() {
	kept=
	for path in "$notification" "$state"; do
		[ ! -e "$path" ] || kept="$kept $path"
	done
	[ -z "$kept" ] || message "kept$kept" "To delete that: ${1:-rm -r$kept}"
}

# print_blocked_entries AGAIN prints what stays on the appliance. AGAIN is what to do before `cleanup` can run.
print_blocked_entries() {
	message 'unless "crowdsec-stormshield cleanup" was run, the appliance still holds its groups and objects,' \
		'and blocks until each entry ends by itself (after blacklist_timeout, 24h by default).' \
		"To remove them: $1, stop CrowdSec, run that command, remove this."
}
