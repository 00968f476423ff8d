package ban_test

import (
	"encoding/json"
	"fmt"
	"net/netip"
	"slices"
	"strings"
	"testing"
	"time"

	"notification-stormshield/plugin/ban"
)

// now is two minutes after stop_at of the alerts below.
var (
	stopAt = time.Date(2026, time.November, 20, 10, 0, 0, 0, time.UTC)
	now    = stopAt.Add(2 * time.Minute)
)

const head = `"scenario":"crowdsecurity/ssh-bf","simulated":false,"source":{"ip":"203.0.113.7","scope":"Ip"},`

// alertOf returns an alert as CrowdSec writes it, with the decisions before stop_at.
func alertOf(decisions ...string) string {
	return `{"capacity":0,"decisions":[` + strings.Join(decisions, ",") + `],"events":[{"meta":[]}],` +
		head + `"start_at":"2026-11-20T09:59:00Z","stop_at":"2026-11-20T10:00:00Z","uuid":"b296"}`
}

// decisionOf returns a ban of four hours with some fields changed. nil removes a field, and json.RawMessage is raw JSON.
func decisionOf(changes map[string]any) string {
	fields := map[string]any{
		"duration": "4h", "origin": "crowdsec", "scenario": "crowdsecurity/ssh-bf", "scope": "Ip",
		"type": "ban", "uuid": "20f8", "value": "203.0.113.7",
	}
	for name, value := range changes {
		fields[name] = value
		if value == nil {
			delete(fields, name)
		}
	}
	text, err := json.Marshal(fields)
	if err != nil {
		panic(err)
	}
	return string(text)
}

// format returns the prefix and the remaining time of each decision.
func format(bans []ban.Decision) []string {
	var lines []string
	for _, b := range bans {
		lines = append(lines, fmt.Sprintf("%s %s", b.Prefix, b.Until.Sub(now)))
	}
	return lines
}

func read(t *testing.T, text string, filter ban.Filter) ban.Result {
	t.Helper()
	result, err := ban.Read(text, filter, now)
	if err != nil {
		t.Fatalf("Read: %v", err)
	}
	return result
}

func TestReadKeepsEveryFieldOfABan(t *testing.T) {
	t.Parallel()
	result := read(t, "["+alertOf(decisionOf(nil))+"]", ban.Filter{})
	want := []ban.Decision{{
		UUID: ban.ParseUUID("20f8"), Prefix: netip.MustParsePrefix("203.0.113.7/32"), RangeBits: 32, Until: stopAt.Add(4 * time.Hour),
		Type: "ban", Origin: "crowdsec", Scenario: "crowdsecurity/ssh-bf",
	}}
	if !slices.Equal(result.Decisions, want) {
		t.Errorf("bans = %+v, want %+v", result.Decisions, want)
	}
	if result.HasTest || result.Refused.Total+result.Ignored.Total > 0 {
		t.Errorf("it also found: %+v", result)
	}
}

func TestReadCountsAlertsWithoutDecisions(t *testing.T) {
	t.Parallel()
	for text, want := range map[string]int{
		`[{"decisions":null,` + head + `"stop_at":"x"}]`: 1, `{` + strings.TrimSuffix(head, ",") + `}`: 1, `[{"decisions":[]},{"decisions":null}]`: 2,
		`[{"decisions":null,"simulated":true}]`: 0, "[" + alertOf(decisionOf(nil)) + "]": 0, `[{"decisions":5}]`: 0, `[null]`: 0,
		"[" + alertOf(decisionOf(map[string]any{"type": "captcha"})) + "]": 0,
	} {
		if got := read(t, text, ban.Filter{}).WithoutDecisions; got != want {
			t.Errorf("%s: %d, want %d", text, got, want)
		}
	}
}

