package metrics

import (
	"os"
	"strings"
	"testing"
)

func TestOnlyTheNamesOfThisMachineAreItsOwn(t *testing.T) {
	t.Parallel()
	name, err := os.Hostname()
	if err != nil {
		t.Fatal(err)
	}
	for host, own := range map[string]bool{
		"127.0.0.1:60602": true, "127.0.0.1": true, "[::1]:60602": true, "[::1]": true, "192.0.2.1:60602": true, "localhost:60602": true,
		"LOCALHOST.": true, name: true, strings.ToUpper(name) + ":60602": true,
		"": false, name + ".attacker.example": false, "attacker.example": false, "attacker.example:60602": false, "localhost.attacker.example": false,
		"127.0.0.1.attacker.example": false, "other" + name: false, name + "other": false,
	} {
		if got := isOwnHost(host); got != own {
			t.Errorf("%q: %t", host, got)
		}
	}
}
