package main

import (
	"cmp"
	"context"
	"crypto/ed25519"
	"encoding/json"
	"encoding/pem"
	"errors"
	"flag"
	"fmt"
	"net"
	"net/netip"
	"os"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/crowdsecurity/crowdsec/pkg/protobufs"
	"github.com/hashicorp/go-hclog"
	"github.com/rogpeppe/go-internal/testscript"
	"golang.org/x/crypto/ssh"

	"notification-stormshield/plugin"
	"notification-stormshield/plugin/lease"
	"notification-stormshield/plugin/plugintest"
	"notification-stormshield/stormshield/snstest"
)

func TestMain(m *testing.M) {
	// With the race detector, each process that a test starts would sleep for a second at its end.
	_ = os.Setenv("GORACE", "atexit_sleep_ms=0 "+os.Getenv("GORACE"))
	_ = flag.Set("test.parallel", "8") // most tests wait more than they work
	testscript.Main(m, map[string]func(){"crowdsec-stormshield": main})
}

// TestScripts runs the scripts in testdata/script: the command line as an administrator uses it. Each script has a
// simulated appliance, and a configuration for it in notification.yaml. These commands exist beside testscript's own:
//
//	configure LINE                 adds a line of YAML to the configuration
//	remove-ssh                     removes the credential for SSH from the configuration, and switches SSH off on the appliance
//	copy FILE OLD NEW              copies the configuration to a file and replaces OLD by NEW there
//	plugin start [FILE]|stop       starts the plugin with the configuration or with that in a file, or stops it
//	ban PREFIX DURATION            sends an alert to the plugin
//	appliance refuse|heal|reboot   the API refuses connections; all faults end; a reboot
//	appliance no-ipv6              the appliance accepts no IPv6 address
//	appliance stale                a session sees a changed file only after enobject
//	appliance without TOOL         the shell does not find a tool
//	appliance serial NUMBER        another appliance answers, with this serial number and an empty blacklist
//	appliance password PASSWORD    changes the password of the account
//	appliance old-algorithms       the SSH server knows only old algorithms
//	appliance rename OBJECT NAME   renames an object
//	appliance member GROUP NAME    adds a group with one member
//	appliance policy LINE...       the active policy has these lines, and one more that blocks everything
//	appliance edit LINE            an administrator adds a line at the end of the policy, and does not activate it
//	appliance modify taken|free    an administrator takes the configuration right, or gives it back
//	host-keys KIND...              gives the SSH server these keys; their fingerprints are in $HOST_KEY_KIND
//	lapi serve                     adds the Local API to the configuration
//	lapi add|delete ADDRESS        adds or deletes a decision, with the UUID of the last alert on the address
//	lapi refuse|heal               the Local API refuses its key, or accepts it again
//	key FILE PASSPHRASE            makes a private key that the SSH account accepts
//	packet SOURCE ACTION           waits until a packet of this address meets pass, block or reset
//	listening ADDRESS              waits until a program listens at an address
//	[!] blocked PREFIX             waits until the appliance blocks a prefix, or does not block it
//	await FILE REGEXP              waits until the text of a file matches
//	json PATH WANT                 compares one value of the JSON that was printed: .a.0.b
func TestScripts(t *testing.T) {
	runScripts(t, "script", func(*script, *testscript.Env) error { return nil })
}