func TestReadAcceptsEveryShapeOfText(t *testing.T) {
	t.Parallel()
	one, two := alertOf(decisionOf(nil)), alertOf(decisionOf(map[string]any{"value": "198.51.100.1"}))
	first, second := "203.0.113.7/32 3h58m0s", "198.51.100.1/32 3h58m0s"
	for name, test := range map[string]struct {
		text string
		want []string
	}{
		"a list":                                       {"[" + one + "," + two + "]", []string{first, second}},
		"surrounded by space":                          {"\n [" + one + "]\n\n", []string{first}},
		"an alert without a list":                      {one, []string{first}},
		"lists after each other":                       {"[" + one + "]\n[" + two + "]\n", []string{first, second}},
		"alerts after each other":                      {one + two, []string{first, second}},
		"an empty list":                                {"[]", nil},
		"an absent alert between others":               {"[null," + one + "]", []string{first}},
		"decisions null":                               {`[{"decisions":null,` + head + `"stop_at":"2026-11-20T10:00:00Z"}]`, nil},
		"decisions absent":                             {`[{` + head + `"stop_at":"2026-11-20T10:00:00Z"}]`, nil},
		"decisions empty":                              {`[{"decisions":[],` + head + `"stop_at":"2026-11-20T10:00:00Z"}]`, nil},
		"stop_at before the decisions":                 {`[{"stop_at":"2026-11-20T10:00:00Z","decisions":[` + decisionOf(nil) + `]}]`, []string{first}},
		"stop_at with another offset":                  {`[{"stop_at":"2026-11-20T12:00:00.000+02:00","decisions":[` + decisionOf(nil) + `]}]`, []string{first}},
		"stop_at null: from now":                       {`[{"stop_at":null,"decisions":[` + decisionOf(nil) + `]}]`, []string{"203.0.113.7/32 4h0m0s"}},
		"stop_at absent: from now":                     {`[{"decisions":[` + decisionOf(nil) + `]}]`, []string{"203.0.113.7/32 4h0m0s"}},
		"stop_at unreadable: from now":                 {`[{"stop_at":"today","decisions":[` + decisionOf(nil) + `]}]`, []string{"203.0.113.7/32 4h0m0s"}},
		"stop_at of another type: from now":            {`[{"stop_at":[1],"decisions":[` + decisionOf(nil) + `]}]`, []string{"203.0.113.7/32 4h0m0s"}},
		"re-injected: from now":                        {`[{"id":7,"decisions":[` + decisionOf(nil) + `],"stop_at":"2026-11-20T10:00:00Z"}]`, []string{"203.0.113.7/32 4h0m0s"}},
		"re-injected, id behind":                       {`[{"decisions":[` + decisionOf(nil) + `],"stop_at":"2026-11-20T10:00:00Z","id":7}]`, []string{"203.0.113.7/32 4h0m0s"}},
		"an id of zero is none":                        {`[{"id":0,"decisions":[` + decisionOf(nil) + `],"stop_at":"2026-11-20T10:00:00Z"}]`, []string{first}},
		"an id of null is none":                        {`[{"id":null,"decisions":[` + decisionOf(nil) + `],"stop_at":"2026-11-20T10:00:00Z"}]`, []string{first}},
		"fields with huge numbers":                     {`[{"capacity":1e999,"decisions":[` + decisionOf(nil) + `],"stop_at":"2026-11-20T10:00:00Z"}]`, []string{first}},
		"each alert has its own stop_at":               {"[" + one + `,{"stop_at":"2026-11-20T10:01:00Z","decisions":[` + decisionOf(nil) + `]}]`, []string{first, "203.0.113.7/32 3h59m0s"}},
		"an alert that has ended keeps its neighbours": {`[{"stop_at":"2020-01-01T00:00:00Z","decisions":[` + decisionOf(nil) + `]},` + two + "]", []string{second}},
		"something else keeps its neighbours":          {`[5,"x",[[1]],{},` + two + "]", []string{second}},
		"decisions of another type":                    {`[{"decisions":{"a":[1]},"scenario":"x"},{"decisions":"x"},` + two + "]", []string{second}},
	} {
		t.Run(name, func(t *testing.T) {
			result := read(t, test.text, ban.Filter{})
			if got := format(result.Decisions); !slices.Equal(got, test.want) {
				t.Errorf("bans = %q, want %q", got, test.want)
			}
		})
	}
}

