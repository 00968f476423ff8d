package torture

import (
	"fmt"
	"slices"
	"strings"
	"time"

	"notification-stormshield/stormshield/snstest"
)

// fault is a fault of the link or of the appliance. begin may return a function
// that ends the fault.
type fault struct {
	name  string
	begin func(*harness) (end func())
}

// set returns a fault that changes the switches of the appliance.
func set(name string, edit func(*snstest.Faults, *harness)) fault {
	return fault{name, func(h *harness) func() {
		healthy := h.Appliance.Faults()
		h.Appliance.SetFaults(func(f *snstest.Faults) { edit(f, h) })
		return func() { h.Appliance.SetFaults(func(f *snstest.Faults) { *f = healthy }) }
	}}
}

func rootCode(code int) fault {
	return set(fmt.Sprintf("root code %d", code), func(f *snstest.Faults, _ *harness) { f.RootCode = code })
}

// sometimes returns a fault that answers some commands with a root code, and runs the others.
func sometimes(code int) fault {
	return set(fmt.Sprintf("root code %d at times", code), func(f *snstest.Faults, h *harness) {
		commands, at := 0, 1+h.random.IntN(4)
		f.Answer = func(string) (int, int) {
			if commands++; commands%at == 0 {
				return code, 0
			}
			return 0, 0
		}
	})
}

func ret(command string, code int) fault {
	name := fmt.Sprintf("ret %d", code)
	if command != "" {
		name += " of " + command
	}
	return set(name, func(f *snstest.Faults, _ *harness) { f.Ret = map[string]int{command: code} })
}

var sshFaults = []fault{
	set("SSH is cut within an upload", func(f *snstest.Faults, h *harness) { f.SSHCutAfterUpload = 1 + h.random.IntN(12000) }),
	set("SSH refuses connections", func(f *snstest.Faults, _ *harness) { f.SSHRefuse = true }),
	silentSSH,
}

var apiFaults = []fault{
	set("the API refuses connections", func(f *snstest.Faults, _ *harness) { f.APIRefuse = true }),
	silentAPI,
	set("both refuse connections", func(f *snstest.Faults, _ *harness) { f.SSHRefuse, f.APIRefuse = true, true }),
	set("everything takes 200 ms longer", func(f *snstest.Faults, _ *harness) { f.Delay = 200 * time.Millisecond }),
	set("the API answers 503", func(f *snstest.Faults, _ *harness) { f.APIStatus = 503 }),
	set("XML is malformed", func(f *snstest.Faults, _ *harness) { f.MalformedXML = true }),
	set("bodies are truncated", func(f *snstest.Faults, _ *harness) { f.TruncateBody = true }),
	set("sessions expire", func(f *snstest.Faults, h *harness) { f.ExpireSessionAfter = 1 + h.random.IntN(4) }),
	rootCode(203), rootCode(204), rootCode(500), rootCode(501), rootCode(502), rootCode(900),
	sometimes(203), sometimes(204), sometimes(502),
	ret("", 110), ret("", 111), ret("", 203), ret("", 204),
	ret("MODIFY", 205), ret("MONITOR ADDRESSLIST ADD", 206), ret("MONITOR ADDRESSLIST DELETE", 200), ret("MONITOR ADDRESSLIST ADD", 201),
}

var linkFaults = slices.Concat(sshFaults, apiFaults)

// A command of the plugin waits for its timeout under these two.
var (
	silentSSH = set("SSH never answers", func(f *snstest.Faults, _ *harness) { f.SSHHang = true })
	silentAPI = set("the API never answers", func(f *snstest.Faults, _ *harness) { f.APIHang = true })
)

// rewrite returns a fault of a file: the administrator replaces its text.
func rewrite(name, file string, edit func(text string) string) fault {
	return fault{name, func(h *harness) func() {
		h.must(h.administrator.write(file, edit(string(h.Appliance.Read(file)))))
		return nil
	}}
}

// breaking returns a fault after which the administrator's own lines have faults,
// such as a group that names a missing object.
func breaking(f fault) fault {
	return fault{f.name, func(h *harness) func() {
		h.broken = true
		return f.begin(h)
	}}
}

