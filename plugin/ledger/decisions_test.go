package ledger_test

import (
	"cmp"
	"fmt"
	"math/rand/v2"
	"net/netip"
	"slices"
	"testing"
	"time"

	"notification-stormshield/plugin/ban"
)

// model is what the ledger should know: the package comment's rules, in other words.
type model struct {
	decisions []modelled // in the order of recording
	limit     int
}

type modelled struct {
	n       int64 // its number
	prefix  string
	until   time.Time
	class   ban.Class
	lifted  bool
	missing int
}

func (m *model) arrive(n int64, prefix string, until time.Time, class ban.Class, listed bool, now time.Time) {
	for i := range m.decisions {
		if m.decisions[i].n == n {
			if listed {
				m.decisions[i].missing = 0
			}
			return
		}
	}
	if until.After(now) {
		m.decisions = append(m.decisions, modelled{n: n, prefix: prefix, until: until, class: class})
	}
}

func (m *model) remove(which func(modelled) bool) {
	m.decisions = slices.DeleteFunc(m.decisions, which)
}

// enforced returns the prefixes of the best bans.
func (m *model) enforced(now time.Time) []string {
	type banned struct {
		prefix string
		class  ban.Class
		newest int
	}
	byPrefix := map[string]*banned{}
	var all []*banned
	for i, d := range m.decisions {
		if d.lifted || !d.until.After(now) {
			continue
		}
		b := byPrefix[d.prefix]
		if b == nil {
			b = &banned{prefix: d.prefix, class: d.class}
			byPrefix[d.prefix] = b
			all = append(all, b)
		}
		b.class, b.newest = min(b.class, d.class), i
	}
	slices.SortFunc(all, func(a, b *banned) int { return cmp.Or(cmp.Compare(a.class, b.class), cmp.Compare(b.newest, a.newest)) })
	var out []string
	for _, b := range all[:min(len(all), m.limit)] {
		out = append(out, b.prefix)
	}
	slices.Sort(out)
	return out
}

var origins = map[ban.Class]string{ban.Local: "crowdsec", ban.Imported: "cscli-import", ban.Remote: "lists:tor"}

