package acceptance_test

import (
	"bytes"
	"context"
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"notification-stormshield/stormshield"
	"notification-stormshield/stormshield/acceptance"
	"notification-stormshield/stormshield/objects"
	"notification-stormshield/stormshield/snstest"
)

// wantUntouched fails the test unless the appliance is as it was before the check.
func (h *harness) wantUntouched(object, objectgroup []byte) {
	h.T.Helper()
	h.WantInForce()
	if !bytes.Equal(h.Sim.Read("object"), object) || !bytes.Equal(h.Sim.Read("objectgroup"), objectgroup) {
		h.T.Error("a file differs from before")
	}
}

func TestCheckAndWriteOfAGoodApplianceFindsNothingWrongAndLeavesNothing(t *testing.T) {
	t.Parallel()
	for _, shell := range []string{"/bin/sh", "/bin/csh"} {
		h := start(t, func(o *snstest.Options) { o.LoginShell = shell })
		h.MustFlush(append(addresses(3), prefixes("203.0.113.0/24")...), nil, false)
		object, objectgroup := h.Sim.Read("object"), h.Sim.Read("objectgroup")
		flushes := h.runsFor()
		findings := h.checkAndWrite()
		for _, f := range findings {
			if f.Verdict != acceptance.Holds || f.Detail == "" || f.Assumed == "" {
				t.Errorf("%s: %s, %s %v", f.Subject, f.Verdict, f.Detail, f.Err)
			}
		}
		if len(findings) < 24 {
			t.Errorf("only %d findings", len(findings))
		}
		h.wantUntouched(object, objectgroup)
		if all := h.runsFor(); len(flushes) != 1 || len(all) != 2 {
			t.Errorf("a flush wrote for %v, with the check it is %v, want one group each", flushes, all)
		}
	}
}

// runsFor returns the groups for which the files were changed. The names of the folders hold them.
func (h *harness) runsFor() []string {
	var groups []string
	for _, c := range h.Sim.Stats().SSHCommands {
		groups = append(groups, workFolder.FindAllString(c, -1)...)
	}
	slices.Sort(groups)
	return slices.Compact(groups)
}

var workFolder = regexp.MustCompile(`\.crowdsec-[0-9a-f]{8}-`)

