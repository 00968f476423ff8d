package main

import (
	"errors"
	"fmt"
	"io/fs"
	"strings"

	"notification-stormshield/config"
	"notification-stormshield/crowdsec"
	"notification-stormshield/stormshield"
)

// lookAtFiles looks at what CrowdSec makes of the notification. It is to be called
// before check gives up root, since CrowdSec's files may be root's alone.
func (c checking) lookAtFiles(file string, d config.Document) []stormshield.Finding {
	findings := lookAtReferences(d.References)
	if c.unnamed {
		return findings
	}
	place, err := crowdsec.Load(c.crowdsec)
	if errors.Is(err, fs.ErrNotExist) || err == nil && !place.Reads(file) {
		return findings // the file is not that CrowdSec's
	}
	return append(findings, lookAtProfiles(place, err, d))
}

// lookAtReferences says which values hold a $; nothing if none does.
func lookAtReferences(references []config.Reference) []stormshield.Finding {
	if len(references) == 0 {
		return nil
	}
	f := stormshield.Finding{Subject: "values with a $", Assumed: "CrowdSec hands over what the file says, or what a variable holds that is the whole value"}
	var details []string
	for _, r := range references {
		switch {
		case r.Changed && !r.Whole:
			f.Verdict = stormshield.Differs
			f.Hint = "if the $ belongs to the value, put a secret into a file of its own: " + secretPathKeys
			details = append(details, r.Key+" is changed: CrowdSec puts the environment in for a name behind a $")
		case r.Changed:
			details = append(details, r.Key+" comes from the environment")
		default:
			details = append(details, r.Key+" holds a $, and no variable of that name is set here; CrowdSec's own environment counts")
		}
	}
	f.Detail = strings.Join(details, "; ")
	return []stormshield.Finding{f}
}

// secretPathKeys are the keys that name the files of secrets.
const secretPathKeys = "ssh_password_path, ssh_private_key_passphrase_path, api_password_path, api_key_path"

// lookAtProfiles says whether a profile sends the notification decisions to block.
func lookAtProfiles(place crowdsec.Config, failed error, d config.Document) stormshield.Finding {
	f := stormshield.Finding{Subject: "CrowdSec's profiles", Assumed: "a profile whose decisions block names the notification"}
	if failed == nil && !place.LocalAPI {
		failed = fmt.Errorf("the Local API, which alone has profiles, does not run here, says %s", place.File)
	}
	var naming crowdsec.Naming
	if failed == nil {
		naming, failed = place.Naming(d.Name, d.Decisions.Types)
	}
	types := strings.Join(d.Decisions.Types, ", ")
	switch idle := strings.Join(naming.Idle, ", "); {
	case failed != nil:
		f.Verdict, f.Detail = stormshield.Untried, failed.Error()
	case len(naming.Deciding) > 0:
		f.Detail = strings.Join(naming.Deciding, ", ")
		if idle != "" {
			f.Detail += "; decide nothing of type " + types + ": " + idle
		}
	case idle == "":
		f.Verdict = stormshield.Wrong
		f.Err = fmt.Errorf("no profile of %s names %s, so CrowdSec sends it nothing", place.ProfilesPath, d.Name)
		f.Hint = "add " + d.Name + " under notifications: of the profiles whose decisions block, and reload CrowdSec"
	default:
		what := fmt.Sprintf("only profiles that decide nothing of type %s name %s in %s: %s", types, d.Name, place.ProfilesPath, idle)
		f.Hint = "add " + d.Name + " under notifications: of the profiles whose decisions block, and reload CrowdSec; " +
			"no profile with on_success: break may stand before them for the same alerts"
		if d.LAPI.Followed() {
			f.Verdict, f.Detail = stormshield.Differs, what+"; bans come by the Local API alone, later than by alerts"
			break
		}
		f.Verdict, f.Err = stormshield.Wrong, errors.New(what)
	}
	return f
}

// hintAtReferences adds to the hint of a refused login that CrowdSec changes its
// secret.
func hintAtReferences(findings []stormshield.Finding, references []config.Reference) {
	sections := map[string]string{"API login": "stormshield.api_", "SSH login": "stormshield.ssh_"}
	for i := range findings {
		f := &findings[i]
		if failure, failed := stormshield.LoginFailed(f.Err); !failed || failure.Temporary {
			continue
		}
		for _, r := range references {
			if prefix := sections[f.Subject]; prefix != "" && strings.HasPrefix(r.Key, prefix) {
				f.Hint += "; " + r.Key + " holds a $, for which CrowdSec may put something else: a file avoids that (" + secretPathKeys + ")"
			}
		}
	}
}
