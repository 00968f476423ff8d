package main

import (
	"context"
	"crypto/ed25519"
	"encoding/json"
	"encoding/pem"
	"fmt"
	"net/netip"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/crowdsecurity/crowdsec/pkg/protobufs"
	"github.com/hashicorp/go-hclog"
	"github.com/rogpeppe/go-internal/testscript"
	"golang.org/x/crypto/ssh"

	"notification-stormshield/plugin"
	"notification-stormshield/plugin/plugintest"
	"notification-stormshield/stormshield/snstest"
)

func TestMain(m *testing.M) {
	testscript.Main(m, map[string]func(){"crowdsec-stormshield": main})
}

// TestScripts runs testdata/script: the command line as an administrator meets
// it. Each has a simulated appliance of its own, and a configuration for it in
// notification.yaml. Beside testscript's own commands there are:
//
//	configure LINE                 one more line of YAML for the configuration
//	copy FILE OLD NEW              another file with the configuration, in which NEW stands for OLD
//	plugin start|stop              the plugin, as CrowdSec runs it
//	ban PREFIX DURATION            an alert, to the plugin that runs
//	appliance refuse|heal|reboot   what happens to the appliance
//	appliance no-ipv6              it takes no IPv6 address
//	appliance stale                its sessions see a write only after enobject
//	appliance without TOOL         its shell does not find a tool
//	appliance serial NUMBER        another appliance answers, with this serial number and an empty blacklist
//	appliance password PASSWORD    its account has another password from now on
//	appliance old-algorithms       its SSH server knows old algorithms alone
//	host-keys KIND...              its SSH server has these keys, whose fingerprints are $HOST_KEY_KIND
//	lapi serve                     CrowdSec's Local API, under lapi in the configuration from now on
//	lapi list|unlist ADDRESS       what it lists: of an address that was banned by an alert, the decision of that
//	lapi refuse|heal               whether it takes the key
//	key FILE PASSPHRASE            a private key that its SSH account accepts
//	[!] blocked PREFIX             waits until the appliance blocks it, or does not any more
//	json PATH WANT                 looks into the JSON that was printed: .a.0.b
func TestScripts(t *testing.T) {
	testscript.Run(t, testscript.Params{
		Dir: filepath.Join("testdata", "script"),
		Setup: func(env *testscript.Env) error {
			s, err := newStage(env.WorkDir)
			if err != nil {
				return err
			}
			env.Defer(s.close)
			env.Values[stageKey{}] = s
			env.Setenv("HOST", s.sim.Host())
			env.Setenv("SSH_PORT", strconv.Itoa(s.sim.SSHPort()))
			env.Setenv("API_PORT", strconv.Itoa(s.sim.APIPort()))
			env.Setenv("CONFIG_DIR", s.sim.ConfigDir())
			env.Setenv("HOST_KEY", s.sim.HostKeyFingerprint())
			env.Setenv("CERTIFICATE", s.sim.CertificateFingerprint())
			env.Setenv("LAPI", strings.Trim(strings.TrimPrefix(s.local.URL(), "http:"), "/")) // host:port
			env.Setenv("LAPI_KEY", s.local.Key)
			return nil
		},
		Cmds: map[string]func(*testscript.TestScript, bool, []string){
			"configure": onStage((*stage).configureCommand), "copy": onStage((*stage).copyCommand),
			"plugin": onStage((*stage).pluginCommand), "ban": onStage((*stage).banCommand), "appliance": onStage((*stage).applianceCommand),
			"lapi": onStage((*stage).localAPICommand), "key": keyCommand,
			"host-keys": hostKeysCommand, "blocked": blockedCommand, "json": jsonCommand,
		},
		RequireExplicitExec: true,
		RequireUniqueNames:  true,
	})
}

// stage is what a script plays on.
type stage struct {
	sim     *snstest.Appliance
	healthy snstest.Faults
	yaml    string
	file    string         // holds yaml
	plugin  *plugin.Plugin // nil: it does not run
	local   *plugintest.LocalAPI
	decided map[string]string // the UUID of the last alert's decision on an address
}

type stageKey struct{}