// Each appliance breaks one assumption. Only the findings about it may not be ok.
func TestCheckAndWriteNamesExactlyTheDifferences(t *testing.T) {
	t.Parallel()
	const wrong, differs, untried = acceptance.Wrong, acceptance.Differs, acceptance.Untried
	type verdicts map[string]acceptance.Verdict
	faults := func(set func(*snstest.Faults)) func(*harness, *stormshield.Config) {
		return func(h *harness, _ *stormshield.Config) { h.Sim.SetFaults(set) }
	}
	files := verdicts{"editing on the appliance": untried, "mode and owner": untried, "a new session sees a write": untried, "blocking a group": untried,
		"unblocking a group": untried, "blocking a range": untried, "IPv6 object": untried, "empty group": untried}
	plus := func(some verdicts, others ...verdicts) verdicts {
		all := maps.Clone(some)
		for _, o := range others {
			maps.Copy(all, o)
		}
		return all
	}
	for name, c := range map[string]struct {
		breaks func(*harness, *stormshield.Config)
		want   verdicts
		says   string // in one of these findings
	}{
		"files elsewhere": {func(_ *harness, c *stormshield.Config) { c.ConfigDir += "/elsewhere" },
			plus(files, verdicts{"configuration folder": wrong, "file object": untried, "file objectgroup": untried}), "config_dir"},
		"a folder that only its owner may write": {faults(func(f *snstest.Faults) { f.ReadOnlyDir = true }),
			plus(files, verdicts{"configuration folder": wrong, "file object": untried, "file objectgroup": untried}), "mounted read-only"},
		"a group of the check with an administrator's member": {func(h *harness, _ *stormshield.Config) {
			_ = h.Sim.Write("objectgroup", append(h.Sim.Read("objectgroup"), "[CrowdsecCheckEnded]\npc_admin\n"...))
		}, plus(files, verdicts{"editing on the appliance": wrong}), "CrowdsecCheckEnded has members that this program did not make: pc_admin"},
		"no awk": {faults(func(f *snstest.Faults) { f.MissingTools = []string{"awk"} }),
			verdicts{"tools": differs, "editing on the appliance": differs}, "both files whole"},
		"a cp that keeps no mode": {func(h *harness, _ *stormshield.Config) {
			if err := os.Chmod(filepath.Join(h.Sim.ConfigDir(), "object"), 0o604); err != nil {
				h.T.Fatal(err)
			}
		}, verdicts{"mode and owner": wrong}, "-rw----r--"},
		"files read at enobject only": {faults(func(f *snstest.Faults) { f.StaleUntilReload = true }),
			verdicts{"a new session sees a write": wrong}, "reload_command: enobject"},
		"files never read again": {faults(func(f *snstest.Faults) { f.StaleUntilReload, f.MissingTools = true, []string{"enobject"} }),
			verdicts{"a new session sees a write": wrong, "blocking a group": untried, "unblocking a group": untried,
				"blocking a range": untried, "IPv6 object": untried, "empty group": untried}, "reload_command"},
		"no IPv6": {faults(func(f *snstest.Faults) { f.NoIPv6 = true }),
			verdicts{"IPv6 address": wrong, "IPv6 object": wrong}, "2000::/3"},
		"an empty group breaks the files": {faults(func(f *snstest.Faults) { f.EmptyGroupBreaks = true }),
			verdicts{"empty group": wrong}, "501"},
		"entries that cannot be renewed": {faults(func(f *snstest.Faults) { f.RenewalIgnored = true }),
			verdicts{"renewing an entry": wrong}, "blacklist_timeout"},
		"another SHOW": {faults(func(f *snstest.Faults) { f.ShowOtherwise = true }),
			verdicts{"what SHOW prints": differs, "renewing an entry": untried}, "expires="},
		"SHOW as the vendor's reference has it": {faults(func(f *snstest.Faults) { f.ShowRanges = true }), verdicts{}, ""},
		"SHOW as section_line":                  {faults(func(f *snstest.Faults) { f.ShowSectionLine = true }), verdicts{}, ""},
		"SHOW with a line that nobody can read": {faults(func(f *snstest.Faults) { f.ShowExtra = "12 entries" }),
			verdicts{"what SHOW prints": differs}, "12 entries"},
		"SHOW that nobody can read": {faults(func(f *snstest.Faults) { f.ShowOtherwise, f.ShowExtra = true, "12 entries" }),
			verdicts{"what SHOW prints": differs, "renewing an entry": untried}, "stays pending"},
		"SHOW that is refused": {faults(func(f *snstest.Faults) { f.Ret = map[string]int{"MONITOR ADDRESSLIST SHOW": 200} }),
			verdicts{"what SHOW prints": wrong, "renewing an entry": untried, "unblocking an address": untried, "blocking a group": wrong,
				"unblocking a group": untried, "blocking a range": untried, "IPv6 address": wrong}, "what SHOW prints"},
		"no ranges": {faults(func(f *snstest.Faults) { f.NetworksRefused = true }),
			verdicts{"blocking a range": wrong}, "ranges are not blocked"},
		"no groups": {faults(func(f *snstest.Faults) {
			f.Ret = map[string]int{"MONITOR ADDRESSLIST ADD Type=BlackList Name1=CrowdsecCheck": 200}
		}), verdicts{"blocking a group": wrong, "unblocking a group": untried, "blocking a range": untried}, "go by group"},
		"no unblocking of groups": {faults(func(f *snstest.Faults) {
			f.Ret = map[string]int{"MONITOR ADDRESSLIST DELETE Type=BlackList Name1=CrowdsecCheck": 200}
		}), verdicts{"unblocking a group": wrong}, "api_single_max"},
		"DELETE of what is not listed fails": {faults(func(f *snstest.Faults) { f.DeleteUnknownFails = true }),
			verdicts{"unblocking an address": differs}, "looks with SHOW"},
		"the blacklist needs the configuration right": {faults(func(f *snstest.Faults) { f.MonitorIsNotEnough = true }),
			plus(files, verdicts{"blocking an address": wrong, "what SHOW prints": untried, "renewing an entry": untried, "unblocking an address": untried, "IPv6 address": untried}), "mon_write and filter"},
	} {
		t.Run(name, func(t *testing.T) {
			h := start(t, func(o *snstest.Options) {
				if strings.Contains(name, "keeps no mode") {
					o.Tools = map[string]string{"cp": forgetfulCopy(t)}
				}
			})
			config := configFor(t, h.Sim)
			c.breaks(h, &config)
			object, objectgroup := h.Sim.Read("object"), h.Sim.Read("objectgroup")
			findings := acceptance.CheckAndWrite(t.Context(), stormshield.New(config))
			got, said := verdicts{}, ""
			for _, f := range findings {
				if f.Verdict != acceptance.Holds {
					got[f.Subject] = f.Verdict
					said += fmt.Sprintf("%s %s: %s %v (hint: %s)\n", f.Verdict, f.Subject, f.Detail, f.Err, f.Hint)
				}
			}
			if !maps.Equal(got, c.want) || !strings.Contains(said, c.says) {
				t.Errorf("found\n%swant %v and %q", said, c.want, c.says)
			}
			h.wantUntouched(object, objectgroup)
		})
	}
}