// runScripts runs the scripts in a folder of testdata. more adds what they need beside an appliance.
func runScripts(t *testing.T, folder string, more func(*script, *testscript.Env) error) {
	testscript.Run(t, testscript.Params{
		Dir: filepath.Join("testdata", folder),
		Setup: func(env *testscript.Env) error {
			s, err := newScript(env.WorkDir)
			if s != nil {
				env.Defer(s.close)
			}
			if err != nil {
				return err
			}
			env.Values[scriptKey{}] = s
			env.Setenv("GORACE", os.Getenv("GORACE"))
			env.Setenv("HOST", s.Appliance.Host())
			env.Setenv("SSH_PORT", strconv.Itoa(s.Appliance.SSHPort()))
			env.Setenv("API_PORT", strconv.Itoa(s.Appliance.APIPort()))
			env.Setenv("CONFIG_DIR", s.Appliance.ConfigDir())
			env.Setenv("HOST_KEY", s.Appliance.HostKeyFingerprint())
			env.Setenv("CERTIFICATE", s.Appliance.CertificateFingerprint())
			env.Setenv("LAPI", strings.Trim(strings.TrimPrefix(s.LocalAPI.URL(), "http:"), "/")) // host:port
			env.Setenv("LAPI_KEY", s.LocalAPI.Key)
			env.Setenv("METRICS_HOST", plugintest.NewPrometheus().ListenAddr)
			return more(s, env)
		},
		Cmds: map[string]func(*testscript.TestScript, bool, []string){
			"configure": withScript((*script).configureCommand), "remove-ssh": withScript((*script).removeSSHCommand), "copy": withScript((*script).copyCommand),
			"plugin": withScript((*script).pluginCommand), "ban": withScript((*script).banCommand), "appliance": withScript((*script).applianceCommand),
			"lapi": withScript((*script).localAPICommand), "key": keyCommand, "listening": listeningCommand,
			"host-keys": hostKeysCommand, "blocked": blockedCommand, "packet": packetCommand, "json": jsonCommand,
			"await": awaitCommand, "database": withScript((*script).databaseCommand), "machine": withScript((*script).machineCommand),
		},
		RequireExplicitExec: true,
		RequireUniqueNames:  true,
	})
}

// script is the harness of one script. The plugin runs in this process.
type script struct {
	*plugintest.Harness
	healthy snstest.Faults
	yaml    string
	plugin  *plugin.Plugin    // nil: it does not run
	uuids   map[string]string // of the last alert's decision on an address
	// Only the scripts about a shared state have a database.
	postgres *plugintest.Postgres
	database string
	machines map[string]*plugin.Plugin // the plugins of other machines, by their names
}

type scriptKey struct{}

func newScript(folder string) (*script, error) {
	h, err := plugintest.New(plugintest.Options{
		Folder: folder, Configuration: plugintest.Configuration{Name: "test", UpdateFrequency: time.Second, Debounce: 10 * time.Millisecond},
	})
	if err != nil {
		return nil, err
	}
	h.StartLocalAPI()
	s := &script{Harness: h, healthy: h.Appliance.Faults(), uuids: map[string]string{}, machines: map[string]*plugin.Plugin{}}
	return s, s.configure(h.Configuration.YAML())
}

func (s *script) close() {
	if s.plugin != nil {
		s.plugin.Close()
	}
	for _, p := range s.machines {
		p.Close()
	}
	s.Close()
}

// withScript makes a script's command from a method of the harness.
func withScript(do func(s *script, args []string) error) func(*testscript.TestScript, bool, []string) {
	return func(ts *testscript.TestScript, neg bool, args []string) {
		if neg {
			ts.Fatalf("this command cannot be negated")
		}
		ts.Check(do(ts.Value(scriptKey{}).(*script), args))
	}
}

func (s *script) configureCommand(args []string) error {
	if len(args) != 1 {
		return fmt.Errorf("configure LINE, not %q", args)
	}
	return s.configure(args[0] + "\n")
}

// configure adds to the configuration.
func (s *script) configure(yaml string) error {
	s.yaml += yaml
	return os.WriteFile(filepath.Join(s.Folder, "notification.yaml"), []byte(s.yaml), 0o600)
}

func (s *script) removeSSHCommand(args []string) error {
	credential := fmt.Sprintf("  ssh_password: %s\n", s.Configuration.SSHPassword)
	if len(args) != 0 || !strings.Contains(s.yaml, credential) {
		return fmt.Errorf("remove-ssh, once, in a configuration with %q", credential)
	}
	s.yaml = strings.Replace(s.yaml, credential, "", 1)
	s.healthy.SSHRefuse = true
	s.Appliance.SetFaults(func(f *snstest.Faults) { f.SSHRefuse = true })
	return s.configure("")
}

