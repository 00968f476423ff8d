#!/bin/sh
# Builds a deb, an rpm, an archive and a bill of materials for each architecture, and their checksums. It puts them into
# the folder that the argument names. `make package` calls this script with these variables: VERSION (the output of
# `git describe`), COMMIT, NFPM and SBOM (the commands of these tools), and optionally ARCHITECTURES.
#
# The same commit gives the same bytes: every time is that of the commit, every owner is root, every order is sorted, and
# nothing depends on the machine.
set -eu
umask 022
export LC_ALL=C TZ=UTC
cd "$(dirname "$0")/.."
into=$1
: "${ARCHITECTURES:=amd64 arm64}" "${SOURCE_DATE_EPOCH:=$(git log -1 --format=%ct)}"
export SOURCE_DATE_EPOCH
VERSION=$(packaging/version.sh "$VERSION")
MAINTAINER='The notification-stormshield authors <noreply@example.org>'
export VERSION MAINTAINER

work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
mkdir "$work/dist"

# include_common SCRIPT prints a script with the text of crowdsec.sh in place of the line that reads crowdsec.sh.
include_common() {
	awk '
		/^# shellcheck source=/ { next }
		/^\. .*\/crowdsec\.sh"$/ { while ((getline line < "packaging/scripts/crowdsec.sh") > 0) if (line !~ /^# shellcheck/) print line; next }
		{ print }' "$1"
}

# print_licences prints the licences of the modules that the program is linked with, and that of Go's own library.
print_licences() {
	{
		echo "Go $(go env GOROOT)"
		for arch in $ARCHITECTURES; do
			CGO_ENABLED=0 GOOS=linux GOARCH=$arch go list -deps \
				-f '{{with .Module}}{{if not .Main}}{{.Path}}@{{.Version}} {{.Dir}}{{end}}{{end}}' ./plugin/notification-stormshield
		done | sort -u
	} | while read -r module folder; do
		texts=
		for text in "$folder"/LICEN[CS]E* "$folder"/NOTICE* "$folder"/PATENTS*; do
			[ -f "$text" ] || continue
			texts=yes
			printf '================ %s, %s\n\n' "$module" "${text##*/}"
			cat "$text"
			echo
		done
		[ -n "$texts" ] || { echo "build.sh: $module has no licence in $folder" >&2 && exit 1; }
	done
}

# print_copyright prints packaging/copyright with the holder and the text of LICENSE.
print_copyright() {
	awk '
		/^Copyright: HOLDER$/ { sub(/HOLDER/, holder()) }
		/^TEXT$/ { text(); next }
		{ print }
		function holder(  line) {
			while ((getline line < "LICENSE") > 0) if (sub(/^Copyright \(c\) /, "", line)) break
			close("LICENSE")
			return line
		}
		function text(  line, begun) {
			while ((getline line < "LICENSE") > 0) {
				if (line ~ /^Permission/) begun = 1
				if (begun) print line == "" ? " ." : " " line
			}
		}' packaging/copyright
}

print_changelog() {
	printf 'crowdsec-stormshield (%s) unstable; urgency=medium\n\n' "$VERSION"
	printf '  * See CHANGELOG.md.gz for the changes.\n\n'
	printf ' -- %s  %s\n' "$MAINTAINER" "$(date -R -d "@$SOURCE_DATE_EPOCH")"
}

# These files are the same for all architectures.
for script in postinstall preremove postremove; do
	include_common packaging/scripts/$script.sh > "$work/$script.sh"
done
include_common packaging/install.sh > "$work/install.sh"
chmod 0755 "$work/install.sh"
print_licences > "$work/third-party.txt"
print_copyright > "$work/copyright"
print_changelog > "$work/changelog"
cp CHANGELOG.md packaging/crowdsec-stormshield.8 "$work"
for text in third-party.txt changelog CHANGELOG.md crowdsec-stormshield.8; do
	gzip -9nk "$work/$text"
done
sed "s|\${WORK}|$work|" packaging/nfpm.yaml > "$work/rpm.yaml"
sed '/^license:/d' "$work/rpm.yaml" > "$work/deb.yaml"
for arch in $ARCHITECTURES $(go env GOHOSTARCH); do
	[ ! -d "$work/$arch" ] || continue
	GOOS=linux GOARCH=$arch make -s build PLUGIN="$work/$arch/notification-stormshield" VERSION="$VERSION"
done
mkdir "$work/completion"
for shell in bash zsh fish; do
	"$work/$(go env GOHOSTARCH)/notification-stormshield" completion $shell > "$work/completion/$shell"
done

# make_archive ARCH makes the archive: install.sh and the files that it installs, in one folder.
make_archive() {
	folder=crowdsec-stormshield-$VERSION-linux-$1
	mkdir "$work/$folder"
	cp "$work/$1/notification-stormshield" "$work/install.sh" "$work/third-party.txt" "$work/$folder"
	cp -r "$work/completion" packaging/crowdsec-stormshield.8 README.md CHANGELOG.md LICENSE "$work/$folder"
	cp config/sample.yaml "$work/$folder/stormshield.yaml.sample"
	mkdir "$work/$folder/docs" "$work/$folder/prometheus" "$work/$folder/grafana"
	cp docs/operations.md "$work/$folder/docs"
	cp packaging/prometheus/crowdsec-stormshield.rules.yml "$work/$folder/prometheus"
	cp packaging/grafana/crowdsec-stormshield.json "$work/$folder/grafana"
	echo "$1" > "$work/$folder/architecture"
	tar -C "$work" --sort=name --mtime="@$SOURCE_DATE_EPOCH" --owner=0 --group=0 --numeric-owner --mode=u+rw,go=u-w \
		--format=ustar -cf - "$folder" | gzip -9n > "$work/dist/crowdsec-stormshield_${VERSION}_linux_$1.tar.gz"
}

# make_bill ARCH makes the bill of materials. It has the time of the commit instead of the time of the run.
make_bill() {
	when=$(date -d "@$SOURCE_DATE_EPOCH" +%Y-%m-%dT%H:%M:%SZ)
	CGO_ENABLED=0 GOFLAGS=-trimpath $SBOM bin -json -noserial -std -version "$VERSION" -output "$work/bill" \
		"$work/$1/notification-stormshield"
	sed "s/^\( *\"timestamp\": \)\"[^\"]*\"/\1\"$when\"/" "$work/bill" > "$work/dist/crowdsec-stormshield_${VERSION}_linux_$1.cdx.json"
}

for arch in $ARCHITECTURES; do
	cp "$work/$arch/notification-stormshield" "$work"
	case $arch in
	amd64) machine=x86_64 ;;
	arm64) machine=aarch64 ;;
	esac
	ARCH=$arch $NFPM package -f "$work/deb.yaml" -p deb \
		-t "$work/dist/crowdsec-stormshield_${VERSION}_$arch.deb"
	ARCH=$arch $NFPM package -f "$work/rpm.yaml" -p rpm \
		-t "$work/dist/crowdsec-stormshield-$VERSION-1.$machine.rpm"
	make_archive "$arch"
	make_bill "$arch"
done
(cd "$work/dist" && sha256sum -- * > SHA256SUMS)

# Replace the files of an earlier build.
mkdir -p "$into"
rm -f "$into"/crowdsec-stormshield[-_]* "$into/SHA256SUMS"
mv "$work"/dist/* "$into"
(cd "$into" && ls -l -- *)