func TestReadFiltersEachDecisionByItself(t *testing.T) {
	t.Parallel()
	const whole = "3h58m0s"
	null := json.RawMessage("null")
	for name, test := range map[string]struct {
		change  map[string]any
		bans    string // prefix and time left
		refused string // part of the reason
		ignored string // part of the reason
	}{
		"without uuid":          {change: map[string]any{"uuid": nil}, bans: "203.0.113.7/32 " + whole},
		"uuid null":             {change: map[string]any{"uuid": null}, bans: "203.0.113.7/32 " + whole},
		"origin null":           {change: map[string]any{"origin": null}, bans: "203.0.113.7/32 " + whole},
		"scenario null":         {change: map[string]any{"scenario": null}, bans: "203.0.113.7/32 " + whole},
		"simulated null":        {change: map[string]any{"simulated": null}, bans: "203.0.113.7/32 " + whole},
		"type in capitals":      {change: map[string]any{"type": "BAN"}, bans: "203.0.113.7/32 " + whole},
		"scope in lower case":   {change: map[string]any{"scope": "ip"}, bans: "203.0.113.7/32 " + whole},
		"days":                  {change: map[string]any{"duration": "7d"}, bans: "203.0.113.7/32 167h58m0s"},
		"days and hours":        {change: map[string]any{"duration": "1d12h"}, bans: "203.0.113.7/32 35h58m0s"},
		"Ip with a range":       {change: map[string]any{"value": "198.51.100.9/24"}, bans: "198.51.100.0/24 " + whole},
		"Range with an address": {change: map[string]any{"scope": "RANGE", "value": "2001:db8::1"}, bans: "2001:db8::1/128 " + whole},
		"IPv6 range":            {change: map[string]any{"scope": "Range", "value": "2001:DB8:1::5/48"}, bans: "2001:db8:1::/48 " + whole},
		"IPv4-mapped":           {change: map[string]any{"value": "::ffff:203.0.113.9"}, bans: "203.0.113.9/32 " + whole},
		"IPv4-mapped range":     {change: map[string]any{"value": "::ffff:203.0.113.9/120"}, bans: "203.0.113.0/24 " + whole},
		"longer than any date":  {change: map[string]any{"duration": "99999999999999999999d"}, bans: "203.0.113.7/32 2060965h57m59s"},

		"value null":               {change: map[string]any{"value": null}, refused: "empty"},
		"value a number":           {change: map[string]any{"value": 3405803783}, refused: "value is not of its type"},
		"uuid an object":           {change: map[string]any{"uuid": map[string]int{"a": 1}}, refused: "uuid is not of its type"},
		"duration null":            {change: map[string]any{"duration": null}, refused: "duration is empty"},
		"duration empty":           {change: map[string]any{"duration": ""}, refused: "duration is empty"},
		"duration without unit":    {change: map[string]any{"duration": "3600"}, refused: "is not like 30s"},
		"duration too long a text": {change: map[string]any{"duration": strings.Repeat("1", 1e6) + "h"}, refused: "too long"},
		"zone":                     {change: map[string]any{"value": "fe80::1%eth0"}, refused: "zone"},
		"leading zeros":            {change: map[string]any{"value": "010.0.0.1"}, refused: "not an address"},
		"space":                    {change: map[string]any{"value": " 10.0.0.1"}, refused: "not an address"},
		"host name":                {change: map[string]any{"value": "example.org"}, refused: "not an address"},
		"bad range":                {change: map[string]any{"value": "203.0.113.0/33"}, refused: "not an address"},
		"range without bits":       {change: map[string]any{"value": "203.0.113.0/"}, refused: "not an address"},
		"unspecified":              {change: map[string]any{"value": "0.0.0.0"}, refused: "no host"},
		"unspecified IPv6":         {change: map[string]any{"value": "::"}, refused: "no host"},
		"IPv4-compatible IPv6":     {change: map[string]any{"value": "::203.0.113.7"}, refused: "::/96"},
		"loopback IPv6":            {change: map[string]any{"value": "::1"}, refused: "::/96"},
		"broadcast":                {change: map[string]any{"value": "255.255.255.255"}, refused: "broadcast"},
		"everything":               {change: map[string]any{"value": "0.0.0.0/0"}, refused: "every address"},
		"everything in IPv6":       {change: map[string]any{"value": "::/0"}, refused: "every"},
		"everything as IPv4":       {change: map[string]any{"value": "::ffff:0.0.0.0/96"}, refused: "every address"},
		"all of IPv4-mapped":       {change: map[string]any{"value": "::ffff:0:0/90"}, refused: "every IPv4"},

		"negative duration":  {change: map[string]any{"duration": "-3h"}, ignored: "already ended"},
		"zero duration":      {change: map[string]any{"duration": "0s"}, ignored: "already ended"},
		"ended by now":       {change: map[string]any{"duration": "2m"}, ignored: "already ended"},
		"negative days":      {change: map[string]any{"duration": "-99999999999999999999d"}, ignored: "already ended"},
		"simulated":          {change: map[string]any{"simulated": true}, ignored: "simulated"},
		"another type":       {change: map[string]any{"type": "captcha"}, ignored: "type captcha"},
		"no type":            {change: map[string]any{"type": null}, ignored: "type"},
		"AS":                 {change: map[string]any{"scope": "AS", "value": "64500"}, ignored: "scope AS"},
		"Country":            {change: map[string]any{"scope": "Country", "value": "FR"}, ignored: "scope Country"},
		"scope of a session": {change: map[string]any{"scope": "my session\n", "value": "x"}, ignored: `scope "my session\n"`},
		"no scope":           {change: map[string]any{"scope": null}, ignored: "scope"},
	} {
		t.Run(name, func(t *testing.T) {
			neighbour := decisionOf(map[string]any{"value": "192.0.2.200"})
			result := read(t, "["+alertOf(neighbour, decisionOf(test.change), neighbour)+"]", ban.Filter{})
			want := []string{"192.0.2.200/32 " + whole, test.bans, "192.0.2.200/32 " + whole}
			if test.bans == "" {
				want = slices.Delete(want, 1, 2)
			}
			if got := format(result.Decisions); !slices.Equal(got, want) {
				t.Errorf("bans = %q, want %q", got, want)
			}
			checkSkips(t, "refused", result.Refused, test.refused)
			checkSkips(t, "ignored", result.Ignored, test.ignored)
		})
	}
}

