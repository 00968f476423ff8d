#!/bin/sh
# Fills .cache with programs for the suite: both CrowdSec releases, two small Debian systems, yq and the simulated appliance. It
# takes minutes once, and then seconds. It needs Go, a C compiler (for CrowdSec's SQLite) and Debian's package tools.
set -eu
cd "$(dirname "$0")"
mkdir -p .cache

# CrowdSec 1.7.8 from its Go module, with the versions of go.mod. The tags are those of CrowdSec's own Makefile, without the
# data sources and databases that no test uses.
current=.cache/crowdsec-1.7.8
tags=netgo,osusergo,expr_debug,nomsgpack,sqlite_omit_load_extension,no_cscli_setup,no_db_mysql
for source in appsec cloudwatch docker http journalctl k8saudit kafka kinesis loki s3 syslog victorialogs wineventlog; do
	tags=$tags,no_datasource_$source
done
if [ "$tags" != "$(cat $current/tags 2>/dev/null)" ]; then
	echo "building CrowdSec 1.7.8 (minutes, once)"
	rm -rf $current.part
	mkdir -p $current.part
	version=github.com/crowdsecurity/go-cs-lib/version
	for command in crowdsec:crowdsec crowdsec-cli:cscli; do
		CGO_ENABLED=1 nice go build -trimpath -tags $tags \
			-ldflags "-s -X $version.Version=v1.7.8 -X $version.Tag=v1.7.8" \
			-o $current.part/${command#*:} github.com/crowdsecurity/crowdsec/cmd/${command%:*}
	done
	echo "$tags" > $current.part/tags
	rm -rf $current
	mv $current.part $current
fi

# CrowdSec 1.4.6 is the version of Debian 12. It is unpacked together with its SQLite library, and not installed.
older=.cache/crowdsec-1.4.6
if [ ! -x $older/usr/bin/crowdsec ] || [ ! -x $older/usr/bin/cscli ]; then
	echo "fetching Debian's crowdsec 1.4.6"
	rm -rf $older.part
	mkdir -p $older.part
	fetch() (cd $older.part && apt-get -q -o APT::Sandbox::User=root download 'crowdsec=1.4.6*' libsqlite3-0)
	fetch || { apt-get -q update && fetch; }
	for package in "$older.part"/*.deb; do
		dpkg -x "$package" $older.part
		rm "$package"
	done
	mkdir $older.part/libraries
	cp -a $older.part/usr/lib/*/libsqlite3.so.* $older.part/libraries
	rm -rf $older
	mv $older.part $older
fi

# Two Debian 12 systems for installing packages: a bare one, and one with its crowdsec. They come from the source of this
# machine's apt.
if [ ! -f .cache/debian.tar ] || [ ! -f .cache/debian-crowdsec.tar ]; then
	echo "making two small Debian 12 (a minute, once)"
	part=.cache/debian.part
	rm -rf $part
	mkdir $part
	# shellcheck disable=SC2016 # apt fills it in
	site() { apt-get indextargets --format '$(SITE)' 'Created-By: Packages' 'Codename: bookworm' 'Component: main' | head -n 1; }
	[ -n "$(site)" ] || apt-get -q update
	eval "$(apt-config shell http_proxy Acquire::http::Proxy https_proxy Acquire::https::Proxy)"
	export http_proxy="${http_proxy:-}" https_proxy="${https_proxy:-}"
	# The dependencies of crowdsec.
	nice debootstrap --variant=minbase --include=ca-certificates,libsqlite3-0 bookworm $part/root "$(site)" > $part/log ||
		{ tail -n 20 $part/log && exit 1; }
	rm -rf $part/root/var/cache/apt/archives/*.deb $part/root/var/lib/apt/lists/* $part/root/usr/share/locale
	tar -C $part/root -cf $part/debian.tar .

	fetch_crowdsec() (cd $part && apt-get -q -o APT::Sandbox::User=root download 'crowdsec=1.4.6*')
	fetch_crowdsec || { apt-get -q update && fetch_crowdsec; }
	mv $part/crowdsec_*.deb $part/root/crowdsec.deb
	printf '#!/bin/sh\nexit 101\n' > $part/root/usr/sbin/policy-rc.d # no service is started
	chmod 0755 $part/root/usr/sbin/policy-rc.d
	# A file that is not empty keeps crowdsec's installation from registering with the Central API.
	mkdir $part/root/etc/crowdsec
	echo '# not registered' > $part/root/etc/crowdsec/online_api_credentials.yaml
	# shellcheck disable=SC2016 # for the inner shell
	# The mount ends with its namespace.
	unshare --mount sh -ec 'mount -t proc none "$0/proc"; exec chroot "$0" dpkg -i /crowdsec.deb' $part/root
	rm $part/root/crowdsec.deb
	tar -C $part/root -cf $part/debian-crowdsec.tar .
	mv $part/*.tar .cache
	rm -rf $part
fi

# CrowdSec's images have this yq, and their start script runs it.
yq=v4.50.1
if [ "$yq" != "$(cat .cache/yq.version 2>/dev/null)" ]; then
	GOBIN=$PWD/.cache CGO_ENABLED=0 go install github.com/mikefarah/yq/v4@$yq
	echo $yq > .cache/yq.version
fi

# The simulated appliance is built from this tree each time, which is quick if nothing changed.
go build -C .. -o e2e/.cache/appliance ./stormshield/snstest/appliance
