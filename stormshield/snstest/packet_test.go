package snstest_test

import (
	"slices"
	"testing"

	"notification-stormshield/stormshield/snstest"
)

func TestTheFirstRuleThatMatchesDecides(t *testing.T) {
	const banned, web, other = "192.0.2.1", "203.0.113.10", "198.51.100.99"
	for name, test := range map[string]struct {
		rules               []string
		source, destination string
		want                snstest.Verdict
	}{
		"no rule":             {nil, banned, web, snstest.Verdict{Action: "pass"}},
		"a host":              {[]string{"block from any to srv_mail # a", "reset from any to srv_web # b"}, banned, web, snstest.Verdict{Action: "reset", By: "b"}},
		"a name":              {[]string{"rulename=n: block from any to any # c"}, banned, web, snstest.Verdict{Action: "block", By: "n"}},
		"a network":           {[]string{"block from net_lan to any # b"}, "192.168.10.77", web, snstest.Verdict{Action: "block", By: "b"}},
		"another network":     {[]string{"block from net_lan to any # b"}, banned, web, snstest.Verdict{Action: "pass"}},
		"a group in a group":  {[]string{"block from any to everything # b"}, banned, "192.168.10.5", snstest.Verdict{Action: "block", By: "b"}},
		"IPv6":                {[]string{"block from srv_dns6 to any # b"}, "2001:db8:10::53", web, snstest.Verdict{Action: "block", By: "b"}},
		"IPv4 in IPv6":        {[]string{"block from srv_mail to any # b"}, "::ffff:203.0.113.11", web, snstest.Verdict{Action: "block", By: "b"}},
		"not the object":      {[]string{"block from !net_lan to any # b"}, banned, web, snstest.Verdict{Action: "block", By: "b"}},
		"the excluded object": {[]string{"block from !net_lan to any # b"}, "192.168.10.77", web, snstest.Verdict{Action: "pass"}},
		"one of two":          {[]string{"block from any to srv_mail|srv_web # b"}, banned, web, snstest.Verdict{Action: "block", By: "b"}},
		"all but one":         {[]string{"block from net_dmz|!srv_web to any # b"}, web, other, snstest.Verdict{Action: "pass"}},
		"off":                 {[]string{"off block from any to any # b"}, banned, web, snstest.Verdict{Action: "pass"}},
		"log goes on":         {[]string{"log log from any to any # l", "block from any to any # b"}, banned, web, snstest.Verdict{Action: "block", Logged: true, By: "b"}},
		"log without a level": {[]string{"log from any to any # l"}, banned, web, snstest.Verdict{Action: "pass"}},
		"a blocking rule logs": {[]string{"block log minor inspection ips from any to any # b"}, banned, web,
			snstest.Verdict{Action: "block", Logged: true, By: "b"}},
		"a rule after the decision": {[]string{"pass from any to any # p", "log log from any to any # l"}, banned, web, snstest.Verdict{Action: "pass", By: "p"}},
		"a port":                    {[]string{"block from any to any port http"}, banned, web, snstest.Verdict{Action: "pass"}},
		"an interface":              {[]string{"block from any on in to any"}, banned, web, snstest.Verdict{Action: "pass"}},
		"a protocol":                {[]string{"block ipproto tcp from any to any"}, banned, web, snstest.Verdict{Action: "pass"}},
		"an implicit object":        {[]string{"block from !internet to any"}, banned, web, snstest.Verdict{Action: "pass"}},
		"separators":                {[]string{"separator; block from any to any", "reset from any to any # b"}, banned, web, snstest.Verdict{Action: "reset", By: "b"}},
	} {
		t.Run(name, func(t *testing.T) {
			a := snstest.Start(t)
			setPolicy(t, a, 5, test.rules...)
			wantPacket(t, a, test.source, test.destination, test.want)
		})
	}
}

