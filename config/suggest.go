package config

import (
	"regexp"

	"go.yaml.in/yaml/v3"
)

var simpleKey = pattern{regexp.MustCompile(`^[A-Za-z0-9_.-]+$`), 64}

// plainKey returns a key's name in a form that can be shown.
func plainKey(name string) string {
	if simpleKey.MatchString(name) {
		return name
	}
	return shown(name)
}

// unknownKey says which key may be meant: that of the same name in another section, or the nearest one.
func unknownKey(section string, name *yaml.Node) problem {
	if name.Kind != yaml.ScalarNode {
		return problem{"a key is a list, a mapping or an alias", "write its name"}
	}
	if name.Value == "<<" {
		return problem{"merging of mappings is not supported", "write the keys out"}
	}
	best, where := nearest(section, name.Value)
	place := "at the top level"
	if where != "" {
		place = "under " + where
	}
	switch {
	case best == "":
		return problem{text: "is not a known key"}
	case best == name.Value:
		return problem{"is not a key of this place", best + " belongs " + place}
	case where == section:
		return problem{"is not a known key", "did you mean " + best + "?"}
	}
	return problem{"is not a known key", "did you mean " + best + ", which belongs " + place + "?"}
}

// nearest returns the known key that resembles a name most, and the path of its section. It prefers a key of the section where the
// name stands.
func nearest(section, name string) (best, where string) {
	shortest := min(len(name)/3, 4) + 1
	for _, k := range keys {
		far := distance(name, k.name)
		if k.section != section {
			far++
		}
		if far < shortest || far == shortest && k.section == section && where != section {
			best, where, shortest = k.name, k.section, far
		}
	}
	return best, where
}

// distance returns how many characters must be inserted, removed, changed or swapped with their neighbour to turn one name
// into the other.
func distance(a, b string) int {
	if len(a) > 64 {
		return len(a)
	}
	older, old, row := make([]int, len(b)+1), make([]int, len(b)+1), make([]int, len(b)+1)
	for j := range old {
		old[j] = j
	}
	for i := 1; i <= len(a); i++ {
		row[0] = i
		for j := 1; j <= len(b); j++ {
			change := old[j-1]
			if a[i-1] != b[j-1] {
				change++
			}
			row[j] = min(change, old[j]+1, row[j-1]+1)
			if i > 1 && j > 1 && a[i-1] == b[j-2] && a[i-2] == b[j-1] {
				row[j] = min(row[j], older[j-2]+1)
			}
		}
		older, old, row = old, row, older
	}
	return old[len(b)]
}
