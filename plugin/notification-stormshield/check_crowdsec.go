package main

import (
	"errors"
	"fmt"
	"io/fs"
	"strings"

	"notification-stormshield/appliance"
	"notification-stormshield/config"
	"notification-stormshield/crowdsec"
	"notification-stormshield/stormshield/acceptance"
)

// checkFiles compares the notification with CrowdSec's own files. Only root may be able to read these files.
func checkFiles(o checkOptions, d config.Document) []acceptance.Finding {
	findings := checkReferences(d.References)
	if o.unnamed {
		return findings
	}
	c, err := crowdsec.Load(o.crowdsec)
	if errors.Is(err, fs.ErrNotExist) || err == nil && !c.Reads(o.file) {
		return findings // this CrowdSec does not read the document's file
	}
	return append(findings, checkProfiles(c, err, d))
}

// checkReferences names the values that hold a $. It returns nothing if there are none.
func checkReferences(references []config.Reference) []acceptance.Finding {
	if len(references) == 0 {
		return nil
	}
	f := acceptance.Finding{
		Subject: "values with a $",
		Assumed: "CrowdSec passes each value on as it is in the file, or replaces the whole value by one variable",
	}
	var details []string
	for _, r := range references {
		switch {
		case r.Changed && !r.Whole:
			f.Verdict = acceptance.Differs
			f.Hint = "if the $ belongs to the secret, put the secret into a file: " + secretPathKeys
			details = append(details, "CrowdSec changes "+r.Key+": it replaces a $ and the name behind it by a variable")
		case r.Changed:
			details = append(details, r.Key+" comes from the environment")
		default:
			details = append(details, r.Key+" holds a $, and this environment has no variable of that name; CrowdSec's environment may have one")
		}
	}
	f.Detail = strings.Join(details, "; ")
	return []acceptance.Finding{f}
}

// secretPathKeys are the keys that name the files of secrets.
const secretPathKeys = "ssh_password_path, ssh_private_key_passphrase_path, api_password_path, api_key_path"

// checkProfiles reports whether a profile with decisions that block names the notification. failed is the error of
// reading CrowdSec's configuration.
func checkProfiles(c crowdsec.Config, failed error, d config.Document) acceptance.Finding {
	f := acceptance.Finding{Subject: "CrowdSec's profiles", Assumed: "a profile whose decisions block names the notification"}
	if failed == nil && !c.LocalAPI {
		failed = fmt.Errorf("no Local API runs on this machine according to %s, and only a Local API has profiles", c.File)
	}
	var naming crowdsec.Naming
	if failed == nil {
		naming, failed = c.Naming(d.Name, d.Decisions.Types)
	}
	types := strings.Join(d.Decisions.Types, ", ")
	switch idle := strings.Join(naming.Idle, ", "); {
	case failed != nil:
		f.Verdict, f.Detail = acceptance.Untried, failed.Error()
	case len(naming.Deciding) > 0:
		f.Detail = strings.Join(naming.Deciding, ", ")
		if idle != "" {
			f.Detail += "; decide nothing of type " + types + ": " + idle
		}
	case idle == "":
		f.Verdict = acceptance.Wrong
		f.Err = fmt.Errorf("no profile in %s names %s, so CrowdSec sends it no alerts", c.ProfilesPath, d.Name)
		f.Hint = "add " + d.Name + " under notifications: of the profiles whose decisions block, and reload CrowdSec"
	default:
		problem := fmt.Sprintf("only profiles that decide nothing of type %s name %s in %s: %s", types, d.Name, c.ProfilesPath, idle)
		f.Hint = "add " + d.Name + " under notifications: of the profiles whose decisions block, and reload CrowdSec; " +
			"no profile with on_success: break may stand before them for the same alerts"
		if d.LAPI.Followed() {
			f.Verdict, f.Detail = acceptance.Differs, problem+"; bans arrive only by the Local API, later than by alerts"
			break
		}
		f.Verdict, f.Err = acceptance.Wrong, errors.New(problem)
	}
	return f
}

// hintAtReferences adds to the hint of a refused login that CrowdSec may change its secret.
func hintAtReferences(findings []acceptance.Finding, references []config.Reference) {
	sections := map[string]string{"API login": "stormshield.api_", "SSH login": "stormshield.ssh_"}
	for i := range findings {
		f := &findings[i]
		var login *appliance.LoginError
		if !errors.As(f.Err, &login) || login.Temporary {
			continue
		}
		for _, r := range references {
			if prefix := sections[f.Subject]; prefix != "" && strings.HasPrefix(r.Key, prefix) {
				f.Hint += "; " + r.Key + " holds a $, which CrowdSec may replace: put the secret into a file (" + secretPathKeys + ")"
			}
		}
	}
}
