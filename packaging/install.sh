#!/bin/sh
# Installs the plugin from its archive, or removes it again. It never starts, stops or reloads CrowdSec.
set -eu
umask 022
export LC_ALL=C # one order of sorting
here=$(cd "$(dirname "$0")" && pwd)
# shellcheck source=packaging/scripts/crowdsec.sh
. "$here/scripts/crowdsec.sh"

prefix=/usr/local

usage() {
	cat <<-EOF
		Usage: ./install.sh [--prefix DIR] [--uninstall] [--yes]

		Installs the CrowdSec plugin notification-stormshield and its command
		crowdsec-stormshield, or a newer version over an older one. It does not touch
		CrowdSec, and prints what to run next.

		  --prefix DIR   install below DIR ($prefix): the plugin into
		                 lib/crowdsec/plugins, the command into bin, the manual page,
		                 completion and documents below share
		  --uninstall    remove what was installed below that folder, and nothing else;
		                 configuration and state stay
		  --yes          do not ask; nothing is asked either without a terminal
		  --help         print this
	EOF
}

refuse() {
	printf 'install.sh: %s\n' "$1" >&2
	exit "${2:-1}"
}

# list_files prints the files below the prefix, a line each: MODE FROM TO.
list_files() {
	doc=share/doc/crowdsec-stormshield
	cat <<-EOF
		0551 notification-stormshield lib/crowdsec/plugins/notification-stormshield
		0644 crowdsec-stormshield.8 share/man/man8/crowdsec-stormshield.8
		0644 completion/bash share/bash-completion/completions/crowdsec-stormshield
		0644 completion/zsh share/zsh/site-functions/_crowdsec-stormshield
		0644 completion/fish share/fish/vendor_completions.d/crowdsec-stormshield.fish
		0644 stormshield.yaml.sample $doc/stormshield.yaml.sample
		0644 README.md $doc/README.md
		0644 docs/operations.md $doc/docs/operations.md
		0644 docs/containers.md $doc/docs/containers.md
		0644 prometheus/crowdsec-stormshield.rules.yml $doc/prometheus/crowdsec-stormshield.rules.yml
		0644 grafana/crowdsec-stormshield.json $doc/grafana/crowdsec-stormshield.json
		0644 CHANGELOG.md $doc/CHANGELOG.md
		0644 LICENSE $doc/LICENSE
		0644 third-party.txt $doc/third-party.txt
	EOF
}

# list_links prints the links below the prefix, a line each: LINK TARGET.
list_links() {
	cat <<-EOF
		bin/crowdsec-stormshield ../lib/crowdsec/plugins/notification-stormshield
		lib/crowdsec-stormshield/plugins/notification-stormshield ../../crowdsec/plugins/notification-stormshield
	EOF
}

# The record of installed paths below the prefix. It lists a folder only if this script made that folder.
installed=share/doc/crowdsec-stormshield/installed

make_folder() {
	case $1 in
	. | */.) return 0 ;;
	esac
	[ ! -d "$prefix/$1" ] || return 0
	make_folder "$(dirname "$1")"
	mkdir "$prefix/$1"
	printf '%s/\n' "$1" >> "$record"
}

# put_file MODE FROM TO replaces a file by a rename, because CrowdSec may be running the old file.
put_file() {
	make_folder "$(dirname "$3")"
	new=$prefix/$(dirname "$3")/.${3##*/}.new
	cp "$2" "$new"
	chown 0:0 "$new"
	chmod "$1" "$new"
	mv -f "$new" "$prefix/$3"
	printf '%s\n' "$3" >> "$record"
}

put_link() {
	make_folder "$(dirname "$1")"
	ln -sfn "$2" "$prefix/$1"
	printf '%s\n' "$1" >> "$record"
}

# remove_files RECORD removes the files of a record, and then its folders if they are empty.
remove_files() {
	grep -v '/$' "$1" | while read -r file; do
		rm -f "$prefix/$file"
	done
	grep '/$' "$1" | sort -r | while read -r folder; do
		rmdir "$prefix/$folder" 2>/dev/null || :
	done
}

install() {
	case $(uname -m) in
	x86_64) machine=amd64 ;;
	aarch64 | arm64) machine=arm64 ;;
	*) machine=$(uname -m) ;;
	esac
	built=$(cat "$here/architecture")
	[ "$machine" = "$built" ] || refuse "this archive is for $built, and this machine is $machine"

	mkdir -p "$prefix/"
	record=$(mktemp)
	trap 'rm -f "$record"' EXIT
	list_files | while read -r mode from to; do
		put_file "$mode" "$here/$from" "$to"
	done
	list_links | while read -r to target; do
		put_link "$to" "$target"
	done
	printf '%s\n' "$installed" >> "$record"
	# An earlier version may have made folders, and files that this one does not have.
	if [ -f "$prefix/$installed" ]; then
		sort -u "$record" -o "$record"
		comm -13 "$record" "$prefix/$installed" | grep -v '/$' | while read -r file; do
			rm -f "$prefix/$file"
		done
		grep '/$' "$prefix/$installed" >> "$record" || :
	fi
	sort -u "$record" > "$prefix/$installed"
	read_facts "$plugin"
	make_state
	message "installed below $prefix"
	case :$PATH: in
	*:"$prefix/bin":*) ;;
	*) message "$prefix/bin is not in your PATH" ;;
	esac
	print_next_steps "$alone"
}

uninstall() {
	[ -f "$prefix/$installed" ] || refuse "nothing of this plugin was installed below $prefix by this script"
	read_facts "$plugin"
	warn_of_users "$alone"
	record=$(mktemp)
	trap 'rm -f "$record"' EXIT
	cp "$prefix/$installed" "$record"
	remove_files "$record"
	message "removed from $prefix"
	print_kept_files ''
	print_blocked_entries 'install this again'
}

action=install
ask=yes
while [ $# -gt 0 ]; do
	case $1 in
	--prefix)
		[ $# -gt 1 ] || refuse '--prefix needs a folder' 2
		prefix=$2
		shift
		;;
	--prefix=*) prefix=${1#--prefix=} ;;
	--uninstall) action=uninstall ;;
	--yes) ask= ;;
	--help | -h)
		usage
		exit 0
		;;
	*) refuse "there is no option $1; --help lists them" 2 ;;
	esac
	shift
done
case $prefix in
/*) prefix=${prefix%/} ;;
*) refuse "--prefix needs a path from the root, and got \"$prefix\"" 2 ;;
esac
plugin=$prefix/lib/crowdsec/plugins/notification-stormshield
alone=$prefix/lib/crowdsec-stormshield/plugins
[ "$(id -u)" -eq 0 ] || refuse 'run this as root'

if [ -n "$ask" ] && [ -t 0 ]; then
	printf '%s the plugin below %s? [y/N] ' "$action" "$prefix"
	read -r answer
	case $answer in
	[yY]*) ;;
	*) refuse 'nothing was done' ;;
	esac
fi
$action
