package crowdsec_test

import (
	"errors"
	"fmt"
	"io/fs"
	"path/filepath"
	"testing"

	"notification-stormshield/crowdsec"
)

func TestNamingSeparatesProfilesWithAndWithoutDecisions(t *testing.T) {
	const none, bans, captcha = "name: none\nnotifications: [t]\n", "name: bans\ndecisions: [{type: Ban}]\nnotifications: [t]\n", "name: captcha\ndecisions: [{type: captcha}]\nnotifications: [t]\n"
	const silent = "name: silent\ndecisions: [{type: ban}]\n"
	for title, c := range map[string]struct {
		text, local    string
		deciding, idle string
	}{
		"nowhere":                         {text: silent, deciding: "[]", idle: "[]"},
		"in a profile that bans":          {text: bans, deciding: "[bans]", idle: "[]"},
		"in one without decisions":        {text: none + "on_success: break\n---\n" + silent, deciding: "[]", idle: "[none]"},
		"in one with other types":         {text: captcha + "---\n" + silent, deciding: "[]", idle: "[captcha]"},
		"in both":                         {text: none + "---\n" + bans, deciding: "[bans]", idle: "[none]"},
		"behind one that bans":            {text: silent + "---\n" + none, deciding: "[none]", idle: "[]"},
		"behind one that bans and breaks": {text: silent + "on_success: break\n---\n" + none, deciding: "[]", idle: "[none]"},
		"in the file .local, before":      {text: silent, local: none, deciding: "[]", idle: "[none]"},
		"behind the file .local":          {text: none, local: silent, deciding: "[none]", idle: "[]"},
		"without a name":                  {text: "decisions: [{type: ban}]\nnotifications: [t]\n", deciding: "[number 1]", idle: "[]"},
	} {
		t.Run(title, func(t *testing.T) {
			files := map[string]string{"profiles.yaml": c.text}
			if c.local != "" {
				files["profiles.yaml.local"] = c.local
			}
			config := crowdsec.Config{ProfilesPath: filepath.Join(folder(t, files), "profiles.yaml")}
			got, err := config.Naming("t", []string{"ban"})
			if err != nil || fmt.Sprint(got.Deciding) != c.deciding || fmt.Sprint(got.Idle) != c.idle {
				t.Errorf("naming %+v, want deciding %s and idle %s: %v", got, c.deciding, c.idle, err)
			}
		})
	}
}

func TestNamingNamesAFileThatItCannotRead(t *testing.T) {
	config := crowdsec.Config{ProfilesPath: filepath.Join(t.TempDir(), "profiles.yaml")}
	if _, err := config.Naming("t", nil); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("missing: %v", err)
	}
	config.ProfilesPath = filepath.Join(folder(t, map[string]string{"profiles.yaml": "a: ["}), "profiles.yaml")
	if _, err := config.Naming("t", nil); err == nil {
		t.Error("no YAML is no error")
	}
}
