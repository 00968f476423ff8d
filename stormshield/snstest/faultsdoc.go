package snstest

import (
	_ "embed"
	"strings"
)

//go:embed faults.go
var faultsSource string

// DescribeFaults returns the switches of Faults with their comments, as the source has them.
func DescribeFaults() string {
	_, fields, _ := strings.Cut(faultsSource, "type Faults struct {\n")
	fields, _, _ = strings.Cut(fields, "\n}\n")
	var text strings.Builder
	for line := range strings.Lines(fields + "\n") {
		text.WriteString(strings.TrimPrefix(line, "\t"))
	}
	return text.String()
}
