// Package setup is the guided set-up of one appliance. [Run] is its only entry: it asks what [Options] leave open, lets
// the user confirm the appliance's fingerprints, writes the notification's file, checks it, offers the filter rule, and
// names the notification in CrowdSec's profiles. Each of these steps is a file of this package.
//
// It overwrites no file, sends no password before the fingerprints are confirmed, and never reloads CrowdSec. If the
// check fails, it removes all that it has made.
package setup

import (
	"context"
	"errors"
	"fmt"
	"io"

	"notification-stormshield/config"
	"notification-stormshield/crowdsec"
)

// DefaultFile is the notification's file, unless CrowdSec's configuration or the user names another.
const DefaultFile = "/etc/crowdsec/notifications/stormshield.yaml"

// Options are the flags of the command line.
type Options struct {
	// Given reports whether the command line has a flag, also one with an empty value.
	Given func(flag string) bool

	CrowdSec string // CrowdSec's config.yaml
	File     string // the notification's file; "": stormshield.yaml in CrowdSec's notifications folder

	Name, StateDir, Host, ConfigDir                             string
	SSHUsername, SSHPasswordFile, SSHPrivateKeyPath, SSHHostKey string
	SSHPassphraseFile, SecretsDir                               string
	APIUsername, APIPasswordFile, APICertFingerprint            string
	SSHPort, APIPort                                            int
	SSHLegacyAlgorithms                                         bool
	NeverBlock                                                  []string

	// NoSSH writes a document without credentials for SSH.
	NoSSH bool

	// Enforce, RuleAction and RuleDirection are keys of the document. InstallRule changes the filter policy without a question.
	Enforce, RuleAction, RuleDirection string
	InstallRule                        bool

	// StateURL, StatePasswordPath and StateMachine are keys of the document.
	StateURL, StatePasswordPath, StateMachine string

	Yes, NoCheck, NoLAPI, DryRun bool
}

// Program is the program around a set-up.
type Program struct {
	In            io.Reader // the answers: a terminal, or one on each line
	Out, Warnings io.Writer
	// Check runs the command check on a notification that no profile names yet.
	Check func(ctx context.Context, file, name string) error
	// TryDatabase returns an error if the state cannot be shared in the document's database. The document has its secrets.
	TryDatabase func(context.Context, config.Document) error
	// PingLocalAPI returns an error if the Local API does not accept the document's key.
	PingLocalAPI func(context.Context, config.Document) error
	// RuleDiff runs the command rule diff, and RuleInstall runs rule install. Both print their errors.
	RuleDiff, RuleInstall func(ctx context.Context, file, name string) (RuleChange, error)
}

// UsageError is an error of the command line itself.
type UsageError struct{ error }

// Run runs a set-up, step by step.
func Run(ctx context.Context, o Options, p Program) error {
	s := setup{Options: o, Program: p, dialogue: newDialogue(p.In, p.Out)}
	if err := s.locate(); err != nil {
		return err
	}
	if err := s.beginDocument(); err != nil {
		return err
	}
	if err := s.checkPlace(); err != nil {
		return err
	}
	s.warnOfCrowdSec()
	if err := s.askForAnswers(ctx); err != nil {
		return err
	}
	if err := s.confirmIdentity(ctx); err != nil {
		return err
	}
	if s.DryRun {
		return s.showDryRun(ctx)
	}
	if err := s.makeLocalAPIKey(ctx); err != nil {
		return err
	}
	if err := s.writeFiles(); err != nil {
		return errors.Join(err, s.undoAll(ctx))
	}
	if err := s.check(ctx); err != nil {
		return errors.Join(s.undoAll(ctx), err)
	}
	err := s.offerRule(ctx)
	if ctx.Err() == nil {
		err = errors.Join(err, s.nameInProfiles(ctx))
	} else {
		err = errors.Join(err, fmt.Errorf("%w; the profiles are unchanged", errInterrupted))
	}
	s.printNextSteps()
	return err
}

// setup is one run.
type setup struct {
	Options
	Program
	dialogue *dialogue

	crowdsec crowdsec.Config
	faulty   bool // CrowdSec would start no plugin with its present configuration
	document config.Document
	done     []change
	ruleStep string // what the user must do before the filter rule enforces; "": nothing
}
