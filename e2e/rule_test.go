package e2e

import (
	"context"
	"fmt"
	"slices"
	"testing"
	"time"
)

// Each combination of an action and a direction gets a ban, which ends.
func TestAFilterRuleBlocksResetsOrLogsPacketsOfBans(t *testing.T) {
	inParallel(t, []Release{current, older}, func(t *testing.T, env *Environment) {
		const other = "203.0.113.250"
		env.follow(t) // so that a deleted decision ends its ban
		stayedEmpty := env.guardBlacklist(t)
		bans := 0
		for _, kind := range []struct {
			action, log string
			meets       Verdict // without By
			status      string
		}{
			{"block", "none", Verdict{Action: "block"}, ": working\n"},
			{"reset", "minor", Verdict{Action: "reset", Logged: true}, ": working\n"},
			{"log", "none", Verdict{Action: "pass", Logged: true}, ": working, observing: "},
		} {
			for _, direction := range []string{"in", "out", "both"} {
				t.Run(kind.action+" "+direction, func(t *testing.T) {
					bans++
					banned, passes := fmt.Sprintf("203.0.113.%d", bans), Verdict{Action: "pass"}
					in, out := kind.meets, kind.meets
					if kind.action != "log" {
						in.By, out.By = "crowdsec", "crowdsec"
					}
					switch {
					case direction == "in":
						out = passes
					case direction == "out":
						in = passes
					case out.By != "":
						out.By = "crowdsec_out"
					}
					env.enforceBy(t, "rule", settings{
						"action": kind.action, "log": kind.log, "direction": direction, "activate_every": 2 * time.Second,
					})
					env.checkPacket(t, "before the ban", banned, peer, passes)
					env.checkPacket(t, "before the ban", peer, banned, passes)

					asked := env.CrowdSec.Ban(t, "--ip", banned, time.Hour).asked
					env.waitForPacket(t, banned, peer, in)
					env.waitForPacket(t, peer, banned, out)
					checkWithin(t, activated, banned+" in the running rule", time.Since(asked))
					env.checkPacket(t, "during the ban", other, peer, passes)
					env.checkPacket(t, "during the ban", peer, other, passes)
					env.waitUntilStatusSays(t, kind.status)

					env.CrowdSec.mustCscli(t, "decisions", "delete", "-i", banned)
					deleted := time.Now()
					env.waitForPacket(t, banned, peer, passes)
					env.waitForPacket(t, peer, banned, passes)
					checkWithin(t, activated, banned+" not in the running rule", time.Since(deleted))
				})
			}
		}
		stayedEmpty()
	})
}

func TestAMissingFilterRuleIsReportedUntilItIsInstalled(t *testing.T) {
	t.Parallel() // it mostly waits
	forEach(t, []Release{current}, []Access{overCsh}, func(t *testing.T, env *Environment) {
		const banned, short = "203.0.113.20", "203.0.113.21"
		blocked, passes := Verdict{Action: "block", By: "crowdsec"}, Verdict{Action: "pass"}
		env.configureRule(t, "rule", settings{"activate_every": 2 * time.Second})
		env.setReassertEvery(t, 20*time.Second)
		stayedEmpty := env.guardBlacklist(t)
		env.CrowdSec.Ban(t, "--ip", banned, time.Hour)
		env.waitUntilNotWorking(t, "no filter rule in force names the group Crowdsec as source")
		env.checkPacket(t, "without the rule", banned, peer, passes)

		env.checkRuleCommand(t, "install")
		env.waitForPacket(t, banned, peer, blocked)
		env.waitUntilStatusSays(t, ": working")

		d := env.CrowdSec.Ban(t, "--ip", short, 20*time.Second)
		env.waitForPacket(t, short, peer, blocked)
		env.waitForPacket(t, short, peer, passes)
		left := time.Since(d.ends)
		if left < 0 {
			t.Errorf("%s left the running rule %s before its end", short, -left)
		}
		checkWithin(t, activated, short+" not in the running rule after its end", left)
		stayedEmpty()
	})
}

