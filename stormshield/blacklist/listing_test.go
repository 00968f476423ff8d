package blacklist

import (
	"net/netip"
	"strings"
	"testing"
	"time"
)

func TestMayHoldReadsTheLinesOfSHOW(t *testing.T) {
	const everywhere = " dstrange=0.0.0.0-255.255.255.255 timeout=25"
	for _, c := range []struct {
		lines, prefix string
		may           bool
	}{
		{"", "192.0.2.1/32", false},
		{"src=192.0.2.1" + everywhere, "192.0.2.1/32", true},
		{"src=192.0.2.1" + everywhere, "192.0.2.2/32", false},
		{"SRC=192.0.2.1" + everywhere, "192.0.2.1/32", true},
		{"src=::ffff:192.0.2.1 timeout=5", "192.0.2.1/32", true},
		{"src=192.0.2.1/32" + everywhere, "192.0.2.1/32", true},
		{"src=203.0.113.0/24" + everywhere, "203.0.113.0/24", true},
		{"src=203.0.113.0-203.0.113.255" + everywhere, "203.0.113.0/24", true},
		{"srcrange=203.0.113.0-203.0.113.255" + everywhere, "203.0.113.0/24", true},
		{"src=crowdsec_net_3405803776_24" + everywhere, "203.0.113.0/24", true},
		{"src=crowdsec_ip_3405803781" + everywhere, "203.0.113.5/32", true},
		{"range1=192.0.2.1:192.0.2.1 range2=0.0.0.0:255.255.255.255 timeout=599", "192.0.2.1/32", true},
		{"range1=192.0.2.1:192.0.2.1 range2=0.0.0.0:255.255.255.255 timeout=599", "192.0.2.3/32", false},
		{"range1=203.0.113.0:203.0.113.255 range2=0.0.0.0:255.255.255.255", "203.0.113.0/24", true},
		{"range1=2001:db8::7:2001:db8::7 range2=:::ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff", "2001:db8::7/128", true},
		{"range1=2001:db8:1:::2001:db8:1:ffff:ffff:ffff:ffff:ffff", "2001:db8:1::/48", true},
		{"range1=2001:db8::7:2001:db8::7", "2001:db8::8/128", false},
		// A line with exactly one prefix is the entry of that prefix alone.
		{"range1=203.0.113.0:203.0.113.255", "203.0.113.5/32", false},
		{"src=203.0.113.5", "203.0.113.0/24", false},
		// Another range may be several entries.
		{"range1=203.0.113.1:203.0.113.9", "203.0.113.5/32", true},
		{"src=203.0.113.1-203.0.113.9" + everywhere, "203.0.113.9/32", true},
		{"range1=203.0.113.1:203.0.113.9", "203.0.113.10/32", false},
		{"range1=203.0.113.200:203.0.114.9", "203.0.113.0/24", true},
		{"range1=203.0.113.1:203.0.113.9", "2001:db8::7/128", false},
		// A line of another form is about the addresses in it.
		{"host=192.0.2.1/32 expires=2026-11-21T10:00:00Z", "192.0.2.1/32", true},
		{"host=192.0.2.1/32 expires=2026-11-21T10:00:00Z", "192.0.2.2/32", false},
		{`<entry ip="192.0.2.1" to="0.0.0.0-255.255.255.255">`, "192.0.2.1/32", true},
		{"203.0.113.0 255.255.255.0", "203.0.113.0/24", true},
		{"host=203.0.113.1-203.0.113.9 until=noon", "203.0.113.5/32", true},
		// A line without an address may be about any.
		{"host=web1 dst=0.0.0.0-255.255.255.255", "192.0.2.2/32", true},
		{"src=web1" + everywhere, "192.0.2.2/32", true},
		{"range1=192.0.2.9:192.0.2.1 timeout=5", "192.0.2.2/32", true},
		{"too many entries to print", "192.0.2.2/32", true},
		{"[BlackList]\nsrc=192.0.2.1", "192.0.2.2/32", false},
	} {
		l := readListing(strings.Split(strings.Trim(c.lines, "\n"), "\n"))
		if c.lines == "" {
			l = readListing(nil)
		}
		if may := l.MayHold(netip.MustParsePrefix(c.prefix)); may != c.may {
			t.Errorf("%q: may hold %s: %t", c.lines, c.prefix, may)
		}
	}
}

func TestFindReadsTheRemainingTime(t *testing.T) {
	for line, want := range map[string]time.Duration{
		"src=192.0.2.1 dstrange=0.0.0.0-255.255.255.255 timeout=25":             25 * time.Second,
		"range1=192.0.2.1:192.0.2.1 range2=0.0.0.0:255.255.255.255 Timeout=599": 599 * time.Second,
		"src=192.0.2.1":               0,
		"src=192.0.2.1 timeout=never": 0,
		"src=192.0.2.1 timeout=-5":    0,
	} {
		e, found := readListing([]string{line}).Find(netip.MustParsePrefix("192.0.2.1/32"))
		if !found || !e.Known || e.Left != want {
			t.Errorf("%q: %+v, want %s", line, e, want)
		}
	}
}

func FuzzLinesOfSHOWAreReadWithoutHarm(f *testing.F) {
	f.Add("src=4.3.2.1 dstrange=0.0.0.0-255.255.255.255 timeout=25")
	f.Add("range1=10.2.16.3:10.2.16.3 range2=0.0.0.0:255.255.255.255 timeout=599")
	f.Add("range1=2001:db8::1:2001:db8::ff")
	f.Add("host=192.0.2.1/0 x=fe80::1%eth0 [::1]")
	f.Fuzz(func(t *testing.T, line string) {
		l := readListing([]string{line, "src=192.0.2.1"})
		if !l.MayHold(netip.MustParsePrefix("192.0.2.1/32")) {
			t.Errorf("an entry is lost behind %q", line)
		}
	})
}

func TestATimeoutIsRoundedUpAndNeverZero(t *testing.T) {
	for timeout, want := range map[time.Duration]int64{
		-time.Second: 1, 0: 1, time.Millisecond: 1, time.Second: 1, time.Second + 1: 2, time.Hour: 3600,
	} {
		if got := seconds(timeout); got != want {
			t.Errorf("%s: %d s, want %d", timeout, got, want)
		}
	}
}