func newStage(dir string) (*stage, error) {
	sim, err := snstest.New(snstest.Options{})
	if err != nil {
		return nil, err
	}
	yaml := plugintest.Configuration{
		Name: "test", StateDir: filepath.Join(dir, "state"), UpdateFrequency: time.Second, Debounce: 10 * time.Millisecond,
	}.For(sim).YAML()
	s := &stage{sim: sim, local: plugintest.NewLocalAPI(), decided: map[string]string{}, healthy: sim.Faults(), yaml: yaml, file: filepath.Join(dir, "notification.yaml")}
	if err := os.WriteFile(s.file, []byte(yaml), 0o600); err != nil {
		s.close()
		return nil, err
	}
	return s, nil
}

func (s *stage) close() {
	if s.plugin != nil {
		s.plugin.Close()
	}
	s.local.Close()
	_ = s.sim.Close()
}

// onStage makes a command of a script of what happens on the stage.
func onStage(do func(s *stage, args []string) error) func(*testscript.TestScript, bool, []string) {
	return func(ts *testscript.TestScript, neg bool, args []string) {
		if neg {
			ts.Fatalf("this command cannot be negated")
		}
		ts.Check(do(ts.Value(stageKey{}).(*stage), args))
	}
}

func (s *stage) configureCommand(args []string) error {
	if len(args) != 1 {
		return fmt.Errorf("configure LINE, not %q", args)
	}
	return s.configure(args[0] + "\n")
}

// configure adds to the configuration.
func (s *stage) configure(yaml string) error {
	s.yaml += yaml
	return os.WriteFile(s.file, []byte(s.yaml), 0o600)
}

func (s *stage) copyCommand(args []string) error {
	if len(args) != 3 || !strings.Contains(s.yaml, args[1]) {
		return fmt.Errorf("copy FILE OLD NEW, with an OLD that the configuration holds, not %q", args)
	}
	return os.WriteFile(filepath.Join(filepath.Dir(s.file), args[0]), []byte(strings.ReplaceAll(s.yaml, args[1], args[2])), 0o600)
}

func (s *stage) pluginCommand(args []string) error {
	switch strings.Join(args, " ") {
	case "start":
		s.plugin = plugin.New(plugin.Options{
			Log: hclog.NewNullLogger(), Connect: connect, Started: time.Now().Add(-time.Minute), // old enough to flush at once
		})
		_, err := s.plugin.Configure(context.Background(), &protobufs.Config{Config: []byte(s.yaml)})
		return err
	case "stop":
		s.plugin.Close()
		s.plugin = nil
		return nil
	}
	return fmt.Errorf("plugin start or stop, not %q", args)
}

func (s *stage) banCommand(args []string) error {
	if len(args) != 2 {
		return fmt.Errorf("ban PREFIX DURATION, not %q", args)
	}
	prefix, err := netip.ParsePrefix(args[0])
	if err != nil {
		return err
	}
	lasts, err := time.ParseDuration(args[1])
	if err != nil {
		return err
	}
	alert := plugintest.Ban(lasts, prefix)
	alert.UUID = plugintest.NewUUID()
	s.decided[prefix.Addr().String()] = alert.UUID
	_, err = s.plugin.Notify(context.Background(), &protobufs.Notification{Name: "test", Text: alert.Text()})
	return err
}