func TestReadRefusesAMegabyte(t *testing.T)        { readLongText(t, 1<<20) }
func TestLongReadRefusesTenMegabytes(t *testing.T) { readLongText(t, 10<<20) }

// readLongText reads a decision with a long value, and a long text that is no JSON.
func readLongText(t *testing.T, size int) {
	t.Helper()
	t.Parallel()
	other := decisionOf(map[string]any{"value": "192.0.2.200"})
	result := read(t, "["+alertOf(other, decisionOf(map[string]any{"value": strings.Repeat("9", size)}), other)+"]", ban.Filter{})
	if len(result.Decisions) != 2 {
		t.Errorf("%d decisions, want the two others", len(result.Decisions))
	}
	checkSkips(t, "refused", result.Refused, "too long")
	if _, err := ban.Read(strings.Repeat("x", size), ban.Filter{}, now); err == nil || len(err.Error()) > 400 {
		t.Errorf("error = %.500v", err)
	}
}

// checkSkips fails the test unless there is one skip whose reason contains the text, or none for "".
func checkSkips(t *testing.T, kind string, skips ban.Skips, part string) {
	t.Helper()
	if part == "" {
		if skips.Total != 0 {
			t.Errorf("%s = %+v, want none", kind, skips)
		}
		return
	}
	if skips.Total != 1 || len(skips.First) != 1 || !strings.Contains(skips.First[0].Reason, part) {
		t.Errorf("%s = %+v, want one because of %q", kind, skips, part)
	}
}

func TestADecisionThatIsNoObjectDoesNotAffectOthers(t *testing.T) {
	t.Parallel()
	text := "[" + alertOf(`"x"`, `5`, `[1,[2]]`, `null`, `true`, decisionOf(nil), `{}`) + "]"
	result := read(t, text, ban.Filter{})
	if len(result.Decisions) != 1 || result.Refused.Total != 6 {
		t.Errorf("bans %v, refused %+v; want 1 and 6", result.Decisions, result.Refused)
	}
}

func TestReadIgnoresSimulatedAlerts(t *testing.T) {
	t.Parallel()
	result := read(t, `[{"decisions":[`+decisionOf(nil)+`],"simulated":true,"stop_at":"2026-11-20T10:00:00Z"}]`, ban.Filter{})
	if len(result.Decisions) != 0 {
		t.Errorf("bans = %v", result.Decisions)
	}
	checkSkips(t, "ignored", result.Ignored, "alert is simulated")
}

