package crowdsec_test

import (
	"bytes"
	"strings"
	"testing"

	"github.com/rogpeppe/go-internal/diff"
	"go.yaml.in/yaml/v3"

	"notification-stormshield/crowdsec"
)

const name = "stormshield_default"

// bansAnd is a profile with bans, and more lines.
func bansAnd(more string) string {
	return "name: p\ndecisions:\n - type: ban\n   duration: 4h\n" + more
}

// shipped is the beginning of the profiles.yaml that CrowdSec 1.7.8 comes with.
const shipped = `name: default_ip_remediation
#debug: true
filters:
 - Alert.Remediation == true && Alert.GetScope() == "Ip"
decisions:
 - type: ban
   duration: 4h
#duration_expr: Sprintf('%dh', (GetDecisionsCount(Alert.GetValue()) + 1) * 4)
# notifications:
#   - slack_default  # Set the webhook in /etc/crowdsec/notifications/slack.yaml before enabling this.
on_success: break
---
name: default_range_remediation
filters:
 - Alert.Remediation == true && Alert.GetScope() == "Range"
decisions:
 - type: ban
   duration: 4h
# notifications:
#   - slack_default
on_success: break
`

func TestAddNotificationInsertsTheNameInTheStyleOfTheFile(t *testing.T) {
	const added = "notifications:\n  - stormshield_default\n"
	for title, c := range map[string]struct{ text, want string }{
		"the shipped profiles": {shipped, strings.ReplaceAll(shipped, "on_success", added+"on_success")},
		"before on_failure":    {bansAnd("on_failure: continue\non_success: break\n"), bansAnd(added + "on_failure: continue\non_success: break\n")},
		"at the end":           {bansAnd(""), bansAnd(added)},
		"without a final newline": {
			strings.TrimSuffix(bansAnd(""), "\n"), strings.TrimSuffix(bansAnd(added), "\n"),
		},
		"behind the last comment, before blank lines": {bansAnd("# end\n\n\n"), bansAnd("# end\n" + added + "\n\n")},
		"a list":                {bansAnd("notifications:\n  - http\n  - mail # note\n# - more\non_success: break\n"), bansAnd("notifications:\n  - http\n  - mail # note\n  - stormshield_default\n# - more\non_success: break\n")},
		"a list without margin": {bansAnd("notifications:\n- http\n"), bansAnd("notifications:\n- http\n- stormshield_default\n")},
		"a list, no newline":    {bansAnd("notifications:\n- http"), bansAnd("notifications:\n- http\n- stormshield_default")},
		"a list far right":      {bansAnd("notifications:\n        -   http\n"), bansAnd("notifications:\n        -   http\n        - stormshield_default\n")},
		"brackets":              {bansAnd("notifications: [ http, 'a b' ] # note\n"), bansAnd("notifications: [ http, 'a b', stormshield_default ] # note\n")},
		"brackets over lines":   {bansAnd("notifications: [\n  \"http\", # note\n  ]\n"), bansAnd("notifications: [\n  \"http\", stormshield_default, # note\n  ]\n")},
		"empty brackets":        {bansAnd("notifications: []\n"), bansAnd("notifications: [stormshield_default]\n")},
		"nothing": {
			bansAnd("notifications: # later\n#  - http\non_success: break\n"),
			bansAnd("notifications: # later\n  - stormshield_default\n#  - http\non_success: break\n"),
		},
		"dashes first, and comments between": {
			"---\n# one\n" + bansAnd("") + "# of one\n--- # two\n# two\n" + bansAnd("...\n"),
			"---\n# one\n" + bansAnd("") + "# of one\n" + added + "--- # two\n# two\n" + bansAnd(added+"...\n"),
		},
		"only profiles with bans": {
			"name: c\ndecisions:\n - type: captcha\n---\nname: none\n---\n" + bansAnd("") + "---\nname: null\n",
			"name: c\ndecisions:\n - type: captcha\n---\nname: none\n---\n" + bansAnd(added) + "---\nname: null\n",
		},
		"any case, and among others": {
			"decisions:\n - {type: captcha}\n - {type: BAN}\n", "decisions:\n - {type: captcha}\n - {type: BAN}\n" + added,
		},
		"a profile with a margin": {"  name: p\n  decisions: [{type: ban}]\n  on_success: break\n", "  name: p\n  decisions: [{type: ban}]\n  notifications:\n    - stormshield_default\n  on_success: break\n"},
		"dashes within a text":    {bansAnd("filters:\n - |\n  ---\n  x\n"), bansAnd("filters:\n - |\n  ---\n  x\n" + added)},
		"merged decisions":        {"x: &x\n  decisions: [{type: ban}]\n<<: *x\n", "x: &x\n  decisions: [{type: ban}]\n<<: *x\n" + added},
	} {
		t.Run(title, func(t *testing.T) {
			for ending, as := range map[string]func(string) string{
				"LF": func(s string) string { return s }, "CRLF": func(s string) string { return strings.ReplaceAll(s, "\n", "\r\n") },
			} {
				change, err := crowdsec.AddNotification([]byte(as(c.text)), name)
				if err != nil {
					t.Fatalf("%s: %v", ending, err)
				}
				if d := diff.Diff("want", []byte(as(c.want)), "got", change.Text); len(d) > 0 {
					t.Errorf("%s:\n%s", ending, d)
				}
			}
		})
	}
}

