#!/bin/sh
# Prints the section of CHANGELOG.md for a version, such as 1.2.3. A version such as 1.2.3-rc1 has the section
# "Unreleased". It fails if there is no such section, or if the section is empty.
set -eu
cd "$(dirname "$0")/.."
case $1 in
*-*) section=Unreleased ;;
*) section=$1 ;;
esac
awk -v section="$section" '
	/^## / {
		name = $2
		gsub(/[][]/, "", name)
		inside = name == section
		next
	}
	inside { print }
	inside && /[^ ]/ { found = 1 }
	END { if (!found) { print "notes.sh: CHANGELOG.md has no text for " section > "/dev/stderr"; exit 1 } }' CHANGELOG.md