func TestTheBlacklistDecidesBeforeTheRules(t *testing.T) {
	a := snstest.Start(t)
	setPolicy(t, a, 5, "pass log from any to any")
	monitor(t, a).block("192.0.2.1", 60)
	wantPacket(t, a, "192.0.2.1", "203.0.113.10", snstest.Verdict{Action: "block", By: "blacklist"})
	wantPacket(t, a, "203.0.113.10", "192.0.2.1", snstest.Verdict{Action: "pass", Logged: true, By: "pass log from any to any"})
}

// A new member of a group is in the running rules after the steps that the appliance needs.
func TestARunningRuleHasTheGroupAsItWasWhenItWasLoaded(t *testing.T) {
	for name, test := range map[string]struct {
		faults func(*snstest.Faults)
		steps  []string // SSH commands; CONFIG … is an API command
		sees   bool
	}{
		"no step":             {nil, nil, false},
		"enobject alone":      {nil, []string{"enobject"}, false},
		"enfilter alone":      {nil, []string{"enfilter -u"}, false},
		"the wrong order":     {nil, []string{"enfilter -u", "enobject"}, false},
		"both":                {nil, []string{"enobject -a --no-log", "enfilter -u"}, true},
		"the slot, stale":     {nil, []string{"CONFIG SLOT ACTIVATE type=filter slot=5"}, false},
		"the slot":            {nil, []string{"enobject", "CONFIG SLOT ACTIVATE type=filter slot=5"}, true},
		"enobject suffices":   {func(f *snstest.Faults) { f.EnobjectSuffices = true }, []string{"enobject"}, true},
		"it needs enobject":   {func(f *snstest.Faults) { f.EnobjectSuffices = true }, []string{"enfilter -u"}, false},
		"the files suffice":   {func(f *snstest.Faults) { f.FilesSuffice = true }, nil, true},
		"enobject is refused": {func(f *snstest.Faults) { f.RefusedTools = []string{"enobject"} }, []string{"enobject; true", "enfilter -u"}, false},
		"enfilter is refused": {func(f *snstest.Faults) { f.RefusedTools = []string{"enfilter"} }, []string{"enobject", "enfilter -u; true"}, false},
		"with a missing tool": {func(f *snstest.Faults) { f.MissingTools = []string{"mkfifo", "rm"} }, []string{"enobject", "enfilter -u"}, true},
		"a read-only folder":  {func(f *snstest.Faults) { f.ReadOnlyDir = true }, []string{"enobject", "enfilter -u"}, true},
		"a full path":         {nil, []string{"$HOME/usr/Firewall/sbin/enobject", "$HOME/usr/Firewall/sbin/enfilter -u"}, true},
		"a reboot":            {nil, []string{"reboot"}, true},
		"an administrator":    {nil, []string{"administrator"}, true},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			a := snstest.Start(t)
			setPolicy(t, a, 5, "block from admin_stations to any # b")
			appendTo(t, a, snstest.GroupFile, "[admin_stations]\nsrv_mail\n")
			if test.faults != nil {
				a.SetFaults(test.faults)
			}
			client, c := connectSSH(t, a), configure(t, a)
			for _, step := range test.steps {
				switch {
				case step == "reboot":
					a.Reboot()
				case step == "administrator":
					if err := a.AdminActivatePolicy(5); err != nil {
						t.Fatal(err)
					}
				case step[0] == 'C':
					c.want(100, step)
				default:
					if r := runSSH(t, client, step, nil); r.status != 0 {
						t.Errorf("%s: %+v", step, r)
					}
				}
			}
			want := snstest.Verdict{Action: "pass"}
			if test.sees {
				want = snstest.Verdict{Action: "block", By: "b"}
			}
			wantPacket(t, a, "203.0.113.11", "198.51.100.1", want)
			if has := slices.Contains(a.RunningMembers("admin_stations"), prefix("203.0.113.11/32")); has != test.sees {
				t.Errorf("the running rules have the new member: %v", has)
			}
			wantPacket(t, a, "192.168.10.20", "198.51.100.1", snstest.Verdict{Action: "block", By: "b"}) // a member of before
		})
	}
}