func TestAddNotificationKeepsProfilesThatHaveTheName(t *testing.T) {
	for _, more := range []string{
		"notifications: [stormshield_default]\n", "notifications:\n- http\n- 'stormshield_default'\n", "x: &x [stormshield_default]\nnotifications: *x\n",
	} {
		change, err := crowdsec.AddNotification([]byte(bansAnd(more)), name)
		if err != nil || string(change.Text) != bansAnd(more) || len(change.Added) != 0 || len(change.Present) != 1 {
			t.Errorf("%s: %v, %+v", more, err, change)
		}
	}
}

func TestAddNotificationReturnsTheChangedProfiles(t *testing.T) {
	change, err := crowdsec.AddNotification([]byte(shipped+"---\ndecisions: [{type: ban}]\n---\n"+bansAnd("notifications: ["+name+"]\n")), name)
	if err != nil {
		t.Fatal(err)
	}
	if got := strings.Join(change.Added, ", "); got != "default_ip_remediation, default_range_remediation, number 3" {
		t.Errorf("named: %s", got)
	}
	if got := strings.Join(change.Present, ", "); got != "p" {
		t.Errorf("already: %s", got)
	}
}

func TestAddNotificationQuotesANameThatIsNoTextInYAML(t *testing.T) {
	for _, odd := range []string{"0443", "1e3", "yes", "null", "-", "0x1F", "2026-01-01", "on", "n", "1_000"} {
		for _, more := range []string{"", "notifications: []\n"} {
			change, err := crowdsec.AddNotification([]byte(bansAnd(more)), odd)
			if err != nil || !strings.Contains(strings.ReplaceAll(string(change.Text), `"`, "'"), "'"+odd+"'") {
				t.Errorf("%s: %v\n%s", odd, err, change.Text)
			}
		}
	}
}

