package config_test

import (
	"reflect"
	"strings"
	"testing"

	"notification-stormshield/config"
)

func TestAClientCertificateReplacesThePasswordForTheAPI(t *testing.T) {
	doc := parsed(t, with("  api_password: ''", "  api_client_cert_path: /c", "  api_client_key_path: /k"))
	if s := doc.Stormshield; s.APIClientCertPath != "/c" || s.APIClientKeyPath != "/k" || s.APIPassword != "" {
		t.Errorf("parsed %+v", s)
	}
	want := parsed(t, identified())
	want.Stormshield.APIPassword, want.Stormshield.APIClientCertPath, want.Stormshield.APIClientKeyPath = "", "/c", "/k"
	if got, err := config.ParseOne([]byte(config.FillSample(want))); err != nil || !reflect.DeepEqual(got, want) {
		t.Errorf("a filled sample: %v\ngot  %+v\nwant %+v", err, got, want)
	}
}

func TestParseRefusesAClientCertificateThatIsNotTheOnlyOneOrNotWhole(t *testing.T) {
	const certificate, key = "  api_client_cert_path: /c", "  api_client_key_path: /k"
	for name, c := range map[string]struct {
		lines     []string
		key, says string
	}{
		"and a password":           {[]string{certificate, key}, "api_client_cert_path", "is set, and so is a password for the API; remove"},
		"and a password in a file": {[]string{"  api_password: ''", "  api_password_path: /p", certificate, key}, "api_client_cert_path", "is set, and so is a password for the API; remove"},
		"without a key":            {[]string{"  api_password: ''", certificate}, "api_client_key_path", "and api_client_cert_path belong together"},
		"without a certificate":    {[]string{"  api_password: ''", key}, "api_client_key_path", "and api_client_cert_path belong together"},
		"a relative path":          {[]string{"  api_password: ''", "  api_client_cert_path: c", key}, "api_client_cert_path", "is not an absolute path"},
		"neither":                  {[]string{"  api_password: ''"}, "api_password", "is empty, and so are api_password_path and api_client_cert_path"},
	} {
		_, err := config.ParseOne([]byte(with(c.lines...)))
		faults := faultsOf(t, err)
		if len(faults) != 1 || faults[0].Key != "stormshield."+c.key || !strings.Contains(faults[0].String(), c.says) || strings.Contains(err.Error(), someSecret) {
			t.Errorf("%s: %v", name, err)
		}
	}
}
