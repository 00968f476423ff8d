package main

import (
	"fmt"
	"net/netip"
	"slices"
	"strings"
	"time"
)

// state is what is not as it must be, at one moment.
type state struct {
	missing []string // must be blocked, and is not, or the files do not say so
	unended []string // is blocked, or named in the files, and must not be
	gone    []string // lines of the administrator's
	strange []string // lines and files that nobody wants
}

func (s state) well() bool {
	return len(s.missing)+len(s.unended)+len(s.gone)+len(s.strange) == 0
}

func (s state) report(f *findings) {
	f.bans += len(s.missing)
	f.unended += len(s.unended)
	f.lines += len(s.gone)
	f.other += len(s.strange)
	for _, of := range []struct {
		what string
		list []string
	}{{"lost", s.missing}, {"not ended", s.unended}, {"the administrator's lines", s.gone}, {"left", s.strange}} {
		if n := len(of.list); n > 0 {
			f.notef("%s: %d, %s", of.what, n, strings.Join(of.list[:min(n, 5)], ", "))
		}
	}
}

// look compares the appliance with the truth.
func (w *world) look(now time.Time) (s state) {
	blocked := map[netip.Prefix]bool{}
	for _, e := range w.appliance.Blacklist() {
		blocked[e.Source] = true
		if !w.truth.may(e.Source, now) {
			s.unended = append(s.unended, e.Source.String()+" is blocked")
		}
	}
	text := string(w.appliance.Read("objectgroup"))
	listed, hosts := members(text, "Crowdsec"), defined(string(w.appliance.Read("object")))
	has := func(names []string) map[string]bool {
		set := map[string]bool{}
		for _, name := range names {
			set[name] = true
		}
		return set
	}
	inGroup, inObject := has(listed), has(hosts)
	if len(inGroup) != len(listed) || len(inObject) != len(hosts) {
		s.strange = append(s.strange, "names that stand twice")
	}
	allowed := map[string]bool{}
	for p := range w.truth.doubtful {
		allowed[object(p)] = w.truth.may(p, now)
	}
	for p := range w.truth.until {
		name := object(p)
		allowed[name] = w.truth.may(p, now)
		if !w.truth.must(p, now) {
			continue
		}
		for where, is := range map[string]bool{"the blacklist": blocked[p], "the group": inGroup[name], "object": inObject[name]} {
			if !is {
				s.missing = append(s.missing, fmt.Sprintf("%s in %s", p, where))
			}
		}
	}
	for _, name := range slices.Concat(listed, hosts) {
		if !allowed[name] && !w.kept[name] && !w.truth.anything {
			s.unended = append(s.unended, name+" in the files")
		}
	}
	for _, name := range members(text, "CrowdsecDeleteGroup") {
		s.unended = append(s.unended, name+" in the group of ended bans")
	}
	s.gone, s.strange = w.differs(s.strange)
	return s
}

// differs adds what is wrong with the lines of others.
func (w *world) differs(strange []string) (gone, all []string) {
	gone, unknown := w.administrator.lost()
	all = append(strange, unknown...)
	for _, name := range w.appliance.Leftovers() {
		all = append(all, "left in the folder: "+name)
	}
	if !w.broken {
		all = append(all, w.appliance.Problems()...)
	}
	return gone, all
}
