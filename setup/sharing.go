package setup

import (
	"context"
	"errors"
	"fmt"
	"net/url"
	"slices"
	"strings"

	"notification-stormshield/config"
)

const aboutSharing = `
Several CrowdSec machines may enforce on one appliance. They then share their state
in a PostgreSQL database. With one CrowdSec machine you need no database.
`

const aboutDatabase = `
Give the notification the same name, and the same address of the database, on each
of these machines. The address holds no password:
  postgres://USER@HOST:5432/DATABASE?sslmode=verify-full
`

// sharingFlags need --state-url.
var sharingFlags = []string{"state-password-path", "state-machine"}

// askForSharing asks whether other machines share the state, and for their database.
func (s *setup) askForSharing(ctx context.Context) error {
	if shares, err := s.askWhetherShared(ctx); err != nil || !shares {
		return err
	}
	for {
		if err := s.askForDatabase(ctx); err != nil {
			return err
		}
		err := s.tryDatabase(ctx)
		if err == nil || s.Given("state-url") || !s.dialogue.isHuman() {
			return err
		}
		fmt.Fprintf(s.Out, "  %v\n", err)
	}
}

// askWhetherShared asks whether other machines share the state. A URL as --state-url answers yes; an empty one and --yes answer no.
func (s *setup) askWhetherShared(ctx context.Context) (bool, error) {
	if s.StateURL != "" {
		return true, nil
	}
	for _, flag := range sharingFlags {
		if s.Given(flag) {
			return false, UsageError{fmt.Errorf("--%s needs --state-url", flag)}
		}
	}
	if s.Yes || s.Given("state-url") {
		return false, nil
	}
	fmt.Fprint(s.Out, aboutSharing)
	answer := ""
	err := s.answer(ctx, question{prompt: "Do other CrowdSec machines enforce on this appliance too, yes or no", flag: "state-url", usual: "no",
		set: func(a string) { answer = strings.ToLower(a) }, check: func() error { return checkYesNo(answer) }}, "")
	if err != nil || !strings.HasPrefix(answer, "y") {
		return false, err
	}
	fmt.Fprint(s.Out, aboutDatabase)
	return true, nil
}

// askForDatabase asks for the database that several machines share, and for the name of this machine.
func (s *setup) askForDatabase(ctx context.Context) error {
	d := &s.document
	for _, ask := range []struct {
		question
		given string
	}{
		{question{prompt: "Address of the PostgreSQL database", flag: "state-url", key: "state_url", set: func(a string) { d.StateURL = a }}, s.StateURL},
		{question{prompt: "Password for the database, not shown (Enter: none)", flag: "state-password-path", hidden: true, optional: true,
			key: "state_password", set: func(a string) { d.StatePassword = config.Secret(a) }}, ""},
		{question{prompt: "Name of this machine among them (Enter: its host name)", flag: "state-machine", optional: true,
			key: "state_machine", set: func(a string) { d.StateMachine = a }}, s.StateMachine},
	} {
		if ask.flag == "state-password-path" && s.StatePasswordPath != "" {
			ask.question = question{flag: ask.flag, key: "state_password_path", set: func(a string) { d.StatePasswordPath = a }}
			ask.given = s.StatePasswordPath
		}
		if err := s.answer(ctx, ask.question, ask.given); err != nil {
			return err
		}
	}
	return nil
}

// tryDatabase returns an error if the database cannot be used. It does not try a server behind a Unix socket: such a server may accept the
// plugin's user alone, and check tries it as that user.
func (s *setup) tryDatabase(ctx context.Context) error {
	if s.NoCheck || s.DryRun || isBehindSocket(s.document.StateURL) {
		return nil
	}
	d := s.document
	if d.StatePasswordPath != "" {
		if err := d.ReadSecrets(); err != nil {
			return err
		}
	}
	fmt.Fprintln(s.Out, "Asking the database ...")
	if err := s.TryDatabase(ctx, d); err != nil {
		return fmt.Errorf("the database cannot be used: %w", err)
	}
	return nil
}

// isBehindSocket reports whether the URL of a database names a Unix socket, or no host. Without a host the client looks for a socket.
func isBehindSocket(address string) bool {
	at, err := url.Parse(address)
	if err != nil {
		return false
	}
	host := at.Hostname()
	if inQuery := at.Query().Get("host"); inQuery != "" {
		host = inQuery
	}
	return host == "" || strings.HasPrefix(host, "/")
}

// checkYesNo refuses an answer that is neither yes nor no.
func checkYesNo(answer string) error {
	if !slices.Contains([]string{"y", "yes", "n", "no"}, answer) {
		return errors.New("is neither yes nor no")
	}
	return nil
}