func TestAddNotificationRefusesUnusualYAML(t *testing.T) {
	for title, c := range map[string]struct{ text, says string }{
		"no YAML":                 {"a: [", "line"},
		"a key twice":             {bansAnd("notifications: []\nnotifications: []\n"), "already defined"},
		"all in braces":           {"{name: p, decisions: [{type: ban}]}\n", "profile p, from line 1"},
		"an alias":                {bansAnd("x: &x [http]\nnotifications: *x\n"), "only a human"},
		"an anchor used twice":    {bansAnd("notifications: &n\n - http\nother: *n\n"), "only a human"},
		"merged notifications":    {"x: &x\n  notifications: [http]\n<<: *x\ndecisions: [{type: ban}]\n", "only a human"},
		"null in words":           {bansAnd("notifications: null\n"), "only a human"},
		"a name in escapes":       {bansAnd("notifications: [\"\\x61\"]\n"), "only a human"},
		"a single name":           {bansAnd("notifications: http\n"), "cannot unmarshal"},
		"text that keeps its end": {bansAnd("x: |+\n  text\n\n\n"), "only a human"},
	} {
		change, err := crowdsec.AddNotification([]byte(c.text), name)
		if err == nil || !strings.Contains(err.Error(), c.says) || change.Text != nil {
			t.Errorf("%s: %v\n%s", title, err, change.Text)
		}
	}
}

func FuzzAddNotification(f *testing.F) {
	for _, more := range []string{
		"", "notifications: []\n", "notifications: [a, 'b']\n", "notifications:\n- a\n", "notifications:\n", "on_success: break\n---\n" + bansAnd("x: |+\n  a\n\n"),
		"notifications: &n [a]\nb: *n\n", "# é\nnotifications: {a: [é, b]}\r\n", "...\n# x\n---\n" + bansAnd("on_failure: x"),
	} {
		f.Add([]byte(bansAnd(more)))
	}
	f.Add([]byte(shipped))
	f.Add([]byte(strings.ReplaceAll(shipped, "\n", "\r\n")))
	f.Add([]byte("\ufeffname: p\ndecisions: [{type: ban}]\nnotifications: [\u0085a]\u2028on_success: x"))
	f.Fuzz(func(t *testing.T, text []byte) {
		change, err := crowdsec.AddNotification(text, name)
		if err != nil {
			return
		}
		wantSubsequence(t, text, change.Text)
		before, after := profiles(t, text), profiles(t, change.Text)
		if len(before) != len(after) {
			t.Fatalf("%d profiles have become %d", len(before), len(after))
		}
		for i := range before {
			wantOnlyTheName(t, before[i], after[i])
		}
		again, err := crowdsec.AddNotification(change.Text, name)
		if err != nil || len(again.Added) > 0 || len(again.Present) != len(change.Added)+len(change.Present) {
			t.Errorf("once more: %v, %+v", err, again)
		}
	})
}

// wantSubsequence demands that every byte of a text is in another, in order.
func wantSubsequence(t *testing.T, text, within []byte) {
	t.Helper()
	for _, b := range text {
		at := bytes.IndexByte(within, b)
		if at < 0 {
			t.Fatal("the change lost bytes of the file")
		}
		within = within[at+1:]
	}
}

func wantOnlyTheName(t *testing.T, before, after map[string]any) {
	t.Helper()
	was, _ := before["notifications"].([]any)
	is, _ := after["notifications"].([]any)
	if len(is) != len(was) && (len(is) != len(was)+1 || is[len(was)] != name) {
		t.Errorf("%v has become %v", was, is)
	}
	for i := range was {
		if was[i] != is[i] {
			t.Errorf("%v has become %v", was, is)
		}
	}
	delete(before, "notifications")
	delete(after, "notifications")
	old, _ := yaml.Marshal(before)
	now, _ := yaml.Marshal(after)
	if !bytes.Equal(old, now) {
		t.Errorf("%s has become %s", old, now)
	}
}

func profiles(t *testing.T, text []byte) []map[string]any {
	t.Helper()
	var all []map[string]any
	decoder := yaml.NewDecoder(bytes.NewReader(text))
	for {
		var one any
		if err := decoder.Decode(&one); err != nil {
			if err.Error() != "EOF" {
				t.Fatalf("%v:\n%s", err, text)
			}
			return all
		}
		profile, _ := one.(map[string]any) // nil if it is not a mapping
		all = append(all, profile)
	}
}