func (s *script) copyCommand(args []string) error {
	if len(args) != 3 || !strings.Contains(s.yaml, args[1]) {
		return fmt.Errorf("copy FILE OLD NEW, where the configuration contains OLD, not %q", args)
	}
	return os.WriteFile(filepath.Join(s.Folder, args[0]), []byte(strings.ReplaceAll(s.yaml, args[1], args[2])), 0o600)
}

func (s *script) pluginCommand(args []string) error {
	switch usage := strings.Join(args, " "); {
	case usage == "start":
		var err error
		s.plugin, err = startPlugin(s.yaml)
		return err
	case len(args) == 2 && args[0] == "start":
		text, err := os.ReadFile(filepath.Join(s.Folder, args[1]))
		if err == nil {
			s.plugin, err = startPlugin(string(text))
		}
		return err
	case usage == "stop":
		s.plugin.Close()
		s.plugin = nil
		return awaitFreeLease(filepath.Join(s.Configuration.StateDir, s.Configuration.Name+".lock"))
	}
	return fmt.Errorf("plugin start, start FILE or stop, not %q", args)
}

// startPlugin starts a plugin that is old enough to flush at once.
func startPlugin(yaml string) (*plugin.Plugin, error) {
	p := plugin.New(plugin.Options{Log: hclog.NewNullLogger(), Connect: connect, Started: time.Now().Add(-time.Minute)})
	_, err := p.Configure(context.Background(), &protobufs.Config{Config: []byte(yaml)})
	return p, err
}

// awaitFreeLease waits until no process has the lock of the lease. A process that another script starts at this moment has a copy of
// the lock until it runs its program.
func awaitFreeLease(path string) error {
	for deadline := time.Now().Add(30 * time.Second); ; time.Sleep(time.Millisecond) {
		pid, err := lease.Holder(path)
		if err == nil && pid == 0 {
			return nil
		}
		if time.Now().After(deadline) {
			return cmp.Or(err, fmt.Errorf("process %d still holds the lease", pid))
		}
	}
}

func (s *script) banCommand(args []string) error {
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
	s.uuids[prefix.Addr().String()] = alert.UUID
	_, err = s.plugin.Notify(context.Background(), &protobufs.Notification{Name: "test", Text: alert.Text()})
	return err
}

func (s *script) applianceCommand(args []string) error {
	if len(args) == 0 {
		return errors.New("appliance COMMAND")
	}
	if args[0] == "policy" {
		return s.Appliance.SetPolicy(snstest.DefaultSlot, append(args[1:], "block from any to any # the rest")...)
	}
	fault := map[string]func(*snstest.Faults){
		"refuse": func(f *snstest.Faults) { f.APIRefuse = true }, "no-ipv6": func(f *snstest.Faults) { f.NoIPv6 = true },
		"stale": func(f *snstest.Faults) { f.StaleUntilReload = true }, "old-algorithms": func(f *snstest.Faults) { f.LegacyAlgorithmsOnly = true },
		"without": func(f *snstest.Faults) { f.MissingTools = args[1:] }, "serial": func(f *snstest.Faults) { f.SerialNumber = args[1] },
		"heal": func(f *snstest.Faults) { *f = s.healthy },
	}
	switch usage := fmt.Sprint(args[0], " ", len(args)-1); usage {
	case "modify 1":
		if args[1] == "taken" {
			s.Appliance.AdminTakesModify()
		} else {
			s.Appliance.AdminReleasesModify()
		}
	case "edit 1":
		return s.Appliance.AdminEditPolicy(snstest.DefaultSlot, func(lines []string) []string { return append(lines, args[1]) })
	case "refuse 0", "no-ipv6 0", "stale 0", "old-algorithms 0", "heal 0", "without 1", "serial 1":
		s.Appliance.SetFaults(fault[args[0]])
	case "reboot 0":
		s.Appliance.Reboot()
	case "password 1":
		s.Appliance.SetPassword(args[1])
	case "rename 2":
		return s.Appliance.RenameObject(args[1], args[2])
	case "member 2":
		return s.Appliance.AdminEdit(snstest.GroupFile, func(text []byte) []byte {
			return fmt.Appendf(text, "[%s]\n%s\n", args[1], args[2])
		})
	default:
		return fmt.Errorf("appliance has no command %q", args)
	}
	return nil
}

