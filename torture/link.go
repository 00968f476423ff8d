package main

import (
	"context"
	"math/rand/v2"
	"time"

	"notification-stormshield/stormshield/snstest"
)

// fault is something that is wrong for a while.
type fault struct {
	name string
	set  func(*snstest.Faults, *rand.Rand)
}

func rootCode(code int) func(*snstest.Faults, *rand.Rand) {
	return func(f *snstest.Faults, _ *rand.Rand) { f.RootCode = code }
}

// sometimes answers some commands with a root code, and carries out the others.
func sometimes(code int) func(*snstest.Faults, *rand.Rand) {
	return func(f *snstest.Faults, random *rand.Rand) {
		commands, at := 0, 1+random.IntN(4)
		f.Answer = func(string) (int, int) {
			if commands++; commands%at == 0 {
				return code, 0
			}
			return 0, 0
		}
	}
}

func ret(command string, code int) func(*snstest.Faults, *rand.Rand) {
	return func(f *snstest.Faults, _ *rand.Rand) { f.Ret = map[string]int{command: code} }
}

var linkFaults = []fault{
	{"SSH is cut within an upload", func(f *snstest.Faults, random *rand.Rand) { f.SSHCutAfterUpload = 1 + random.IntN(12000) }},
	{"SSH refuses connections", func(f *snstest.Faults, _ *rand.Rand) { f.SSHRefuse = true }},
	{"SSH never answers", func(f *snstest.Faults, _ *rand.Rand) { f.SSHHang = true }},
	{"the API refuses connections", func(f *snstest.Faults, _ *rand.Rand) { f.APIRefuse = true }},
	{"the API never answers", func(f *snstest.Faults, _ *rand.Rand) { f.APIHang = true }},
	{"both refuse connections", func(f *snstest.Faults, _ *rand.Rand) { f.SSHRefuse, f.APIRefuse = true, true }},
	{"everything takes 200 ms longer", func(f *snstest.Faults, _ *rand.Rand) { f.Delay = 200 * time.Millisecond }},
	{"the API answers 503", func(f *snstest.Faults, _ *rand.Rand) { f.APIStatus = 503 }},
	{"XML is malformed", func(f *snstest.Faults, _ *rand.Rand) { f.MalformedXML = true }},
	{"bodies are truncated", func(f *snstest.Faults, _ *rand.Rand) { f.TruncateBody = true }},
	{"sessions expire", func(f *snstest.Faults, random *rand.Rand) { f.ExpireSessionAfter = 1 + random.IntN(4) }},
	{"root code 203", rootCode(203)}, {"root code 204", rootCode(204)}, {"root code 500", rootCode(500)},
	{"root code 501", rootCode(501)}, {"root code 502", rootCode(502)}, {"root code 900", rootCode(900)},
	{"root code 203 at times", sometimes(203)}, {"root code 204 at times", sometimes(204)}, {"root code 502 at times", sometimes(502)},
	{"ret 110", ret("", 110)}, {"ret 111", ret("", 111)}, {"ret 203", ret("", 203)}, {"ret 204", ret("", 204)},
	{"ret 205 of MODIFY", ret("MODIFY", 205)}, {"ret 206 of ADDRESSLIST ADD", ret("MONITOR ADDRESSLIST ADD", 206)},
	{"ret 200 of ADDRESSLIST DELETE", ret("MONITOR ADDRESSLIST DELETE", 200)}, {"ret 201 of ADDRESSLIST ADD", ret("MONITOR ADDRESSLIST ADD", 201)},
}

// badLink has one thing wrong between plugin and appliance while bans come and
// end, and then well again.
func badLink(ctx context.Context, t *trial) error {
	w, err := newWorld(ctx, t)
	if err != nil {
		return err
	}
	defer w.end()
	w.way()
	w.mustBan(ctx, long, w.truth.fresh(w.random, 5+w.random.IntN(40))...)
	w.mustBan(ctx, 5*time.Second, w.truth.fresh(w.random, 1+w.random.IntN(30))...)
	if err := w.settle(ctx); err != nil {
		return err
	}
	healthy := w.appliance.Faults()
	f := linkFaults[t.choose(len(linkFaults))]
	w.appliance.SetFaults(func(now *snstest.Faults) { f.set(now, w.random) })
	w.mustBan(ctx, long, w.truth.fresh(w.random, 1+w.random.IntN(30))...)
	w.mustBan(ctx, time.Second, w.truth.fresh(w.random, 1+w.random.IntN(30))...)
	if err := pause(ctx, 3*time.Second+time.Duration(w.random.IntN(2000))*time.Millisecond); err != nil {
		return err
	}
	w.mustBan(ctx, long, w.truth.fresh(w.random, 1)...)
	w.appliance.SetFaults(func(now *snstest.Faults) { *now = healthy })
	return w.settleAfter(ctx, f.name)
}