// TestTheBestBansOfAllDecisionsAreEnforcedWhateverArrives lets alerts, the Local API's list, deletions, full reads, and
// people change decisions at random, and compares with the model after each step.
func TestTheBestBansOfAllDecisionsAreEnforcedWhateverArrives(t *testing.T) {
	for seed := range uint64(6) {
		t.Run(fmt.Sprint(seed), func(t *testing.T) {
			l, random := open(t), rand.New(rand.NewPCG(seed, 0))
			m := &model{limit: []int{5, 12, many}[seed%3]}
			now := start
			var known []ban.Decision
			check := func(err error) {
				t.Helper()
				if err != nil {
					t.Fatal(err)
				}
			}
			pick := func() ban.Decision {
				if len(known) > 0 && random.IntN(3) == 0 {
					return known[random.IntN(len(known))]
				}
				class := ban.Class(1 + random.IntN(3))
				d := identified(int64(len(known)+1), fmt.Sprintf("203.0.113.%d/32", random.IntN(20)), now.Add(time.Duration(1+random.IntN(100))*time.Minute))
				d.Origin = origins[class]
				known = append(known, d)
				return d
			}
			for step := range 400 {
				what := random.IntN(10)
				switch what {
				case 0, 1, 2: // alerts
					d := pick()
					m.arrive(d.ID, d.Prefix.String(), d.Until, d.Class(), false, now)
					d.ID = 0
					_, err := l.Record(t.Context(), []ban.Decision{d}, now, m.limit)
					check(err)
				case 3, 4: // the list
					d := pick()
					m.arrive(d.ID, d.Prefix.String(), d.Until, d.Class(), true, now)
					_, err := l.List(t.Context(), nil, []ban.Decision{d}, now, m.limit)
					check(err)
				case 5: // a deletion
					d := pick()
					m.remove(func(k modelled) bool { return k.n == d.ID })
					_, err := l.Unlist(t.Context(), []ban.Decision{d}, now, m.limit)
					check(err)
				case 6: // somebody lifts a ban
					prefix := fmt.Sprintf("203.0.113.%d/32", random.IntN(20))
					for i := range m.decisions {
						if m.decisions[i].prefix == prefix {
							m.decisions[i].lifted = true
						}
					}
					_, err := l.Lift(t.Context(), netip.MustParsePrefix(prefix), now, m.limit)
					check(err)
				case 7: // a full read lists some of what is known
					r, err := l.BeginFullRead(t.Context())
					check(err)
					before := len(m.decisions)
					var listed []ban.Decision
					for _, d := range known {
						if random.IntN(3) > 0 && d.Until.After(now) {
							listed = append(listed, d)
						}
					}
					for i := range m.decisions[:before] {
						k := &m.decisions[i]
						if k.until.After(now) && !slices.ContainsFunc(listed, func(d ban.Decision) bool { return d.ID == k.n }) {
							k.missing++
						}
					}
					slices.SortStableFunc(listed, func(a, b ban.Decision) int { return a.Prefix.Compare(b.Prefix) })
					for _, d := range listed {
						m.arrive(d.ID, d.Prefix.String(), d.Until, d.Class(), true, now)
					}
					_, err = l.List(t.Context(), r, listed, now, m.limit)
					check(err)
					_, err = l.EndFullRead(t.Context(), r, func(ban.Decision) bool { return true }, now)
					check(err)
					if random.IntN(2) == 0 {
						m.remove(func(k modelled) bool { return k.missing >= 2 })
						_, err := l.EndMissing(t.Context(), now, m.limit)
						check(err)
					}
				case 8:
					now = now.Add(time.Duration(random.IntN(20)) * time.Minute)
				case 9: // a flush
					check(l.Choose(t.Context(), now, m.limit))
					p := plan(t, l, now)
					check(l.Begin(t.Context(), p, false))
					wrote(t, l, p, all(p, now))
				}
				check(l.Choose(t.Context(), now, m.limit))
				p := plan(t, l, now)
				got := standing(t, l, p)
				if want := m.enforced(now); !slices.Equal(got, want) {
					t.Fatalf("step %d (%d): enforced %v, want %v", step, what, got, want)
				}
				if p.InForce != len(got) {
					t.Fatalf("step %d (%d): the plan counts %d, and there are %d", step, what, p.InForce, len(got))
				}
			}
		})
	}
}

func BenchmarkList(b *testing.B) {
	for _, each := range []int{1, 3} {
		b.Run(fmt.Sprintf("%d decisions an address", each), func(b *testing.B) {
			for b.Loop() {
				l := open(b)
				for round := range 2 {
					r, err := l.BeginFullRead(b.Context())
					if err != nil {
						b.Fatal(err)
					}
					began := time.Now()
					var some []ban.Decision
					for n := range 300_000 * each {
						a := uint32(n*2654435761) % 300_000
						p := netip.PrefixFrom(netip.AddrFrom4([4]byte{20, byte(a >> 16), byte(a >> 8), byte(a)}), 32)
						some = append(some, ban.Decision{UUID: ban.ParseUUID(fmt.Sprint(n)), ID: int64(n + 1), Prefix: p, Bits: 32,
							Until: start.Add(time.Hour), Type: "ban", Origin: "lists:tor", Scenario: "tor"})
						if len(some) == 1000 {
							if _, err := l.List(b.Context(), r, some, start, many); err != nil {
								b.Fatal(err)
							}
							some = some[:0]
						}
					}
					if _, err := l.EndFullRead(b.Context(), r, func(ban.Decision) bool { return true }, start); err != nil {
						b.Fatal(err)
					}
					b.Logf("round %d: %s", round, time.Since(began))
				}
			}
		})
	}
}
