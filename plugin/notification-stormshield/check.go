package main

import (
	"context"
	"errors"
	"os"
	"slices"

	"github.com/spf13/pflag"

	"notification-stormshield/config"
	"notification-stormshield/plugin"
	"notification-stormshield/stormshield"
	"notification-stormshield/stormshield/acceptance"
)

type checkOptions struct {
	selection
	write    bool
	crowdsec string // CrowdSec's config.yaml
	unnamed  bool   // setup has not named the notification in a profile yet
}

func checkCommand() command {
	var o checkOptions
	return command{
		usage:   "check [-c FILE] [-n NAME] [--write]",
		summary: "Try the configuration on the appliance",
		help: `Validates the file, then tries on the appliance everything that the plugin needs:
the logins, the shell and its tools, the files, the rights. It blocks nothing and
changes no file. It tries each login once at most. Without credentials for SSH it
tries the API alone, and the row SSH says what the plugin cannot do then. Before
that it compares the document with those in the other files of the folder: two
documents must not have the same name, write the same group on the same
appliance, or name different listeners for metrics. It also names the values that CrowdSec changes before the plugin gets
them, and says whether profiles.yaml names the notification where decisions block.
With a filter rule it compares the rule in force with the configuration, and looks
for the commands that activate it. With prometheus.enabled it says who listens at
the address of the metrics, and reads web_config_path. With state_url it tries the
database: the role and its rights, the encryption, the clock, and the names of the
machines.

With --write it also blocks addresses for documentation (198.51.100.240/28,
2001:db8::c5ec) for some seconds, writes objects and groups of its own into the
files, compares the results, and removes everything again. With a filter rule it
also takes the configuration right, if nobody holds it, and inserts a rule that is
off into an inactive policy. It adds 198.51.100.253 to the group of bans, and runs
the commands that activate the rule, to see which ones it needs. CrowdSec may run
meanwhile; a flush at that moment may need a second try. The output is a report to
paste into a bug report: it has no secret and no address of yours.

Each line is ok; or DIFFERS: not as assumed, but the plugin works; or WRONG, with
a hint; or not tried, because of another fault.

With --json: name, host (not with --write), version, commit, time, well (nothing
is wrong), findings (a list of: subject, assumed, verdict (ok, DIFFERS, WRONG,
not tried), and if there is one: detail, problem, hint).`,
		example: "  crowdsec-stormshield check\n  crowdsec-stormshield check --write > report.txt",
		bind: func(flags *pflag.FlagSet) {
			o.bind(flags)
			flags.BoolVar(&o.write, "write", false, "also block and write, and remove it again; print a report")
			flags.StringVar(&o.crowdsec, "crowdsec", defaultCrowdSec, "CrowdSec's configuration `file`")
			flags.BoolVar(&o.unnamed, "unnamed", false, "no profile names the notification yet") // setup uses it
			_ = flags.MarkHidden("unnamed")                                                      // the flag exists
		},
		run: func(ctx context.Context, _ []string, out output) error { return runCheck(ctx, o, out) },
	}
}

func runCheck(ctx context.Context, o checkOptions, out output) error {
	d, err := o.load(config.Load)
	if err != nil {
		return err
	}
	warnOfReaders(out, o.file)
	if err := checkFolder(out, o.file, d); err != nil {
		return err
	}
	aboutFiles := checkFiles(o, d) // before prepareLogin gives up root
	holdOff, err := prepareLogin(&d)
	if err != nil {
		return err
	}
	findings := checkAppliance(ctx, d, o.write, out)
	if o.unnamed {
		expectNoRule(findings)
	}
	if err := holdOff.record(acceptance.FirstFault(findings)); err != nil {
		return err
	}
	hintAtReferences(findings, d.References)
	findings = append(findings, aboutFiles...)
	findings = append(findings, checkMetrics(ctx, o.file, d)...)
	findings = append(findings, checkState(ctx, d, o.write)...)
	r := newReport(d, findings)
	if o.write {
		hidden := append([]string{d.Stormshield.Host, d.LAPI.Host()}, placesOf(d)...)
		for _, f := range findings {
			hidden = append(hidden, f.Serials...)
		}
		r.hidePlaces(hidden...)
	}
	if o.json {
		err = out.printJSON(r)
	} else {
		err = r.print(out.stdout)
	}
	if err == nil && acceptance.FirstFault(findings) != nil {
		err = errors.New("the set-up does not work as it is; see above")
	}
	return err
}

// expectNoRule makes a missing filter rule no fault: setup offers it after the check.
func expectNoRule(findings []acceptance.Finding) {
	for i := range findings {
		if f := &findings[i]; f.Subject == acceptance.FilterRule && f.Verdict == acceptance.Wrong {
			f.Verdict, f.Detail, f.Err = acceptance.Differs, f.Err.Error(), nil
		}
	}
}

// checkAppliance checks the appliance and the Local API.
func checkAppliance(ctx context.Context, d config.Document, write bool, out output) []acceptance.Finding {
	progress := showProgress(out.stderr)
	defer progress.end()
	c := clientConfig(d)
	c.APIPasswordHint, c.SSHPasswordHint = "", "" // hintAtReferences knows more about the passwords
	c.Progress = progress.show
	check := acceptance.Check
	if write {
		check = acceptance.CheckAndWrite
	}
	findings := check(ctx, stormshield.New(c))
	if d.LAPI.IsUsed() {
		progress.show("asking the Local API")
		findings = append(findings, checkLocalAPI(ctx, d))
	}
	return findings
}

// checkLocalAPI tries the key for CrowdSec's Local API.
func checkLocalAPI(ctx context.Context, d config.Document) acceptance.Finding {
	f := acceptance.Finding{Subject: "Local API", Assumed: "the Local API accepts the key or certificate under lapi", Detail: "it does"}
	client, err := plugin.LocalAPI(d, version)
	if err == nil {
		err = client.Ping(ctx)
	}
	if err != nil {
		f.Verdict, f.Detail, f.Err = acceptance.Wrong, "", err
		f.Hint = "see lapi in the configuration; `cscli bouncers add stormshield` prints a key"
	}
	return f
}

// warnOfReaders warns of a configuration file that others than its owner can read, if it holds passwords. CrowdSec runs as root, and reads
// any file.
func warnOfReaders(out output, file string) {
	info, err := os.Stat(file)
	if err != nil || info.Mode().Perm()&0o077 == 0 {
		return
	}
	documents, err := config.Load(file)
	if err == nil && slices.ContainsFunc(documents, func(d config.Document) bool { return d.HasSecret() }) {
		out.warn("others than its owner can read %s (%s), which holds passwords (hint: chmod 600 %[1]s)", file, info.Mode())
	}
}