// blacklistFaults concern the blacklist and its sessions, and need no SSH.
var blacklistFaults = []fault{
	{"a reboot", func(h *harness) func() { h.Appliance.Reboot(); return nil }},
	{"another session holds the monitor right", func(h *harness) func() { h.Appliance.HoldMonitor(); return h.Appliance.ReleaseMonitor }},
	{"the administrator ends all sessions", func(h *harness) func() { h.Appliance.EndSessions(); return nil }},
	set("SHOW prints an unknown format", func(f *snstest.Faults, _ *harness) { f.ShowOtherwise = true }),
}

var fileFaults = []fault{
	{"a failover to a peer that lacks our objects", func(h *harness) func() {
		h.Appliance.Reboot()
		for _, file := range files {
			h.must(h.administrator.write(file, strings.Join(h.administrator.lines[file], "\n")+"\n"))
		}
		return nil
	}},
	set("the disk is full", func(f *snstest.Faults, h *harness) { f.DiskFullAfter = int64(1 + h.random.IntN(4000)) }),
	set("the folder is read-only", func(f *snstest.Faults, _ *harness) { f.ReadOnlyDir = true }),
	breaking(rewrite("the administrator deletes [Host]", snstest.ObjectFile, func(text string) string {
		start, end := strings.Index(text, "[Host]"), strings.Index(text, "[Network]")
		return text[:start] + text[end:]
	})),
	rewrite("the administrator deletes the group of bans", snstest.GroupFile, func(text string) string { return withoutGroup(text, "Crowdsec") }),
	rewrite("the administrator deletes the group of ended bans", snstest.GroupFile, func(text string) string {
		return withoutGroup(text, "CrowdsecDeleteGroup")
	}),
	{"the administrator uses one of our objects", func(h *harness) func() {
		prefix := h.draw(1)
		h.must(h.tryBan(4*time.Second, prefix...))
		h.settle()
		name := object(prefix[0])
		h.kept[name] = true
		text := string(h.Appliance.Read(snstest.GroupFile))
		h.must(h.administrator.write(snstest.GroupFile, strings.Replace(text, "[everything]\n", "[everything]\n"+name+"\n", 1)))
		return nil
	}},
	breaking(rewrite("the administrator empties object", snstest.ObjectFile, func(string) string { return "" })),
	rewrite("the administrator empties objectgroup", snstest.GroupFile, func(string) string { return "" }),
	// It counts as broken so that the torture does not parse 50 MB every 20 ms.
	breaking(fault{"object has 50 MB", func(h *harness) func() {
		var text strings.Builder
		text.WriteString("[Host]\n")
		for i := 0; text.Len() < 50<<20; i++ {
			fmt.Fprintf(&text, "host_%d=10.%d.%d.%d,resolve=static\n", i, i>>16&255, i>>8&255, i&255)
		}
		h.must(h.administrator.write(snstest.ObjectFile, text.String()+strings.Join(h.administrator.lines[snstest.ObjectFile], "\n")+"\n"))
		return nil
	}}),
}

var applianceFaults = slices.Concat(blacklistFaults[:3], fileFaults)

// withoutGroup returns a text without a group and its members.
func withoutGroup(text, group string) string {
	start := strings.Index(text, "["+group+"]\n")
	if start < 0 {
		return text
	}
	rest := text[start+1:]
	if next := strings.Index(rest, "\n["); next >= 0 {
		return text[:start] + rest[next+1:]
	}
	return text[:start]
}

func faultyLink(t *try) {
	h := newHarness(t)
	if t.withoutSSH {
		h.runFault(apiFaults)
	} else {
		h.runFault(linkFaults)
	}
}

func faultyAppliance(t *try) {
	h := newHarness(t)
	h.reassertEvery(shortestReassert) // only a re-assert repairs an emptied blacklist
	if t.withoutSSH {
		h.runFault(blacklistFaults)
	} else {
		h.runFault(applianceFaults)
	}
}

// runFault runs one of the faults for some seconds, while bans start and end.
func (h *harness) runFault(faults []fault) {
	h.maybeRemoveAwk()
	h.ban(long, h.draw(5+h.random.IntN(40))...)
	h.ban(5*time.Second, h.drawUpTo(30)...)
	h.settle()
	f := faults[h.choose(len(faults))]
	end := f.begin(h)
	h.ban(long, h.drawUpTo(30)...)
	h.ban(time.Second, h.drawUpTo(30)...)
	h.pause(3 * time.Second)
	h.pauseUpTo(2 * time.Second)
	h.ban(long, h.draw(1)...)
	if end != nil {
		end()
	}
	h.settleAfter(f.name)
}
