package stormshield_test

import (
	"bytes"
	"fmt"
	"testing"
	"time"

	"notification-stormshield/stormshield"
	"notification-stormshield/stormshield/snstest"
)

func TestACutUploadChangesNothingAndTheNextFlushCompletesIt(t *testing.T) {
	for _, after := range []int{1, 100, 500, 1000, 1400} {
		t.Run(fmt.Sprint(after), func(t *testing.T) {
			p := start(t)
			p.mustFlush(addresses(10), nil, true)
			object, groups := p.sim.Read("object"), p.sim.Read("objectgroup")
			p.sim.SetFaults(func(f *snstest.Faults) { f.SSHCutAfterUpload = after })
			done, err := p.flush(addresses(20)[10:], addresses(5), false)
			if err == nil {
				t.Fatal("the upload went through")
			}
			if done.Listed || done.Files.Known() {
				t.Error("acknowledged as written")
			}
			if now := p.sim.Read("object"); !bytes.Equal(now, object) && len(now) < len(object) {
				t.Errorf("object was damaged:\n%s", now)
			}
			if !bytes.Equal(p.sim.Read("objectgroup"), groups) {
				t.Errorf("objectgroup was damaged:\n%s", p.sim.Read("objectgroup"))
			}
			p.sim.SetFaults(func(f *snstest.Faults) { f.SSHCutAfterUpload = 0 })
			p.mustFlush(addresses(20)[10:], addresses(5), true)
			p.wantStanding()
		})
	}
}

func TestAFaultDuringAFlushEndsItWithAnErrorAndTheNextOneCompletesIt(t *testing.T) {
	for name, set := range map[string]func(*snstest.Faults){
		"SSH hangs":       func(f *snstest.Faults) { f.SSHHang = true },
		"API hangs":       func(f *snstest.Faults) { f.APIHang = true },
		"HTTP 503":        func(f *snstest.Faults) { f.APIStatus = 503 },
		"malformed XML":   func(f *snstest.Faults) { f.MalformedXML = true },
		"cut answers":     func(f *snstest.Faults) { f.TruncateBody = true },
		"serverd is away": func(f *snstest.Faults) { f.RootCode = 501 },
		"session expires": func(f *snstest.Faults) { f.ExpireSessionAfter = 1 },
		"disk full":       func(f *snstest.Faults) { f.DiskFullAfter = 512 },
		"read-only":       func(f *snstest.Faults) { f.ReadOnlyDir = true },
		"group refused":   func(f *snstest.Faults) { f.Ret = map[string]int{"MONITOR ADDRESSLIST ADD": 200} },
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			p := start(t)
			config := configFor(t, p.sim)
			config.API.Timeout, config.SSH.Timeout = 500*time.Millisecond, 500*time.Millisecond
			p.app = stormshield.New(config)
			p.mustFlush(addresses(50), nil, true)
			p.sim.SetFaults(set)
			began := time.Now()
			if _, err := p.flush(addresses(60)[50:], addresses(20), true); err == nil {
				t.Error("no error")
			}
			if took := time.Since(began); took > 20*time.Second {
				t.Errorf("it took %s to give up", took)
			}
			p.sim.SetFaults(func(f *snstest.Faults) { *f = snstest.Faults{} })
			config.API.Timeout, config.SSH.Timeout = time.Minute, time.Minute
			p.app = stormshield.New(config)
			p.mustFlush(addresses(60)[50:], addresses(20), true)
			p.wantStanding()
		})
	}
}
