#!/bin/sh
# Fills .cache with what the suite runs and does not build itself: both CrowdSec releases and the simulated appliance.
# Quick when there is nothing left to do. Needs Go, a C compiler (CrowdSec's SQLite) and Debian's package tools.
set -eu
cd "$(dirname "$0")"
mkdir -p .cache

# CrowdSec 1.7.8 from its Go module, at the versions go.mod pins. The tags are those of CrowdSec's own Makefile, less
# the data sources and databases that a Local API alone does not use.
current=.cache/crowdsec-1.7.8
if [ ! -x $current/crowdsec ] || [ ! -x $current/cscli ]; then
	echo "building CrowdSec 1.7.8 (minutes, once)"
	rm -rf $current.part
	mkdir -p $current.part
	tags=netgo,osusergo,expr_debug,nomsgpack,sqlite_omit_load_extension,no_cscli_setup,no_db_mysql,no_db_postgres
	for source in appsec cloudwatch docker http journalctl k8saudit kafka kinesis loki s3 syslog victorialogs wineventlog; do
		tags=$tags,no_datasource_$source
	done
	version=github.com/crowdsecurity/go-cs-lib/version
	for command in crowdsec:crowdsec crowdsec-cli:cscli; do
		CGO_ENABLED=1 nice go build -trimpath -tags $tags \
			-ldflags "-s -X $version.Version=v1.7.8 -X $version.Tag=v1.7.8" \
			-o $current.part/${command#*:} github.com/crowdsecurity/crowdsec/cmd/${command%:*}
	done
	rm -rf $current
	mv $current.part $current
fi

# CrowdSec 1.4.6 is what Debian 12 ships. It is unpacked beside the SQLite library it is linked with, never installed.
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

# The simulated appliance is of this tree: always built anew, which costs little when nothing changed.
go build -C .. -o e2e/.cache/appliance ./stormshield/snstest/appliance
