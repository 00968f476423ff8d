#!/bin/sh
# Prints the version of a package. The argument is the output of `git describe --tags --always --dirty`, or a plain
# version. dpkg and rpm sort the results in the order of the commits: 1.2.3~rc1, 1.2.3, 1.2.3+4.gabc1234 (four commits
# later), 1.2.4. Before the first tag the version has the time of the commit: 0.0.0~git20260131120000.abc1234.
set -eu
given=$1 # such as v1.2.3-rc1-4-gabc1234-dirty

# This is awk, because only GNU sed has alternation.
printf '%s\n' "$given" | awk -v made="${SOURCE_DATE_EPOCH:-0}" '
	function fail() {
		print "version.sh: \"" $0 "\" is neither a version nor an output of git describe" > "/dev/stderr"
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
		sub(/-/, "~", text) # a version with ~ sorts before the version without it
		gsub(/-/, ".", text)
		rest = since
		if (dirty) rest = rest (rest ? "." : "") dirty
		if (rest) text = text "+" rest
		if (text !~ /^[0-9][0-9A-Za-z.+~]*$/) fail()
		print text
	}'