// forgetfulCopy returns a cp that ignores -p.
func forgetfulCopy(t *testing.T) string {
	path := filepath.Join(t.TempDir(), "cp")
	const script = "#!/bin/sh\ntest \"$1\" = -p && shift\numask 077\nexec /bin/cp \"$@\"\n"
	if err := os.WriteFile(path, []byte(script), 0o755); err != nil {
		t.Fatal(err)
	}
	return path
}

func TestAnInterruptedCheckAndWriteLeavesNothing(t *testing.T) {
	t.Parallel()
	for after := range 6 {
		h := start(t)
		object, objectgroup := h.Sim.Read("object"), h.Sim.Read("objectgroup")
		ctx, cancel := context.WithCancel(t.Context())
		config := configFor(t, h.Sim)
		step := 0
		config.Progress = func(string) {
			if step++; step == after+3 { // both logins come before
				cancel()
			}
		}
		findings := acceptance.CheckAndWrite(ctx, stormshield.New(config))
		if step < after+3 {
			t.Fatalf("the check has %d steps", step)
		}
		if last := findings[len(findings)-1]; last.Verdict != acceptance.Holds {
			t.Errorf("interrupted at step %d: %s %s %v", step, last.Verdict, last.Detail, last.Err)
		}
		h.wantUntouched(object, objectgroup)
		cancel()
	}
}

func TestCheckAndWriteRemovesTheRestOfAnEarlierOne(t *testing.T) {
	t.Parallel()
	h := start(t)
	object, objectgroup := withoutSection(h.Sim.Read("object"), "Network"), []byte("# the check makes [Network]\n")
	for file, text := range map[string][]byte{"object": object, "objectgroup": objectgroup} {
		if err := h.Sim.Write(file, text); err != nil {
			t.Fatal(err)
		}
	}
	ctx, cancel := context.WithCancel(t.Context())
	config := configFor(t, h.Sim)
	config.Progress = func(what string) {
		if strings.Contains(what, "empty group") { // the files name the objects by now
			h.Sim.SetFaults(func(f *snstest.Faults) { f.SSHRefuse, f.APIRefuse = true, true })
			cancel()
		}
	}
	findings := acceptance.CheckAndWrite(ctx, stormshield.New(config))
	if last := findings[len(findings)-1]; last.Verdict != acceptance.Wrong || !strings.Contains(last.Err.Error(), "CrowdsecCheck") {
		t.Errorf("an appliance that went away: %s %s %v", last.Verdict, last.Detail, last.Err)
	}
	if bytes.Equal(h.Sim.Read("objectgroup"), objectgroup) {
		t.Fatal("nothing was left")
	}
	h.Sim.SetFaults(func(f *snstest.Faults) { f.SSHRefuse, f.APIRefuse = false, false })
	h.Sim.Reboot() // ends the sessions and the entries
	if err := acceptance.FirstFault(h.checkAndWrite()); err != nil {
		t.Error(err)
	}
	h.wantUntouched(object, objectgroup)
}