func (s *stage) applianceCommand(args []string) error {
	switch {
	case len(args) == 2 && args[0] == "password":
		s.sim.SetPassword(args[1])
		return nil
	case len(args) == 2 && args[0] == "without":
		s.sim.SetFaults(func(f *snstest.Faults) { f.MissingTools = []string{args[1]} })
		return nil
	case len(args) == 2 && args[0] == "serial":
		s.sim.SetFaults(func(f *snstest.Faults) { f.SerialNumber = args[1] })
		return nil
	case len(args) == 3 && args[0] == "rename":
		return s.sim.RenameObject(args[1], args[2])
	case len(args) == 3 && args[0] == "member":
		return s.sim.AdminEdit(snstest.GroupFile, func(text []byte) []byte {
			return fmt.Appendf(text, "[%s]\n%s\n", args[1], args[2])
		})
	case len(args) != 1:
	case args[0] == "refuse":
		s.sim.SetFaults(func(f *snstest.Faults) { f.APIRefuse = true })
		return nil
	case args[0] == "no-ipv6":
		s.sim.SetFaults(func(f *snstest.Faults) { f.NoIPv6 = true })
		return nil
	case args[0] == "old-algorithms":
		s.sim.SetFaults(func(f *snstest.Faults) { f.LegacyAlgorithmsOnly = true })
		return nil
	case args[0] == "stale":
		s.sim.SetFaults(func(f *snstest.Faults) { f.StaleUntilReload = true })
		return nil
	case args[0] == "heal":
		s.sim.SetFaults(func(f *snstest.Faults) { *f = s.healthy })
		return nil
	case args[0] == "reboot":
		s.sim.Reboot()
		return nil
	}
	return fmt.Errorf("appliance refuse, no-ipv6, old-algorithms, stale, heal, reboot, without TOOL, serial NUMBER, rename OBJECT NAME, member GROUP NAME, or password PASSWORD, not %q", args)
}

func hostKeysCommand(ts *testscript.TestScript, neg bool, kinds []string) {
	if neg || len(kinds) == 0 {
		ts.Fatalf("host-keys KIND..., not %q", kinds)
	}
	sim := ts.Value(stageKey{}).(*stage).sim
	sim.SetFaults(func(f *snstest.Faults) { f.HostKeys = kinds })
	for i, key := range sim.HostKeys() {
		ts.Setenv("HOST_KEY_"+kinds[i], ssh.FingerprintSHA256(key))
	}
}

func keyCommand(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) != 2 {
		ts.Fatalf("key FILE PASSPHRASE, not %q", args)
	}
	public, private, err := ed25519.GenerateKey(nil)
	ts.Check(err)
	block, err := ssh.MarshalPrivateKeyWithPassphrase(private, "", []byte(args[1]))
	ts.Check(err)
	ts.Check(os.WriteFile(ts.MkAbs(args[0]), pem.EncodeToMemory(block), 0o600))
	key, err := ssh.NewPublicKey(public)
	ts.Check(err)
	ts.Value(stageKey{}).(*stage).sim.AuthorizeKey(key)
}

func blockedCommand(ts *testscript.TestScript, neg bool, args []string) {
	if len(args) != 1 {
		ts.Fatalf("blocked PREFIX, not %q", args)
	}
	prefix, err := netip.ParsePrefix(args[0])
	ts.Check(err)
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	defer cancel()
	wait := ts.Value(stageKey{}).(*stage).sim.WaitBlocked
	if neg {
		wait = ts.Value(stageKey{}).(*stage).sim.WaitUnblocked
	}
	_, err = wait(ctx, prefix)
	ts.Check(err)
}

// jsonCommand compares one value of the JSON that the last command printed.
func jsonCommand(ts *testscript.TestScript, neg bool, args []string) {
	if len(args) != 2 {
		ts.Fatalf("json PATH WANT, not %q", args)
	}
	var at any
	ts.Check(json.Unmarshal([]byte(ts.ReadFile("stdout")), &at))
	for key := range strings.SplitSeq(strings.Trim(args[0], "."), ".") {
		if key == "" {
			continue
		}
		switch inside := at.(type) {
		case map[string]any:
			value, there := inside[key]
			if !there {
				ts.Fatalf("there is no key %s of %s in what was printed", key, args[0])
			}
			at = value
		case []any:
			n, err := strconv.Atoi(key)
			if key == "length" {
				at = float64(len(inside))
				continue
			}
			ts.Check(err)
			if n >= len(inside) {
				ts.Fatalf("%s: the list has %d values", args[0], len(inside))
			}
			at = inside[n]
		default:
			ts.Fatalf("%s: there is nothing in %v", args[0], at)
		}
	}
	text, err := json.Marshal(at)
	ts.Check(err)
	if got := strings.Trim(string(text), `"`); (got == args[1]) == neg {
		ts.Fatalf("%s is %s", args[0], got)
	}
}