func TestNoPacketPassesWhileTheWayToEnforceChanges(t *testing.T) {
	inParallel(t, []Release{current, older}, func(t *testing.T, env *Environment) {
		const banned, later = "203.0.113.30", "203.0.113.31"
		byBlacklist, byRule := Verdict{Action: "block", By: "blacklist"}, Verdict{Action: "block", By: "crowdsec"}
		rule := settings{"activate_every": 2 * time.Second}
		env.CrowdSec.Ban(t, "--ip", banned, time.Hour)
		env.waitForPacket(t, banned, peer, byBlacklist)
		stayedBlocked := env.guardPackets(t, banned)

		env.enforceBy(t, "both", rule)
		env.CrowdSec.Ban(t, "--ip", later, time.Hour)
		env.waitForPacket(t, later, peer, byBlacklist)
		env.Plugin.waitUntilIdle(t)

		env.enforceBy(t, "rule", rule)
		env.waitForPacket(t, banned, peer, byRule)
		env.waitForPacket(t, later, peer, byRule)
		env.waitUntilBlocks(t, 0, time.Minute)
		env.Plugin.waitUntilIdle(t)

		env.enforceBy(t, "blacklist", rule)
		env.waitForPacket(t, banned, peer, byBlacklist)
		env.waitForPacket(t, later, peer, byBlacklist)
		env.checkRuleCommand(t, "remove")
		env.checkPacket(t, "without the rule", banned, peer, byBlacklist)
		env.Plugin.waitUntilIdle(t)
		stayedBlocked()
	})
}

// The bans come in ten alerts. Each follows when the files name the alert before it. So there are at least ten flushes.
func TestTenThousandBansCostOneActivationInEachTime(t *testing.T) {
	inParallel(t, []Release{current, older}, func(t *testing.T, env *Environment) {
		const alerts, last, every = 10, "203.0.113.40", 8 * time.Second // the default is a minute
		env.enforceBy(t, "rule", settings{"activate_every": every})
		seen := env.watchActivations(t)
		decisions := decisionsOn(10_000, 0, 0)
		for some := range slices.Chunk(decisions, len(decisions)/alerts) {
			env.CrowdSec.Report(t, some)
			waitForEvery(t, 100*time.Millisecond, time.Minute, "the files name an alert", func() (bool, string) {
				return env.filesName(t, some[len(some)-1].Value), "they do not"
			})
		}
		d := env.CrowdSec.Ban(t, "--ip", last, time.Hour)
		blocked := Verdict{Action: "block", By: "crowdsec"}
		env.waitForPacket(t, last, peer, blocked)
		checkWithin(t, activated, fmt.Sprintf("a ban in the running rule, with activate_every %s", every), time.Since(d.asked))
		for i := 0; i < len(decisions); i += 111 {
			env.checkPacket(t, "during the bans", decisions[i].Value, peer, blocked)
		}

		activations := seen()
		t.Logf("MEASURED %d activations and %d flushes", len(activations), env.CrowdSec.logged("msg=flushed "))
		for i := 1; i < len(activations); i++ {
			if most := activations[i].until.Sub(activations[i-1].from); most < every-10*time.Millisecond {
				t.Errorf("at most %s between two activations, with activate_every %s", most, every)
			}
		}
	})
}

// activation was at some time from one look at the appliance until the end of the next.
type activation struct{ from, until time.Time }

// watchActivations counts the activations until the returned function is called, which returns them.
func (env *Environment) watchActivations(t testing.TB) (seen func() []activation) {
	t.Helper()
	var activations []activation
	before := time.Now()
	count := env.Appliance.Stats(t).Activations
	stop := guardAgainst(t, func(ctx context.Context) []string {
		var s Stats
		began := time.Now()
		if err := env.Appliance.get(ctx, "/stats", &s); err != nil {
			return []string{err.Error()}
		}
		for ; count < s.Activations; count++ {
			activations = append(activations, activation{before, time.Now()})
		}
		before = began
		return nil
	})
	return func() []activation {
		t.Helper()
		stop()
		return activations
	}
}