func TestCheckAndWriteDoesNotTouchABanOfItsAddress(t *testing.T) {
	t.Parallel()
	h := start(t)
	banned := prefixes("198.51.100.253/32")
	h.MustFlush(banned, nil, false)
	object, objectgroup := h.Sim.Read("object"), h.Sim.Read("objectgroup")
	findings := h.checkAndWrite()
	for _, f := range findings {
		if f.Subject == "blocking an address" && (f.Verdict != acceptance.Untried || !strings.Contains(f.Detail, "on the blacklist already")) {
			t.Errorf("%s: %s", f.Verdict, f.Detail)
		}
	}
	h.wantUntouched(object, objectgroup)
}

func TestFlushesSucceedDuringACheckAndWrite(t *testing.T) {
	t.Parallel()
	h := start(t)
	h.MustFlush(addresses(2), nil, false)
	done := make(chan []acceptance.Finding)
	go func() { done <- acceptance.CheckAndWrite(t.Context(), stormshield.New(configFor(t, h.Sim))) }()
	for n := 3; ; n++ {
		began := time.Now()
		h.flushUntilDone(n)
		select {
		case <-time.After(time.Since(began)): // half of the time is for the check, also on a slow machine
		case findings := <-done:
			for _, f := range findings {
				if f.Verdict != acceptance.Holds {
					t.Errorf("%s: %s, %s %v", f.Subject, f.Verdict, f.Detail, f.Err)
				}
			}
			h.MustFlush(nil, nil, true)
			h.WantInForce()
			return
		}
	}
}

// A flush that renames its files at the same moment can take a write of the check away.
func TestCheckAndWriteRepeatsAWriteThatWasTakenAway(t *testing.T) {
	t.Parallel()
	for name, of := range map[string]string{"the first": "198.51.100.253/32", "a later one": "2001:db8::c5ec/128"} {
		for _, file := range []string{snstest.ObjectFile, snstest.GroupFile} {
			t.Run(name+" in "+file, func(t *testing.T) {
				t.Parallel()
				h := start(t)
				config := configFor(t, h.Sim)
				config.ReloadCommand = "enobject" // it runs between a write and the session that sees it
				object, objectgroup := h.Sim.Read("object"), h.Sim.Read("objectgroup")
				line := regexp.MustCompile(`(?m)^` + objects.Name(prefixes(of)[0]) + `\b.*\n`)
				taken := 0
				h.Sim.SetFaults(func(f *snstest.Faults) {
					f.Step = func(command string, ran bool) bool {
						if text := h.Sim.Read(file); command == "enobject" && !ran && taken < 2 && line.Match(text) {
							taken++
							if err := h.Sim.Write(file, line.ReplaceAll(text, nil)); err != nil {
								t.Error(err)
							}
						}
						return false
					}
				})
				findings := acceptance.CheckAndWrite(t.Context(), stormshield.New(config))
				if err := acceptance.FirstFault(findings); err != nil || taken != 2 {
					t.Errorf("taken away %d times: %v", taken, err)
				}
				h.wantUntouched(object, objectgroup)
			})
		}
	}
}

// flushUntilDone adds a ban, as the plugin would: again after a failure.
func (h *harness) flushUntilDone(n int) {
	h.T.Helper()
	for {
		_, err := h.Flush(addresses(n)[n-1:], nil, false)
		if err == nil {
			return
		}
		if h.T.Context().Err() != nil {
			h.T.Fatal(err)
		}
	}
}
