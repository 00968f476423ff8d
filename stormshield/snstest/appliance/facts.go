package main

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"strings"

	"notification-stormshield/stormshield/snstest"
)

// facts say how to reach the appliance. -ready writes them.
type facts struct {
	Host               string `json:"host"`
	SSHPort            int    `json:"ssh_port,omitempty"`
	APIPort            int    `json:"api_port"`
	User               string `json:"user"`
	Password           string `json:"password"`
	Dir                string `json:"dir"`
	ConfigDir          string `json:"config_dir"`
	ToolDir            string `json:"tool_dir"` // has enobject and enfilter, also with -no-ssh
	SSHHostKey         string `json:"ssh_host_key,omitempty"`
	APICertFingerprint string `json:"api_cert_fingerprint"`
	Control            string `json:"control,omitempty"`
	PID                int    `json:"pid"`
}

func factsOf(a *snstest.Appliance) *facts {
	return &facts{
		Host: a.Host(), SSHPort: a.SSHPort(), APIPort: a.APIPort(),
		User: a.User(), Password: a.Password(),
		Dir: a.Dir(), ConfigDir: a.ConfigDir(), ToolDir: a.ToolDir(),
		SSHHostKey: a.HostKeyFingerprint(), APICertFingerprint: a.CertificateFingerprint(),
		PID: os.Getpid(),
	}
}

// writeReady writes the facts as JSON. It renames the file into place, so that no reader sees half of it.
func (f *facts) writeReady(path string) error {
	text, err := json.MarshalIndent(f, "", "  ")
	if err != nil {
		return err
	}
	temporary := path + ".new"
	if err := os.WriteFile(temporary, append(text, '\n'), 0o600); err != nil {
		return fmt.Errorf("write the ready file: %w", err)
	}
	if err := os.Rename(temporary, path); err != nil {
		return fmt.Errorf("write the ready file: %w", errors.Join(err, os.Remove(temporary)))
	}
	return nil
}

// print prints the facts as a part of the plugin's configuration.
func (f *facts) print(out io.Writer) error {
	var b strings.Builder
	line := func(key string, value any) { fmt.Fprintf(&b, "  %s: %v\n", key, value) }
	fmt.Fprintf(&b, "# A simulated appliance (pid %d), disk %s\n", f.PID, f.Dir)
	if f.Control != "" {
		fmt.Fprintf(&b, "# control: %s\n", f.Control)
	}
	b.WriteString("stormshield:\n")
	line("host", f.Host)
	if f.SSHPort != 0 {
		line("ssh_port", f.SSHPort)
		line("ssh_username", quote(f.User))
		line("ssh_password", quote(f.Password))
		line("ssh_host_key", quote(f.SSHHostKey))
	}
	line("config_dir", quote(f.ConfigDir))
	line("api_port", f.APIPort)
	line("api_username", quote(f.User))
	line("api_password", quote(f.Password))
	line("api_cert_fingerprint", quote(f.APICertFingerprint))
	b.WriteString("# blacklist:\n")
	_, err := io.WriteString(out, b.String())
	return err
}

// quote quotes a text so that YAML and JSON read the same.
func quote(text string) string {
	var b strings.Builder
	encoder := json.NewEncoder(&b)
	encoder.SetEscapeHTML(false)
	_ = encoder.Encode(text) // a string always encodes
	return strings.TrimSuffix(b.String(), "\n")
}
