package main

import (
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/netip"

	"notification-stormshield/stormshield/snstest"
)

// policies are the filter policies. Their lines have the form of snstest.Appliance.SetPolicy.
type policies struct {
	Active  int            `json:"active"`
	Slots   map[int]policy `json:"slots"`
	Running []string       `json:"running"`
}

type policy struct {
	Activated []string `json:"activated"`
	Edited    []string `json:"edited"` // the copy that administrators edit
}

func policiesOf(a *snstest.Appliance) policies {
	p := policies{a.ActiveSlot(), map[int]policy{}, a.RunningPolicy()}
	for number := 1; number <= snstest.Slots; number++ {
		p.Slots[number] = policy{a.Policy(number), a.EditedPolicy(number)}
	}
	return p
}

// policyChange is the body of a POST.
type policyChange struct {
	Slot  int      `json:"slot"`
	Lines []string `json:"lines"`
}

func policyChanges(a *snstest.Appliance) map[string]func(policyChange) error {
	return map[string]func(policyChange) error{
		"/policy": func(c policyChange) error { return a.SetPolicy(c.Slot, c.Lines...) },
		"/policy/edit": func(c policyChange) error {
			return a.AdminEditPolicy(c.Slot, func([]string) []string { return c.Lines })
		},
		"/policy/activate": func(c policyChange) error { return a.AdminActivatePolicy(c.Slot) },
	}
}

func changePolicy(body io.Reader, do func(policyChange) error) error {
	var c policyChange
	if err := decode(body, &c); err != nil {
		return err
	}
	return do(c)
}

func answerPacket(w http.ResponseWriter, r *http.Request, a *snstest.Appliance) {
	source, err := netip.ParseAddr(r.URL.Query().Get("source"))
	destination, err2 := netip.ParseAddr(r.URL.Query().Get("destination"))
	if err = errors.Join(err, err2); err != nil {
		http.Error(w, fmt.Sprintf("packet from %q to %q: %v", r.URL.Query().Get("source"), r.URL.Query().Get("destination"), err), http.StatusBadRequest)
		return
	}
	reply(w, a.Packet(source, destination))
}
