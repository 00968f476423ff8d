package snstest_test

import (
	"fmt"
	"net/netip"
	"strings"
	"testing"

	"notification-stormshield/stormshield/snstest"
)

// fill writes n host objects and a group that lists them.
func fill(t testing.TB, a *snstest.Appliance, n int) {
	t.Helper()
	var object, groups strings.Builder
	object.WriteString("[Host]\n")
	groups.WriteString("[Crowdsec]\n")
	for i := range n {
		address := numbered(i)
		fmt.Fprintf(&object, "crowdsec_ip_%d=%s,resolve=static\n", i, address)
		fmt.Fprintf(&groups, "crowdsec_ip_%d\n", i)
	}
	for file, text := range map[string]string{snstest.ObjectFile: object.String(), snstest.GroupFile: groups.String()} {
		if err := a.Write(file, []byte(text)); err != nil {
			t.Fatal(err)
		}
	}
}

func numbered(i int) netip.Addr {
	return netip.AddrFrom4([4]byte{20, byte(i >> 16), byte(i >> 8), byte(i)})
}

func TestALargeGroupIsBlockedRenewedAndEnds(t *testing.T) {
	t.Parallel()
	const n = 5_000
	a := snstest.Start(t)
	fill(t, a, n)
	c := monitor(t, a)
	for range 7 { // renewed often enough for the list to be compacted
		c.want(100, "MONITOR ADDRESSLIST ADD Type=BlackList Name1=Crowdsec Timeout=3600")
	}
	if got := a.BlacklistLen(); got != n {
		t.Fatalf("%d entries, want %d", got, n)
	}
	if !a.Blocked(numbered(n-1)) || a.Blocked(numbered(n)) {
		t.Error("not exactly the group's members are blocked")
	}
	d := c.want(100, "MONITOR ADDRESSLIST SHOW Type=BlackList")
	if got := strings.Count(d.Serverd[0].Data.Raw, "\n"); got != n {
		t.Errorf("%d lines, want %d", got, n)
	}
	c.want(100, "MONITOR ADDRESSLIST ADD Type=BlackList Name1=Crowdsec Timeout=1")
	if _, err := a.WaitUnblocked(t.Context(), netip.PrefixFrom(numbered(n/2), 32)); err != nil {
		t.Fatal(err)
	}
	if got := a.BlacklistLen(); got != 0 {
		t.Errorf("%d entries have not ended", got)
	}
	if got := a.Problems(); len(got) != 0 {
		t.Errorf("problems %.5q", got)
	}
}

func BenchmarkAddGroup(b *testing.B) {
	for _, n := range []int{10_000, 100_000, 300_000} {
		b.Run(fmt.Sprint(n), func(b *testing.B) {
			a := snstest.Start(b)
			fill(b, a, n)
			c := connect(b, a)
			for b.Loop() {
				appendTo(b, a, snstest.ObjectFile, "\n") // so that the next session parses it again
				c.openSession("")
				c.run("MODIFY MONITOR FORCE ON")
				if ret := c.block("Crowdsec", 3600).ret(); ret != 100 {
					b.Fatalf("ret %d", ret)
				}
				c.must("GET", "/api/auth/logout?sessionid="+c.session, nil)
			}
			b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(b.N)/float64(n), "ns/member")
		})
	}
}

func BenchmarkAddAddress(b *testing.B) {
	a := snstest.Start(b)
	c := monitor(b, a)
	i := 0
	for b.Loop() {
		i++
		if ret := c.block(numbered(i).String(), 3600).ret(); ret != 100 {
			b.Fatalf("ret %d", ret)
		}
	}
}
