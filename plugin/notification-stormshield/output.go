package main

import (
	"encoding/json"
	"fmt"
	"io"
	"strings"
	"time"

	"github.com/spf13/cobra"
)

// addJSON gives a command the flag --json.
func addJSON(cmd *cobra.Command, asJSON *bool) {
	cmd.Flags().BoolVar(asJSON, "json", false, "print JSON, for programs")
}

// printJSON prints a value for programs. Its keys are what CHANGELOG calls an
// interface: they keep their names and meanings.
func printJSON(out io.Writer, value any) error {
	encoder := json.NewEncoder(out)
	encoder.SetIndent("", "  ")
	encoder.SetEscapeHTML(false)
	return encoder.Encode(value)
}

// span writes how long something is, in the two largest of its units: 3h12m,
// 2d4h, 45s.
func span(d time.Duration) string {
	if d < time.Second {
		return "0s"
	}
	var text strings.Builder
	written := 0
	for _, unit := range []struct {
		length time.Duration
		name   string
	}{{24 * time.Hour, "d"}, {time.Hour, "h"}, {time.Minute, "m"}, {time.Second, "s"}} {
		n := d / unit.length
		d -= n * unit.length
		if n == 0 && written == 0 {
			continue
		}
		if n > 0 {
			fmt.Fprintf(&text, "%d%s", n, unit.name)
		}
		if written++; written == 2 {
			break
		}
	}
	return text.String()
}

// count writes a number of things.
func count(n int, one, many string) string {
	if n == 1 {
		return "1 " + one
	}
	return fmt.Sprintf("%d %s", n, many)
}

// moment is a time for JSON; a zero one is null.
func moment(t time.Time) *time.Time {
	if t.IsZero() {
		return nil
	}
	t = t.UTC()
	return &t
}
