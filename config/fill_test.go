package config_test

import (
	"reflect"
	"strings"
	"testing"

	"github.com/rogpeppe/go-internal/diff"

	"notification-stormshield/config"
)

// answered is a document with all answers of setup.
func answered(t *testing.T) config.Document {
	d := parsed(t, identified())
	d.Name, d.StateDir = "sns-paris.2", "/srv/it's state"
	d.Decisions.NeverBlock = append(d.Decisions.NeverBlock, "198.51.100.7", "2001:db8::/48")
	d.LAPI.URL, d.LAPI.Key = "http://127.0.0.1:8080/", "it's a key"
	s := &d.Stormshield
	s.Host, s.SSHPort, s.SSHUsername, s.ConfigDir = "2001:db8::1", 2222, "o'brien: #1", "/data/Other"
	s.SSHPassword, s.APIPassword = "it's # 'all' \\n \"quoted\" $1 ${2} é", "0443"
	s.SSHPrivateKeyPath, s.SSHLegacyAlgorithms = "/etc/crowdsec/key", true
	s.APIPort, s.APIUsername = 4443, "yes"
	s.Enforce, s.Rule.Action, s.Rule.Slot, s.Rule.Activate, s.Rule.ActivateEvery = "rule", "log", 10, []string{}, 0
	return d
}

func TestAFilledSampleIsReadAsTheSameDocument(t *testing.T) {
	withKey := parsed(t, identified())
	withKey.Stormshield.SSHPassword, withKey.Stormshield.SSHPrivateKeyPath = "", "/etc/crowdsec/key"
	without := parsed(t, sampleWithoutSSH())
	limited := without
	limited.Decisions.MaxBans = config.Default().Decisions.MaxBans
	for name, want := range map[string]config.Document{
		"everything": answered(t), "the least": parsed(t, identified()), "a key and no password": withKey, "without SSH": without, "without SSH, with a limit": limited,
	} {
		got, err := config.ParseOne([]byte(config.FillSample(want)))
		if err != nil || !reflect.DeepEqual(got, want) {
			t.Errorf("%s: %v\ngot  %+v\nwant %+v", name, err, got, want)
		}
	}
}

func TestAFilledSampleNamesTheFilesOfSecrets(t *testing.T) {
	want := answered(t)
	want.LAPI.Key, want.LAPI.APIKeyPath = "", "/secrets/key"
	s := &want.Stormshield
	s.SSHPassword, s.SSHPasswordPath, s.APIPassword, s.APIPasswordPath = "", "/secrets/ssh", "", "/secrets/it's"
	s.SSHPrivateKeyPassphrasePath = "/secrets/passphrase"
	got, err := config.ParseOne([]byte(config.FillSample(want)))
	if err != nil || !reflect.DeepEqual(got, want) {
		t.Errorf("%v\ngot  %+v\nwant %+v", err, got, want)
	}
}

func TestFillSampleChangesOnlyTheLinesOfAnswers(t *testing.T) {
	was, is := strings.Split(config.Sample(), "\n"), strings.Split(config.FillSample(answered(t)), "\n")
	if len(was) != len(is) {
		t.Fatalf("%d lines have become %d", len(was), len(is))
	}
	changed := 0
	for i := range was {
		if was[i] != is[i] {
			changed++
		}
	}
	if changed != 22 {
		t.Errorf("%d lines changed:\n%s", changed, diff.Diff("sample", []byte(config.Sample()), "filled", []byte(config.FillSample(answered(t)))))
	}
}

func TestFillSampleKeepsDefaultsAsComments(t *testing.T) {
	text := config.FillSample(parsed(t, identified()))
	for _, line := range []string{"\nname: stormshield_default\n", "\n  # ssh_port: 22\n", "\n  # never_block: [loopback", "\n# state_dir: /var/lib", "\n  # ssh_private_key_path: \"\"\n", "\n  # ssh_legacy_algorithms: false\n"} {
		if !strings.Contains(text, line) {
			t.Errorf("without %q:\n%s", line, text)
		}
	}
}

func FuzzAFilledSampleIsReadAsTheSameDocumentOrRefused(f *testing.F) {
	f.Add("192.0.2.1", "admin", "secret")
	f.Add("host\nhost: evil", "a'b", "'\u2028\u0085\x00")
	f.Fuzz(func(t *testing.T, host, account, password string) {
		want := parsed(t, identified())
		s := &want.Stormshield
		s.Host, s.SSHUsername, s.SSHPassword, s.APIPassword = host, account, config.Secret(password), config.Secret(password)
		got, err := config.ParseOne([]byte(config.FillSample(want)))
		if want.Validate() != nil || err != nil {
			return
		}
		// YAML folds a line separator within quotes. The caller of FillSample reads its file again and finds that.
		if !strings.ContainsAny(account+password, "\u2028\u2029") && got.Stormshield.SSHPassword != s.SSHPassword {
			t.Errorf("%q is read as %q", password, got.Stormshield.SSHPassword.Reveal())
		}
		if got.Stormshield.Host != s.Host || got.Name != want.Name || got.Stormshield.SSHHostKey != s.SSHHostKey {
			t.Errorf("one value changed another: %+v", got)
		}
	})
}