func (s *script) localAPICommand(args []string) error {
	switch {
	case strings.Join(args, " ") == "serve":
		return s.configure(fmt.Sprintf("lapi:\n  url: %s\n  key: %q\n", s.LocalAPI.URL(), s.LocalAPI.Key))
	case len(args) == 2 && args[0] == "add":
		s.LocalAPI.Add(cmp.Or(s.uuids[args[1]], plugintest.NewUUID()), args[1])
	case len(args) == 2 && args[0] == "delete":
		s.LocalAPI.Delete(args[1])
	case len(args) == 1 && (args[0] == "refuse" || args[0] == "heal"):
		s.LocalAPI.SetRefusing(args[0] == "refuse")
	default:
		return fmt.Errorf("lapi serve, add ADDRESS, delete ADDRESS, refuse or heal, not %q", args)
	}
	return nil
}

func hostKeysCommand(ts *testscript.TestScript, neg bool, kinds []string) {
	if neg || len(kinds) == 0 {
		ts.Fatalf("host-keys KIND..., not %q", kinds)
	}
	appliance := ts.Value(scriptKey{}).(*script).Appliance
	appliance.SetFaults(func(f *snstest.Faults) { f.HostKeys = kinds })
	for i, key := range appliance.HostKeys() {
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
	ts.Value(scriptKey{}).(*script).Appliance.AuthorizeKey(key)
}

func listeningCommand(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) != 1 {
		ts.Fatalf("listening ADDRESS, not %q", args)
	}
	for deadline := time.Now().Add(time.Minute); ; time.Sleep(10 * time.Millisecond) {
		connection, err := net.Dial("tcp", args[0])
		if err == nil {
			_ = connection.Close()
			return
		}
		if time.Now().After(deadline) {
			ts.Fatalf("nobody listens: %v", err)
		}
	}
}

func blockedCommand(ts *testscript.TestScript, neg bool, args []string) {
	if len(args) != 1 {
		ts.Fatalf("blocked PREFIX, not %q", args)
	}
	prefix, err := netip.ParsePrefix(args[0])
	ts.Check(err)
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	defer cancel()
	wait := ts.Value(scriptKey{}).(*script).Appliance.WaitBlocked
	if neg {
		wait = ts.Value(scriptKey{}).(*script).Appliance.WaitUnblocked
	}
	_, err = wait(ctx, prefix)
	ts.Check(err)
}

func packetCommand(ts *testscript.TestScript, neg bool, args []string) {
	if len(args) != 2 || neg {
		ts.Fatalf("packet SOURCE ACTION, not %q", args)
	}
	appliance := ts.Value(scriptKey{}).(*script).Appliance
	source := netip.MustParseAddr(args[0])
	var verdict snstest.Verdict
	for deadline := time.Now().Add(30 * time.Second); time.Now().Before(deadline); time.Sleep(10 * time.Millisecond) {
		if verdict = appliance.Packet(source, netip.MustParseAddr("192.0.2.80")); verdict.Action == args[1] {
			return
		}
	}
	ts.Fatalf("a packet of %s meets %+v", source, verdict)
}

func awaitCommand(ts *testscript.TestScript, neg bool, args []string) {
	if len(args) != 2 || neg {
		ts.Fatalf("await FILE REGEXP, not %q", args)
	}
	want := regexp.MustCompile(args[1])
	text := ""
	for deadline := time.Now().Add(time.Minute); time.Now().Before(deadline); time.Sleep(10 * time.Millisecond) {
		if text = ts.ReadFile(args[0]); want.MatchString(text) {
			return
		}
	}
	ts.Fatalf("%s has no %s:\n%s", args[0], want, text)
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
