package main

import (
	"strings"
	"testing"

	"notification-stormshield/stormshield/snstest"
)

func TestAReportHidesAddresses(t *testing.T) {
	for text, want := range map[string]string{
		"dial tcp 51.15.7.9:443: connect: refused":                  "dial tcp (address):443: connect: refused",
		"dial tcp [2a01:e0a::1]:22: i/o timeout":                    "dial tcp [(address)]:22: i/o timeout",
		"read tcp 10.1.2.3:5000->192.168.7.8:22: reset":             "read tcp (address):5000->(address):22: reset",
		"source:51.15.7.9, src=2A01:E0A::FF":                        "source:(address), src=(address)",
		"log in to the API at https://fw.example.org:443: EOF":      "log in to the API at https://(host):443: EOF",
		"fe80::1%eth0 and ::ffff:51.15.7.9":                         "(address)%eth0 and (address)",
		"src=198.51.100.253 dstrange=0.0.0.0-255.255.255.255":       "src=198.51.100.253 dstrange=0.0.0.0-255.255.255.255",
		"src=2001:db8::c5ec timeout=300":                            "src=2001:db8::c5ec timeout=300",
		"EVA2 4.8.15, object crowdsec_ip_3325256957, 12:17:32, ret": "EVA2 4.8.15, object crowdsec_ip_3325256957, 12:17:32, ret",
		"": "",
	} {
		if got := hidePlaces(text, "fw.example.org"); got != want {
			t.Errorf("%q: %q, want %q", text, got, want)
		}
	}
}

func TestAReportHidesTheSerialNumbersOfAPair(t *testing.T) {
	h := newHarness(t, func(o *snstest.Options) { o.HighAvailability = true })
	for _, arguments := range [][]string{{"check"}, {"check", "--write"}, {"check", "--write", "--json"}} {
		_, out, _ := h.run(append(arguments, "-c", h.file)...)
		shows := strings.Contains(out, snstest.DefaultSerialNumber) || strings.Contains(out, snstest.PeerSerialNumber)
		if shows != (len(arguments) == 1) || !strings.Contains(out, ", which answers here, role Active") {
			t.Errorf("%q:\n%s", arguments, out)
		}
	}
	h.sim.SetFaults(func(f *snstest.Faults) { f.Passive = true })
	status, out, _ := h.run("check", "-c", h.file)
	for _, line := range []string{
		"  DIFFERS    high availability       " + snstest.DefaultSerialNumber + ", which answers here, role Passive",
		"                                     " + snstest.PeerSerialNumber + ", role Active",
		"                                     hint: no traffic flows through the passive appliance: set host to the virtual address",
	} {
		if status != 0 || !strings.Contains(out, "\n"+line) {
			t.Errorf("status %d, no line %q in\n%s", status, line, out)
		}
	}
}

func TestAReportHidesTheHostOfAnApplianceThatDoesNotAnswer(t *testing.T) {
	h := newHarness(t)
	h.write(h.yaml(map[string]string{"host": "localhost"}))
	h.sim.SetFaults(func(f *snstest.Faults) { f.APIRefuse, f.SSHRefuse = true, true })
	status, out, _ := h.run("check", "-c", h.file, "--write")
	if status != 1 || strings.Contains(out, "localhost") || !strings.Contains(out, "(host)") || !strings.Contains(out, "refused") {
		t.Errorf("status %d:\n%s", status, out)
	}
}
