package setup

import (
	"context"
	"fmt"

	"notification-stormshield/config"
)

// check checks the notification on the appliance. It returns an error if the check fails and the user does not keep the
// set-up.
func (s *setup) check(ctx context.Context) error {
	if s.NoCheck {
		return nil
	}
	fmt.Fprint(s.Out, "\nTrying it: ")
	if s.Check(ctx, s.File, s.Name) == nil {
		return nil
	}
	if ctx.Err() == nil && !s.Yes {
		fmt.Fprintln(s.Out, "\nCrowdSec starts with it anyway, and the plugin keeps trying.")
		if keep, err := s.dialogue.confirm(ctx, "Keep "+s.File+" anyway?"); err == nil && keep {
			return nil
		}
	}
	return fmt.Errorf("%s does not work, and is removed; the profiles are unchanged (hint: correct what is WRONG above, "+
		"and run this again; nothing logs in meanwhile. --no-check writes the file without trying it)", s.File)
}

// showDryRun prints what a set-up would write.
func (s *setup) showDryRun(ctx context.Context) error {
	d := s.document
	if s.SecretsDir != "" {
		moveSecrets(&d, s.SecretsDir)
	}
	for _, secret := range []*config.Secret{
		&d.Stormshield.SSHPassword, &d.Stormshield.SSHPrivateKeyPassphrase, &d.Stormshield.APIPassword, &d.StatePassword,
	} {
		if *secret != "" {
			*secret = "***"
		}
	}
	fmt.Fprintf(s.Out, "\nThis would be %s:\n\n%s", s.File, config.FillSample(d))
	if err := s.nameInProfiles(ctx); err != nil {
		return err
	}
	fmt.Fprintln(s.Out, "\nNothing was written.")
	return nil
}
