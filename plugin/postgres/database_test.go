package postgres

import (
	"regexp"
	"strings"
	"testing"
)

func TestASchemaHasASafeNameOfItsOwn(t *testing.T) {
	long := strings.Repeat("a", 100)
	seen := map[string]string{}
	for name, want := range map[string]string{
		"stormshield_default": "stormshield_stormshield_default",
		"paris2":              "stormshield_paris2",
		"Paris2":              "stormshield_paris2_42c119b1",
		"a.b":                 "stormshield_a_b_2e7336dc",
		"a-b":                 "",
		"a_b":                 "stormshield_a_b",
		`a"; DROP TABLE b`:    "",
		long:                  "",
		long + "b":            "",
		strings.ToUpper(long): "",
		"":                    "stormshield_",
	} {
		schema := Database{Name: name}.Schema()
		if want != "" && schema != want {
			t.Errorf("%q has the schema %q, want %q", name, schema, want)
		}
		if !regexp.MustCompile(`^stormshield_[a-z0-9_]*$`).MatchString(schema) || len(schema) > 63 {
			t.Errorf("%q has the schema %q", name, schema)
		}
		if other, has := seen[schema]; has {
			t.Errorf("%q and %q share the schema %q", name, other, schema)
		}
		seen[schema] = name
	}
}

// Machines with different versions of this program must take the same locks.
func TestALockKeyStaysTheSame(t *testing.T) {
	d := Database{Name: "stormshield_default", URL: "postgres://a@b/c"}
	if got, want := d.LockKey("write"), int64(-7248272147086343147); got != want {
		t.Errorf("the key of writers is %d, want %d", got, want)
	}
	other := Database{Name: "paris"}
	keys := map[int64]bool{d.LockKey("write"): true, d.LockKey("lease"): true, other.LockKey("write"): true, other.LockKey("lease"): true}
	if len(keys) != 4 {
		t.Errorf("two purposes or two schemas share a key: %v", keys)
	}
}

func TestPlaceNamesTheDatabaseWithoutThePassword(t *testing.T) {
	for url, want := range map[string]string{
		"postgres://crowdsec@db.example:5433/bans?sslmode=verify-full": "crowdsec@db.example:5433/bans schema stormshield_a",
		"postgres://crowdsec:secret@db.example/bans":                   "crowdsec@db.example/bans schema stormshield_a",
		"postgres://crowdsec@/bans?host=/run/postgresql&port=5433":     "crowdsec@/run/postgresql:5433/bans schema stormshield_a",
		"postgres://[2001:db8::1]:5432/bans":                           "[2001:db8::1]:5432/bans schema stormshield_a",
		"postgres://a:secret@[::1/":                                    "PostgreSQL, schema stormshield_a",
	} {
		if got := (Database{URL: url, Password: "secret", Name: "a"}).Place(); got != want {
			t.Errorf("%s is %q, want %q", url, got, want)
		}
	}
}

func TestPoolRefusesAnAddressThatItCannotRead(t *testing.T) {
	for _, url := range []string{"postgres://a:secret@[::1/", "postgres://a@b/c?sslmode=perhaps", "postgres://a@b/c?sslrootcert=/missing/ca.pem"} {
		_, err := Database{URL: url, Password: "secret"}.Pool(1, false)
		if err == nil || strings.Contains(err.Error(), "secret") || IsAway(err) || IsRefused(err) {
			t.Errorf("%s: %v", url, err)
		}
	}
}
