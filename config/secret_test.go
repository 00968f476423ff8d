package config_test

import (
	"bytes"
	"encoding/json"
	"fmt"
	"log/slog"
	"strings"
	"testing"

	"go.yaml.in/yaml/v3"

	"notification-stormshield/config"
)

func TestAPrintedDocumentShowsNoSecret(t *testing.T) {
	doc := parsed(t, with("  ssh_private_key_path: /k", "  ssh_private_key_passphrase: hunter2"))
	var logged bytes.Buffer
	slog.New(slog.NewTextHandler(&logged, nil)).Info("x", "doc", doc, "secret", doc.Stormshield.APIPassword)
	slog.New(slog.NewJSONHandler(&logged, nil)).Info("x", "doc", doc, "secret", doc.Stormshield.APIPassword)
	asJSON, err := json.Marshal(doc)
	if err != nil {
		t.Fatal(err)
	}
	asYAML, err := yaml.Marshal(doc)
	if err != nil {
		t.Fatal(err)
	}
	outputs := []string{logged.String(), string(asJSON), string(asYAML), fmt.Sprint(doc), fmt.Sprint(&doc), fmt.Sprint([]any{doc.Stormshield})}
	for _, verb := range []string{"%v", "%+v", "%#v", "%s", "%q", "%x", "%X", "%d", "%t", "%T"} {
		outputs = append(outputs, fmt.Sprintf(verb, doc), fmt.Sprintf(verb, doc.Stormshield.SSHPassword))
	}
	for _, output := range outputs {
		if strings.Contains(output, someSecret) || strings.Contains(output, fmt.Sprintf("%x", someSecret)) {
			t.Errorf("a secret is in %s", output)
		}
	}
	if !strings.Contains(string(asJSON), "(hidden)") {
		t.Errorf("JSON does not show that there is a secret: %s", asJSON)
	}
}

func TestAPrintedSecretShowsWhetherItIsSet(t *testing.T) {
	if got := config.Secret("").String(); got != "" {
		t.Errorf("an empty secret shows as %q", got)
	}
	if got := config.Secret("x").String(); got != "(hidden)" {
		t.Errorf("a secret shows as %q", got)
	}
}
