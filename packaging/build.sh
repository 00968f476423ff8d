#!/bin/sh
# Builds one part of a release: build.sh FOLDER packages|image. The results go into FOLDER. `packages` makes a deb, an rpm and
# an archive for each architecture. `image` makes one archive with the images for all architectures. Both also make a bill of
# materials for each architecture, and SHA256SUMS, which has the checksums of all files of the release in FOLDER.
#
# `make package` and `make image` call this script with these variables: VERSION (the output of `git describe`), COMMIT,
# NFPM and SBOM (the commands of these tools), and optionally ARCHITECTURES. Outside a git repository, also set
# SOURCE_DATE_EPOCH, the time of the commit in seconds.
#
# The same commit gives the same bytes: every time is that of the commit, every owner is root, every order is sorted, and
# nothing depends on the machine.
set -eu
umask 022
export LC_ALL=C TZ=UTC
cd "$(dirname "$0")/.."
into=$1
what=$2
case $what in
packages | image) ;;
*) echo "build.sh: $what is neither packages nor image" >&2 && exit 1 ;;
esac
: "${ARCHITECTURES:=amd64 arm64}"
if [ -z "${SOURCE_DATE_EPOCH:-}" ]; then
	SOURCE_DATE_EPOCH=$(git log -1 --format=%ct) || {
		echo "build.sh: git does not know the time of the commit (hint: set VERSION, COMMIT and SOURCE_DATE_EPOCH)" >&2
		exit 1
	}
fi
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

# make_binaries ARCH... makes a binary for each architecture that has none yet.
make_binaries() {
	for arch; do
		[ ! -d "$work/$arch" ] || continue
		GOOS=linux GOARCH=$arch make -s build PLUGIN="$work/$arch/notification-stormshield" VERSION="$VERSION"
	done
}

# make_archive ARCH makes the archive: install.sh and the files that it installs, in one folder.
make_archive() {
	folder=crowdsec-stormshield-$VERSION-linux-$1
	mkdir "$work/$folder"
	cp "$work/$1/notification-stormshield" "$work/install.sh" "$work/third-party.txt" "$work/$folder"
	cp -r "$work/completion" packaging/crowdsec-stormshield.8 README.md CHANGELOG.md LICENSE "$work/$folder"
	cp config/sample.yaml "$work/$folder/stormshield.yaml.sample"
	mkdir "$work/$folder/docs" "$work/$folder/container" "$work/$folder/prometheus" "$work/$folder/grafana"
	cp docs/operations.md docs/containers.md "$work/$folder/docs"
	cp packaging/container/Dockerfile packaging/container/*.yaml "$work/$folder/container"
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

# make_packages makes the deb, the rpm and the archive of each architecture.
make_packages() {
	for script in postinstall preremove postremove; do
		include_common packaging/scripts/$script.sh > "$work/$script.sh"
	done
	include_common packaging/install.sh > "$work/install.sh"
	chmod 0755 "$work/install.sh"
	print_copyright > "$work/copyright"
	print_changelog > "$work/changelog"
	cp CHANGELOG.md packaging/crowdsec-stormshield.8 "$work"
	for text in third-party.txt changelog CHANGELOG.md crowdsec-stormshield.8; do
		gzip -9nk "$work/$text"
	done
	sed "s|\${WORK}|$work|" packaging/nfpm.yaml > "$work/rpm.yaml"
	sed '/^license:/d' "$work/rpm.yaml" > "$work/deb.yaml"
	make_binaries "$(go env GOHOSTARCH)"
	mkdir "$work/completion"
	for shell in bash zsh fish; do
		"$work/$(go env GOHOSTARCH)/notification-stormshield" completion $shell > "$work/completion/$shell"
	done
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
	done
}

# make_image makes an archive with the image for each architecture: the program, its licences, and the users that it knows.
make_image() {
	roots=
	for arch in $ARCHITECTURES; do
		root=$work/image/$arch
		licences=$root/usr/share/doc/crowdsec-stormshield
		mkdir -p "$root/etc" "$root/tmp" "$licences"
		chmod 1777 "$root/tmp"
		install -m 0551 "$work/$arch/notification-stormshield" "$root/crowdsec-stormshield"
		install -m 0644 LICENSE "$work/third-party.txt" "$licences"
		printf 'root:x:0:0::/:\nnobody:x:65534:65534::/:\n' > "$root/etc/passwd"
		printf 'root:x:0:\nnobody:x:65534:\n' > "$root/etc/group"
		roots="$roots $arch=$root"
	done
	# The paths have no spaces.
	# shellcheck disable=SC2086
	go run -C packaging ./image -name crowdsec-stormshield -version "$VERSION" -commit "$COMMIT" -created "$SOURCE_DATE_EPOCH" \
		-o "$work/dist/crowdsec-stormshield_${VERSION}_image.tar" $roots
}

# shellcheck disable=SC2086 # each is an architecture
make_binaries $ARCHITECTURES
print_licences > "$work/third-party.txt"
"make_$what"
for arch in $ARCHITECTURES; do
	make_bill "$arch"
done

# Replace the files of an earlier build.
mkdir -p "$into"
old=$into/crowdsec-stormshield
case $what in
packages) rm -f "$old"[-_]*.deb "$old"[-_]*.rpm "$old"[-_]*.tar.gz ;;
image) rm -f "$old"_*_image.tar ;;
esac
rm -f "$old"_*.cdx.json
mv "$work"/dist/* "$into"
(cd "$into" && sha256sum -- crowdsec-stormshield[-_]* > SHA256SUMS && ls -l -- *)
