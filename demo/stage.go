package main

import (
	"bytes"
	"context"
	"fmt"
	"os"
	"path/filepath"
	"time"

	"notification-stormshield/plugin/plugintest"
	"notification-stormshield/stormshield/snstest"
)

const (
	notification     = "stormshield_default" // the name of the configuration
	updateFrequency  = 2 * time.Second
	blacklistTimeout = time.Hour
)

// stage is the appliance, the plugin, and what is known about both.
type stage struct {
	binary    string
	folder    string // temporary: configuration and state
	config    string // the configuration's path
	appliance *snstest.Appliance
	plugin    *plugintest.Process
	diary     *diary
	begun     time.Time
	original  map[string][]byte // the appliance's files at the beginning
	wrong     []string          // what was not as it should be
}

func newStage(binary string) (*stage, error) {
	s := &stage{binary: binary, begun: time.Now()}
	if err := s.build(); err != nil {
		s.close()
		return nil, err
	}
	return s, nil
}

func (s *stage) build() (err error) {
	if s.folder, err = os.MkdirTemp("", "stormshield-demo-"); err != nil {
		return err
	}
	s.config = filepath.Join(s.folder, "stormshield.yaml")
	if s.appliance, err = snstest.New(snstest.Options{}); err != nil {
		return err
	}
	s.original = s.files()
	// An administrator is at work in the web interface all the time.
	s.appliance.AdminTakesModify()
	s.diary = keepDiary(s.appliance)
	return os.WriteFile(s.config, []byte(s.configuration().YAML()), 0o600)
}

func (s *stage) configuration() plugintest.Configuration {
	return plugintest.Configuration{
		Name: notification, StateDir: filepath.Join(s.folder, "state"),
		UpdateFrequency: updateFrequency, Debounce: time.Second,
		Target: plugintest.Target{BlacklistTimeout: blacklistTimeout},
	}.For(s.appliance)
}

// start starts the plugin and configures it.
func (s *stage) start(ctx context.Context) (err error) {
	if s.plugin, err = plugintest.Start(s.binary, nil); err != nil {
		return err
	}
	return s.plugin.Configure(ctx, s.configuration().YAML())
}

// notify plays CrowdSec that sends an alert.
func (s *stage) notify(ctx context.Context, a plugintest.Alert) error {
	start := time.Now()
	if err := s.plugin.Notify(ctx, notification, a.Text()); err != nil {
		return fmt.Errorf("notify the plugin of %s: %w", a.Bans[0], err)
	}
	for _, p := range a.Bans {
		s.diary.expect(p, a.End())
	}
	what := a.Bans[0].String()
	switch {
	case len(a.Bans) > 1:
		what = fmt.Sprintf("%d addresses, %s to %s", len(a.Bans), a.Bans[0].Addr(), a.Bans[len(a.Bans)-1].Addr())
	case a.Bans[0].IsSingleIP():
		what = a.Bans[0].Addr().String()
	}
	say("  alert: ban %s for %s (answered in %s)", what, short(a.Duration), time.Since(start).Round(100*time.Microsecond))
	return nil
}

// files are the appliance's two files as they are now.
func (s *stage) files() map[string][]byte {
	return map[string][]byte{
		snstest.ObjectFile: s.appliance.Read(snstest.ObjectFile),
		snstest.GroupFile:  s.appliance.Read(snstest.GroupFile),
	}
}

// check notes and prints whether something is as it should be.
func (s *stage) check(holds bool, format string, args ...any) {
	claim := fmt.Sprintf(format, args...)
	if holds {
		say("  ok     %s", claim)
		return
	}
	say("  WRONG  %s", claim)
	s.wrong = append(s.wrong, claim)
}

// checkFiles checks what must be so at every moment.
func (s *stage) checkFiles() {
	now := s.files()
	s.check(bytes.Equal(s.original[snstest.ObjectFile], withoutObjects(now[snstest.ObjectFile])) &&
		bytes.Equal(s.original[snstest.GroupFile], withoutGroups(now[snstest.GroupFile])),
		"without our lines, both files are the administrator's, byte for byte")
	problems := s.appliance.Problems()
	s.check(len(problems) == 0, "the appliance can read both files%s", listing(problems))
	left := s.appliance.Leftovers()
	s.check(len(left) == 0, "nothing else lies in the appliance's folder%s", listing(left))
}

// verdict is an error that says what was wrong, if anything was.
func (s *stage) verdict() error {
	if len(s.wrong) > 0 {
		return fmt.Errorf("%d of its claims did not hold:%s", len(s.wrong), listing(s.wrong))
	}
	say("\nEverything was as it should be. It took %s.", time.Since(s.begun).Round(100*time.Millisecond))
	return nil
}

func (s *stage) close() {
	if s.plugin != nil {
		s.plugin.Kill()
	}
	if s.diary != nil {
		s.diary.close()
	}
	if s.appliance != nil {
		_ = s.appliance.Close()
	}
	_ = os.RemoveAll(s.folder)
}
