# shellcheck shell=sh
# What the scripts of the packages and install.sh know of CrowdSec's configuration and of the plugin's state. The build
# puts this text into each of them, for a package's scripts must stand alone.
#
# It reads, says and makes the state folder. It never starts, stops or reloads CrowdSec.

crowdsec=/etc/crowdsec
notification=$crowdsec/notifications/stormshield.yaml
state=/var/lib/crowdsec-stormshield

say() {
	printf 'crowdsec-stormshield: %s\n' "$1"
	shift
	[ $# -eq 0 ] || printf '    %s\n' "$@"
}

# For the awk programs below: makes a YAML scalar's text of what stands behind a key, in the variable text.
scalar='
	sub(/\r$/, "", text)
	sub(/^[ \t]+/, "", text)
	if (text ~ /^'\''/) { text = substr(text, 2); sub(/'\''.*/, "", text) }
	else if (text ~ /^"/) { text = substr(text, 2); sub(/".*/, "", text) }
	else { sub(/^#.*/, "", text); sub(/[ \t]+#.*/, "", text); sub(/[ \t]+$/, "", text) }'

# value FILE KEY... prints what stands in a YAML file under a key of a key of a key; its status says whether it is there.
value() {
	value_file=$1
	shift
	[ -r "$value_file" ] || return 1
	awk -v keys="$*" '
		BEGIN { depth = split(keys, key, " "); inside = 0 }
		/^[ \t]*(#|\r?$)/ { next }
		{
			match($0, /^ */)
			while (inside > 0 && RLENGTH <= column[inside]) inside--
			if (!(inside in child)) child[inside] = RLENGTH
			text = substr($0, RLENGTH + 1)
			if (RLENGTH != child[inside] || index(text, key[inside + 1] ":") != 1) next
			column[++inside] = RLENGTH
			delete child[inside]
			if (inside < depth) next
			text = substr(text, length(key[depth]) + 2)
			'"$scalar"'
			print text
			there = 1
			exit
		}
		END { exit !there }' "$value_file"
}

# configured DEFAULT KEY... prints a value of CrowdSec's configuration. What is in config.yaml.local goes before.
configured() {
	default=$1
	shift
	value "$crowdsec/config.yaml.local" "$@" || value "$crowdsec/config.yaml" "$@" || printf '%s\n' "$default"
}

# plugin_account prints the USER:GROUP that CrowdSec runs plugins as. With both empty it is CrowdSec's own.
plugin_account() {
	user=$(configured nobody plugin_config user)
	user=${user:-root}
	group=$(configured '' plugin_config group)
	group=${group:-$(id -gn "$user" 2>/dev/null || echo nogroup)}
	printf '%s:%s\n' "$user" "$group"
}

# make_state makes the state folder. One that is there keeps its owner, who may be of the administrator's choosing.
make_state() {
	[ ! -d "$state" ] || return 0
	mkdir -p "${state%/*}"
	mkdir -m 0700 "$state"
	account=$(plugin_account)
	if ! chown "$account" "$state"; then
		say "$state is root's, for there is no $account." \
			"Give it to the user that CrowdSec runs plugins as (plugin_config in $crowdsec/config.yaml)."
	fi
}

notification_files() {
	folder=$(configured "$crowdsec/notifications" config_paths notification_dir)
	for file in "${folder%/}"/*.yaml "${folder%/}"/*.yml; do
		[ ! -f "$file" ] || printf '%s\n' "$file"
	done
}

# documents FILE prints a line for each YAML document in it: its type, its name.
documents() {
	{
		cat "$1"
		printf '\n---\n'
	} | awk '
		/^(---|\.\.\.)/ {
			if (begun) print (type ? type : "-"), name
			begun = 0
			type = name = ""
			next
		}
		/^[ \t]*(#|\r?$)/ { next }
		{ begun = 1 }
		/^(type|name):/ {
			text = substr($0, 6)
			'"$scalar"'
			if (/^type/) type = text
			else name = text
		}'
}

# our_names prints the names of the notifications that are this plugin's.
our_names() {
	notification_files | while read -r file; do
		documents "$file" | sed -n 's/^stormshield \(.\)/\1/p'
	done
}

# profile_files prints those of CrowdSec's files that may list notifications.
profile_files() {
	profiles=$(configured "$crowdsec/profiles.yaml" api server profiles_path)
	printf '%s\n' "$profiles" "$profiles.local"
}

# lists FILE NAME tells whether a file of profiles lists a notification.
lists() {
	[ -r "$1" ] || return 1
	awk -v name="$2" '
		{ sub(/^#.*/, ""); sub(/[ \t]#.*/, "") }
		/^[ \t-]*name:/ { next }
		{
			count = split($0, word, /[][ \t\r",'\'']+/)
			for (i = 1; i <= count; i++) if (word[i] == name) found = 1
		}
		END { exit !found }' "$1"
}

# say_what_comes_next ALONE says what to run after an installation. ALONE is the folder that holds nothing but a link to
# the plugin.
say_what_comes_next() {
	alone=$1
	if [ -n "$(our_names)" ]; then
		say 'to have CrowdSec run this version: systemctl reload crowdsec'
	else
		say 'to set it up: crowdsec-stormshield setup'
	fi
	plugins=$(configured '' config_paths plugin_dir)
	plugins=${plugins%/}
	[ -d "$plugins" ] || return 0
	# CrowdSec loads no notification at all while a name in its plugin folder has no dash, as with CrowdSec 1.4.6.
	for file in "$plugins"/*; do
		case ${file##*/} in
		*-*) ;;
		*)
			[ -f "$file" ] || continue
			say "CrowdSec loads no notification while $file is in its plugin folder." \
				"Set in $crowdsec/config.yaml, under config_paths: plugin_dir: $alone"
			return 0
			;;
		esac
	done
	if [ ! -e "$plugins/notification-stormshield" ]; then
		say "CrowdSec looks for plugins in $plugins (plugin_dir in $crowdsec/config.yaml)." \
			"To have it find this one: ln -s $alone/notification-stormshield $plugins/"
	fi
}

# say_what_needs_us ALONE names what keeps CrowdSec from starting once the plugin is gone.
say_what_needs_us() {
	alone=$1
	{
		profile_files | while read -r file; do
			# The notification may be gone before the package: its usual name is looked for all the same.
			{ our_names; echo stormshield_default; } | sort -u | while read -r name; do
				if lists "$file" "$name"; then
					printf '%s still names %s under notifications:\n' "$file" "$name"
				fi
			done
		done
		for file in "$crowdsec/config.yaml.local" "$crowdsec/config.yaml"; do
			plugins=$(value "$file" config_paths plugin_dir) || continue
			plugins=${plugins%/}
			if [ "$plugins" = "$alone" ]; then
				printf '%s still has plugin_dir: %s\n' "$file" "$plugins"
			elif [ -L "$plugins/notification-stormshield" ]; then
				printf '%s is a link that will lead nowhere\n' "$plugins/notification-stormshield"
			fi
		done
	} | {
		needed=
		while read -r line; do
			[ -n "$needed" ] || say 'WARNING: without this plugin CrowdSec will neither start nor reload, because'
			needed=yes
			printf '    %s\n' "$line"
		done
		[ -z "$needed" ] || printf '    %s\n' 'Take that out, then: systemctl reload crowdsec'
	}
}

# say_what_is_kept COMMAND names what a removal leaves to the administrator, and what deletes it: COMMAND, or else rm.
say_what_is_kept() {
	kept=
	for one in "$notification" "$state"; do
		[ ! -e "$one" ] || kept="$kept $one"
	done
	[ -z "$kept" ] || say "kept$kept" "To delete that: ${1:-rm -r$kept}"
}

# say_what_stays_blocked AGAIN tells of the appliance, which a removal does not reach. AGAIN is what to do before
# `cleanup` can be run.
say_what_stays_blocked() {
	say 'unless "crowdsec-stormshield cleanup" was run, the appliance still holds its groups and objects,' \
		'and blocks until each entry ends by itself (after blacklist_timeout, 24h by default).' \
		"To take them off: $1, stop CrowdSec, run that command, remove this."
}