func TestReadRecognizesTheTestAlert(t *testing.T) {
	t.Parallel()
	// As `cscli notifications test` of 1.7.8 makes it.
	const test = `{"capacity":0,"created_at":"2026-11-20T10:00:00Z","decisions":[{"duration":"4h","origin":"cscli",` +
		`"scenario":"test alert","scope":"Ip","type":"ban","value":"10.10.10.10"}],"events":[],"events_count":1,"labels":null,` +
		`"leakspeed":"0","message":"test alert","scenario":"test alert","scenario_hash":"","scenario_version":"",` +
		`"simulated":false,"source":{"ip":"10.10.10.10","scope":"Ip","value":"10.10.10.10"},` +
		`"start_at":"2026-11-20T10:00:00Z","stop_at":"2026-11-20T10:00:00Z"}`
	result := read(t, "["+test+","+alertOf(decisionOf(nil))+"]", ban.Filter{Types: []string{"other", "ban"}})
	if !result.HasTest || len(result.Decisions) != 1 || result.Refused.Total+result.Ignored.Total != 0 {
		t.Errorf("result = %+v, want the test, one ban and no skip", result)
	}
	for name, changed := range map[string]string{
		"real reason":   strings.Replace(test, `"scenario":"test alert"`, `"scenario":"manual 'ban' from 'x'"`, 1),
		"with uuid":     strings.Replace(test, `"type":"ban"`, `"type":"ban","uuid":"20f8"`, 1),
		"other address": strings.Replace(test, `"value":"10.10.10.10"`, `"value":"10.10.10.11"`, 1),
		"other origin":  strings.Replace(test, `"origin":"cscli"`, `"origin":"crowdsec"`, 1),
	} {
		t.Run(name, func(t *testing.T) {
			if result := read(t, "["+changed+"]", ban.Filter{}); result.HasTest || len(result.Decisions) != 1 {
				t.Errorf("result = %+v, want a ban and no test", result)
			}
		})
	}
}

func TestReadAppliesTheFilter(t *testing.T) {
	t.Parallel()
	from := func(origin string) map[string]any { return map[string]any{"origin": origin} }
	for name, test := range map[string]struct {
		filter   ban.Filter
		change   map[string]any
		accepted bool
	}{
		"type among others":            {ban.Filter{Types: []string{"captcha", "Ban"}}, nil, true},
		"type not wanted":              {ban.Filter{Types: []string{"captcha"}}, nil, false},
		"another type wanted":          {ban.Filter{Types: []string{"captcha"}}, map[string]any{"type": "Captcha"}, true},
		"origin wanted":                {ban.Filter{Origins: []string{"CrowdSec"}}, nil, true},
		"origin not wanted":            {ban.Filter{Origins: []string{"cscli"}}, nil, false},
		"origin null not wanted":       {ban.Filter{Origins: []string{"cscli"}}, map[string]any{"origin": nil}, false},
		"a list by its family":         {ban.Filter{Origins: []string{"lists"}}, from("lists:firehol"), true},
		"a list by its name":           {ban.Filter{Origins: []string{"lists:firehol"}}, from("Lists:FireHOL"), true},
		"another list":                 {ban.Filter{Origins: []string{"lists:other"}}, from("lists:firehol"), false},
		"a profile's own origin":       {ban.Filter{Origins: []string{"crowdsec"}}, from("crowdsec/night"), true},
		"cscli-import is not cscli":    {ban.Filter{Origins: []string{"cscli"}}, from("cscli-import"), false},
		"scenario included":            {ban.Filter{IncludeScenarios: []string{"http", "ssh"}}, nil, true},
		"scenario not included":        {ban.Filter{IncludeScenarios: []string{"http"}}, nil, false},
		"scenario excluded":            {ban.Filter{ExcludeScenarios: []string{"ssh"}}, nil, false},
		"excluded beats included":      {ban.Filter{IncludeScenarios: []string{"ssh"}, ExcludeScenarios: []string{"-bf"}}, nil, false},
		"the alert's scenario is used": {ban.Filter{IncludeScenarios: []string{"ssh"}}, map[string]any{"scenario": nil}, true},
		"the alert's scenario counts":  {ban.Filter{ExcludeScenarios: []string{"ssh"}}, map[string]any{"scenario": nil}, false},
	} {
		t.Run(name, func(t *testing.T) {
			result := read(t, "["+alertOf(decisionOf(test.change))+"]", test.filter)
			if accepted := len(result.Decisions) == 1; accepted != test.accepted {
				t.Errorf("accepted = %v, want %v", accepted, test.accepted)
			}
			if ignored := result.Ignored.Total == 1; ignored == test.accepted {
				t.Errorf("ignored = %+v", result.Ignored)
			}
			for _, b := range result.Decisions {
				if b.Scenario != "crowdsecurity/ssh-bf" {
					t.Errorf("scenario = %q, want the alert's", b.Scenario)
				}
			}
		})
	}
}

func TestReadSplitsARangeAroundProtectedAddresses(t *testing.T) {
	t.Parallel()
	protected, err := ban.ParseNeverBlock([]string{"198.51.100.128/26", "private"})
	if err != nil {
		t.Fatal(err)
	}
	text := "[" + alertOf(decisionOf(map[string]any{"value": "198.51.100.0/24"}), decisionOf(map[string]any{"value": "10.1.2.3"})) + "]"
	result := read(t, text, ban.Filter{NeverBlock: protected})
	want := []string{"198.51.100.0/25 3h58m0s", "198.51.100.192/26 3h58m0s"}
	if got := format(result.Decisions); !slices.Equal(got, want) {
		t.Errorf("bans = %q, want %q", got, want)
	}
	checkSkips(t, "refused", result.Refused, "10.0.0.0/8")
}

