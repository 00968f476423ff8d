package main

import (
	"cmp"
	"context"
	"fmt"
	"slices"

	"notification-stormshield/stormshield/snstest"
)

// kind is a kind of flush.
type kind int

const (
	first kind = iota
	oneMore
	oneEnded
	reassertion
	oneRange
	thousandMore
	reassertionWithFiles
	kinds
)

func (k kind) String() string {
	return [...]string{
		"the first", "one more ban", "one ended ban", "a re-assert", "one more range", "1,000 more bans in one alert", "a re-assert that writes the files",
	}[k]
}

// by is the name of the kind in a way.
func (k kind) by(w way) string {
	if w == withoutSSH {
		return k.String() + ", " + w.String()
	}
	return k.String()
}

// costs are the costs of flushes with a number of bans in force over a link, one
// for each try. Where the plugin does not write the files, both ways with SSH are the
// same, and only that of the change alone has costs.
type costs struct {
	bans int
	link snstest.Link
	of   [ways][kinds][]cost
}

// includes reports whether a kind of flush after the first one is measured in a way.
func (w way) includes(k kind) bool {
	return w == changeOnly || (k >= oneRange) == (w == wholeFiles)
}

// makeHarnesses makes a harness for each network and way that the plan measures. It returns
// those that it made also with an error.
func (p costPlan) makeHarnesses(ctx context.Context, o options) ([]*harness, error) {
	var made []*harness
	for _, link := range links {
		for way := range ways {
			if p.tries[way] == 0 {
				continue
			}
			s := spaced
			s.link, s.way = link, way
			h, err := newHarness(ctx, o, s)
			if err != nil {
				return made, fmt.Errorf("%s: %w", way, err)
			}
			made = append(made, h)
		}
	}
	return made, nil
}

// measure measures over all networks. It alternates between all harnesses, so that
// other load on the machine affects all, and so that update_frequency passes for one
// while others are measured.
func (p costPlan) measure(ctx context.Context, o options) ([]costs, error) {
	progress("flushes with %s bans in force", grouped(p.bans))
	all := make([]costs, len(links))
	for i, link := range links {
		all[i].bans, all[i].link = p.bans, link
	}
	harnesses, err := p.makeHarnesses(ctx, o)
	defer func() {
		for _, h := range harnesses {
			h.close()
		}
	}()
	if err != nil {
		return nil, err
	}
	measure := func(h *harness, k kind) error {
		progress("  %s, %s: %s", network(h.link), h.way, k)
		cost, err := h.measure(ctx, k, p.bans)
		if err != nil {
			return fmt.Errorf("%s over %s, %s: %w", k, network(h.link), h.way, err)
		}
		of := &all[slices.Index(links, h.link)].of[h.way]
		of[k] = append(of[k], cost)
		return nil
	}
	for _, h := range harnesses {
		if err := measure(h, first); err != nil {
			return nil, err
		}
	}
	each := func(try int, some ...kind) error {
		for _, k := range some {
			for _, h := range harnesses {
				if try >= p.tries[h.way] || !h.way.includes(k) {
					continue
				}
				if err := measure(h, k); err != nil {
					return err
				}
			}
		}
		return nil
	}
	for try := range slices.Max(p.tries[:]) {
		if err := each(try, oneRange, oneMore, oneEnded); err != nil {
			return nil, err
		}
	}
	return all, each(0, reassertion, reassertionWithFiles, thousandMore)
}

// measure measures a flush. The kinds come in the order of costPlan.measure.
func (h *harness) measure(ctx context.Context, k kind, bans int) (cost, error) {
	switch k {
	case first:
		if _, err := h.receive(ctx, bans, perLarge); err != nil {
			return cost{}, err
		}
		return h.firstFlush(ctx)
	case oneRange:
		return h.oneRange(ctx)
	case oneMore:
		return h.oneMore(ctx)
	case oneEnded:
		return h.oneEnded(ctx)
	case reassertion:
		return h.reassert(ctx, false)
	case reassertionWithFiles:
		// This ban goes over the API alone, so the files lack it until the re-assert.
		if _, err := h.flushOfBans(ctx, banFor, h.fresh.next(1), outcome{added: 1}); err != nil {
			return cost{}, err
		}
		return h.reassert(ctx, true)
	case thousandMore:
		return h.flushOfBans(ctx, banFor, h.fresh.next(1000), byGroup(1000))
	default:
		panic(k.String())
	}
}

// typical is the try with the median time.
func typical(of []cost) cost {
	sorted := slices.SortedFunc(slices.Values(of), func(a, b cost) int { return cmp.Compare(a.wall, b.wall) })
	return sorted[(len(sorted)-1)/2]
}
