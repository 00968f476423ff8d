package config

import (
	"fmt"
	"slices"
)

// conflicts returns a fault for each earlier document that the document cannot run beside. line and lines are the lines on
// which the document and the earlier ones begin.
func conflicts(earlier []Document, lines []int, doc Document, line int) []Fault {
	var faults []Fault
	add := func(key, problem, hint string) {
		faults = append(faults, Fault{Line: line, Document: doc.Name, Key: key, Problem: problem, Hint: hint})
	}
	if i := slices.IndexFunc(earlier, func(e Document) bool { return e.Name == doc.Name }); i >= 0 && doc.Name != "" {
		add("name", fmt.Sprintf("is also the name of the document on line %d", lines[i]), "give each its own")
	}
	client := doc.LAPI.ClientID()
	if i := slices.IndexFunc(earlier, func(e Document) bool { return e.LAPI.ClientID() == client }); i >= 0 && client != "" {
		add("lapi.key", fmt.Sprintf("is also that of the document on line %d, and the Local API takes both for one client", lines[i]),
			"give each a key of its own, with `cscli bouncers add`")
	}
	if i := slices.IndexFunc(earlier, func(e Document) bool { return SharedGroup(e, doc) != "" }); i >= 0 && doc.Stormshield.Host != "" {
		add("stormshield.group", fmt.Sprintf("holds %s on the appliance at %s, as does %s on line %d: each would remove the other's bans",
			SharedGroup(earlier[i], doc), doc.Stormshield.Host, earlier[i].Name, lines[i]),
			"give each a group and a delete_group of its own, or remove one of the documents")
	}
	if i := slices.IndexFunc(earlier, func(e Document) bool { return SharesRule(e, doc) }); i >= 0 && doc.Stormshield.Host != "" {
		add("stormshield.rule.name", fmt.Sprintf("is %s on the appliance at %s, as in %s on line %d", doc.Stormshield.Rule.Name,
			doc.Stormshield.Host, earlier[i].Name, lines[i]), "give each rule a name of its own")
	}
	if i := slices.IndexFunc(earlier, func(e Document) bool { return MayFlushAtOnce(e, doc) }); i >= 0 && doc.Stormshield.Host != "" {
		add("stormshield.host", fmt.Sprintf("is %s, as in %s on line %d, and one of the two shares its state with other machines, "+
			"so that two machines could flush at once", doc.Stormshield.Host, earlier[i].Name, lines[i]),
			"keep one document for this appliance, or remove state_url from both")
	}
	if i := slices.IndexFunc(earlier, func(e Document) bool { return doc.Prometheus.Disagrees(e.Prometheus) }); i >= 0 {
		add("prometheus", fmt.Sprintf("names another listener than the document on line %d, and one process has one listener", lines[i]),
			"write the same listen_addr, listen_port and web_config_path in both documents")
	}
	return faults
}