func TestEveryErrorOfReadHintsAtTheFormat(t *testing.T) {
	t.Parallel()
	one := alertOf(decisionOf(nil))
	for name, test := range map[string]struct {
		text string
		bans int // of the alerts before the fault
	}{
		"empty":                   {"", 0},
		"space":                   {" \n", 0},
		"another template":        {"CrowdSec banned 203.0.113.7", 0},
		"a number":                {"5", 0},
		"a string":                {`"[]"`, 0},
		"null":                    {"null", 0},
		"another object":          {`{"text":"banned"}`, 0},
		"text behind":             {"[" + one + "] sent by crowdsec", 1},
		"cut in a decision":       {"[" + one + "," + one[:60], 1},
		"broken behind decisions": {`[{"decisions":[` + decisionOf(nil) + `]00`, 0},
		"cut in a list":           {"[" + one, 1},
		"cut in a key":            {`[{"deci`, 0},
		"a comma too many":        {"[" + one + ",]", 1},
		"a bracket too many":      {"[" + one + "]]", 1},
		"deep lists":              {strings.Repeat("[", 1e6), 0},
		"deep objects":            {`[{"decisions":[` + strings.Repeat(`{"value":`, 1e6), 0},
		"deep events":             {`[{"events":` + strings.Repeat("[", 1e6), 0},
	} {
		t.Run(name, func(t *testing.T) {
			result, err := ban.Read(test.text, ban.Filter{}, now)
			if err == nil {
				t.Fatal("no error")
			}
			if message := err.Error(); !strings.Contains(message, "set format to {{.|toJson}}") || len(message) > 400 {
				t.Errorf("error = %.500q (%d bytes)", message, len(message))
			}
			if len(result.Decisions) != test.bans {
				t.Errorf("%d bans before the fault, want %d", len(result.Decisions), test.bans)
			}
		})
	}
}

func TestReadCountsAllSkipsAndKeepsTwenty(t *testing.T) {
	t.Parallel()
	bad := decisionOf(map[string]any{"value": "nowhere"})
	text := "[" + alertOf(strings.Repeat(bad+",", 999)+bad) + "]"
	if refused := read(t, text, ban.Filter{}).Refused; refused.Total != 1000 || len(refused.First) != 20 || refused.ByKind[ban.Malformed] != 1000 {
		t.Errorf("kept %d of %d, want 20 of 1000: %v", len(refused.First), refused.Total, refused.ByKind)
	}
}

func TestReadShortensAndEscapesForeignText(t *testing.T) {
	t.Parallel()
	text := "[" + alertOf(
		decisionOf(map[string]any{"value": "\x1b[31m" + strings.Repeat("é", 500)}),
		decisionOf(map[string]any{"value": "a\"b"}),
		decisionOf(map[string]any{"scenario": "red \x1b[31m " + strings.Repeat("é", 500), "origin": "a\nb"}),
	) + "]"
	result := read(t, text, ban.Filter{})
	for _, skip := range result.Refused.First {
		if len(skip.Value) > 70 || strings.ContainsAny(skip.Value, "\x1b\n") || skip.Value[0] != '"' {
			t.Errorf("skipped value = %q", skip.Value)
		}
	}
	if got := result.Refused.First[1].Value; got != `"a\"b"` {
		t.Errorf("quoted value = %s", got)
	}
	b := result.Decisions[0]
	if b.Origin != "a?b" || len(b.Scenario) > 200 || !strings.HasPrefix(b.Scenario, "red ?[31m éé") {
		t.Errorf("ban = %+v", b)
	}
}

func TestReadReturnsEndsInPlainUTC(t *testing.T) {
	t.Parallel()
	result, err := ban.Read(`[{"decisions":[`+decisionOf(nil)+`]}]`, ban.Filter{}, time.Now())
	if err != nil || len(result.Decisions) != 1 {
		t.Fatalf("Read returned %+v, want one decision: %v", result, err)
	}
	until := result.Decisions[0].Until
	if until != until.Round(0) || until.Location() != time.UTC {
		t.Errorf("until = %v, want plain UTC", until)
	}
}
