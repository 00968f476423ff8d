#!/bin/sh
# Prints the version of a package for what `git describe --tags --always --dirty` says, or for a plain version. Both
# dpkg and rpm sort the results as git does: 1.2.3~rc1, 1.2.3, 1.2.3+4.gabc1234 (four commits later), 1.2.4. Before the
# first tag the time of the commit comes first: 0.0.0~git20260131120000.abc1234.
set -eu
given=$1 # such as v1.2.3-rc1-4-gabc1234-dirty

# This is awk, because only GNU sed has alternation.
printf '%s\n' "$given" | awk -v made="${SOURCE_DATE_EPOCH:-0}" '
	function fail() {
		print "version.sh: no version of a package can be made of \"" $0 "\"" > "/dev/stderr"
		exit 1
	}
	{
		text = $0
		dirty = sub(/-dirty$/, "", text) ? "dirty" : ""
		since = ""
		if (match(text, /-[0-9]+-g[0-9a-f]+$/)) {
			since = substr(text, RSTART + 1)
			sub(/-/, ".", since)
			text = substr(text, 1, RSTART - 1)
		}
		if (text ~ /^[0-9a-f]+$/ && length(text) >= 7) {
			"date -u -d @" made " +%Y%m%d%H%M%S" | getline when
			text = "0.0.0~git" when "." text
		} else if (text == "unreleased") {
			text = "0.0.0~unreleased"
		}
		sub(/^v/, "", text)
		sub(/-/, "~", text) # what follows a dash comes before the version itself
		gsub(/-/, ".", text)
		rest = since
		if (dirty) rest = rest (rest ? "." : "") dirty
		if (rest) text = text "+" rest
		if (text !~ /^[0-9][0-9A-Za-z.+~]*$/) fail()
		print text
	}'
