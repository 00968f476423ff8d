package main

import (
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"notification-stormshield/appliance"
)

func TestTheHintAboutARefusedPasswordNamesTheDollarSign(t *testing.T) {
	file := filepath.Join(t.TempDir(), "secret")
	if err := os.WriteFile(file, []byte("wrong"), 0o600); err != nil {
		t.Fatal(err)
	}
	for title, c := range map[string]struct {
		keys  map[string]string
		hints bool
	}{
		"API, in the YAML": {map[string]string{"api_password": "wrong"}, true},
		"API, in a file":   {map[string]string{"api_password": "", "api_password_path": file}, false},
		"SSH, in the YAML": {map[string]string{"ssh_password": "wrong"}, true},
		"SSH, in a file":   {map[string]string{"ssh_password": "", "ssh_password_path": file}, false},
	} {
		t.Run(title, func(t *testing.T) {
			h := newHarness(t)
			h.write(h.yaml(c.keys))
			d := h.document()
			if err := d.ReadSecrets(); err != nil {
				t.Fatal(err)
			}
			err := connect(d).Check(t.Context())
			var refused *appliance.LoginError
			if !errors.As(err, &refused) || strings.Contains(refused.Hint, "if the password holds a $, CrowdSec may have changed it") != c.hints {
				t.Errorf("err = %v, %+v", err, refused)
			}
		})
	}
}
