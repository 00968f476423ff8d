package postgres

import (
	"strings"
	"testing"
)

func TestTranslateWritesAStatementInPostgreSQLsForm(t *testing.T) {
	for name, c := range map[string]struct {
		text, want string
		parameters int
		isScript   bool
	}{
		"no parameter":             {text: "SELECT 1", want: "SELECT 1"},
		"parameters in order":      {text: "INSERT INTO a VALUES (?, ?, ?)", want: "INSERT INTO a VALUES ($1, $2, $3)", parameters: 3},
		"numbered parameters":      {text: "SELECT ?2, ?1, ?2", want: "SELECT $2, $1, $2", parameters: 2},
		"a bare one after ?2":      {text: "SELECT ?2, ?", want: "SELECT $2, $3", parameters: 3},
		"two digits":               {text: "SELECT ?10", want: "SELECT $10", parameters: 10},
		"before a cast":            {text: "SELECT ?::bigint+?", want: "SELECT $1::bigint+$2", parameters: 2},
		"strings":                  {text: "SELECT '?', 'it''s ?', \"a?\", ?", want: "SELECT '?', 'it''s ?', \"a?\", $1", parameters: 1},
		"comments":                 {text: "SELECT ? -- why? MAX(a, b)\n, /* ? */ ?", want: "SELECT $1 -- why? MAX(a, b)\n, /* ? */ $2", parameters: 2},
		"bodies of functions":      {text: "DO $$ ?; MAX(1, 2) $$", want: "DO $$ ?; MAX(1, 2) $$"},
		"a named body":             {text: "DO $a$ $$ ? $a$", want: "DO $a$ $$ ? $a$"},
		"a string that has no end": {text: "SELECT '?", want: "SELECT '?"},
		"aggregates":               {text: "SELECT MAX(id), min( f(a, b) ), MAX ((a), (b, c)) FROM x", want: "SELECT MAX(id), min( f(a, b) ), GREATEST ((a), (b, c)) FROM x"},
		"scalar functions":         {text: "SELECT max(a, ?), MIN(b, (1), 2)", want: "SELECT GREATEST(a, $1), LEAST(b, (1), 2)", parameters: 1},
		"one in another":           {text: "SELECT MAX(MIN(a, b)), MAX(MAX(a), 1)", want: "SELECT MAX(LEAST(a, b)), GREATEST(MAX(a), 1)"},
		"a comma in a string":      {text: "SELECT MAX(','), MAX(a || ')', ',')", want: "SELECT MAX(','), GREATEST(a || ')', ',')"},
		"names that only begin so": {text: "SELECT maximum(a, b), max_bans, a.max FROM minima", want: "SELECT maximum(a, b), max_bans, a.max FROM minima"},
		"without a parenthesis":    {text: "SELECT max, min FROM x", want: "SELECT max, min FROM x"},
		"a semicolon at the end":   {text: "SELECT 1; -- the end\n", want: "SELECT 1; -- the end\n"},
		"two statements":           {text: "CREATE TABLE a (b TEXT); SELECT ';'", want: "CREATE TABLE a (b TEXT); SELECT ';'", isScript: true},
		"one with a semicolon":     {text: "SELECT ';' WHERE a = 1", want: "SELECT ';' WHERE a = 1"},
	} {
		t.Run(name, func(t *testing.T) {
			got, parameters, isScript, err := translate(c.text)
			if err != nil || got != c.want || parameters != c.parameters || isScript != c.isScript {
				t.Errorf("%q, %d parameters, script %v, error %v\nwant %q, %d, %v", got, parameters, isScript, err, c.want, c.parameters, c.isScript)
			}
		})
	}
}

func TestTranslateRefusesAParameterWithoutAPlace(t *testing.T) {
	for _, text := range []string{"SELECT ?0", "SELECT ?65536", "SELECT ?99999999999999999999"} {
		if got, _, _, err := translate(text); err == nil || !strings.Contains(err.Error(), "?65535") {
			t.Errorf("%s: %q, error %v", text, got, err)
		}
	}
}
