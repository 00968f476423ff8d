package crowdsec

import (
	"bytes"
	"cmp"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"slices"
	"strings"

	"go.yaml.in/yaml/v3"
)

// ProfilesEdit is a text of profiles.yaml after [AddNotification].
type ProfilesEdit struct {
	// Text is the new text. It is the old one with some put in between: every
	// byte that was there is there, in its order.
	Text []byte
	// Added are the profiles that the edit made name the notification. None: the text is
	// as it was.
	Added []string
	// Present are the profiles with bans that named it before.
	Present []string
}

// AddNotification names a notification in every profile (a YAML document of a
// profiles.yaml) that makes decisions of type ban and does not name it yet.
//
// The new text has been read again, and differs from the old one in those names
// alone. A text that cannot be changed so gives an error, which says where.
func AddNotification(text []byte, name string) (ProfilesEdit, error) {
	if len(text) > largest {
		return ProfilesEdit{}, fmt.Errorf("is longer than %d bytes", largest)
	}
	roots, err := documents(text)
	if err != nil {
		return ProfilesEdit{}, err
	}
	item, err := yaml.Marshal(name) // with quotes, where YAML needs them
	if err != nil {
		return ProfilesEdit{}, err
	}
	e := editor{lines: split(text), item: strings.TrimSuffix(string(item), "\n")}
	change := ProfilesEdit{Text: text}
	named := make(map[int]bool)
	for i, root := range roots {
		var p profile
		if err := root.Decode(&p); err != nil {
			return ProfilesEdit{}, fmt.Errorf("profile number %d: %w", i+1, err)
		}
		label := cmp.Or(p.Name, fmt.Sprintf("number %d", i+1))
		switch {
		case !p.bans():
			continue
		case slices.Contains(p.Notifications, name):
			change.Present = append(change.Present, label)
			continue
		}
		if err := e.add(root); err != nil {
			return ProfilesEdit{}, fmt.Errorf("profile %s, from line %d: %w", label, root.Line, err)
		}
		named[i] = true
		change.Added = append(change.Added, label)
	}
	if len(named) > 0 {
		change.Text = e.apply(text)
	}
	if err := verify(text, change.Text, named, name); err != nil {
		return ProfilesEdit{}, err
	}
	return change, nil
}

// Naming is which profiles name a notification.
type Naming struct {
	// Deciding are the profiles whose alerts have decisions that block.
	Deciding []string
	// Idle are the other profiles that name it.
	Idle []string
}

// Naming reads the profiles and returns those that name a notification. Decisions
// of the given types block.
//
// CrowdSec first takes the profiles of the file with .local behind its name. An
// alert keeps the decisions of the first profile that makes some. A later profile
// without decisions therefore sends those of the earlier one, unless the earlier
// one has on_success: break (controllers/v1.CreateAlert).
func (c Config) Naming(name string, types []string) (Naming, error) {
	var naming Naming
	earlier := false // an earlier profile makes decisions, and does not break
	n := 0
	for _, path := range []string{c.ProfilesPath + ".local", c.ProfilesPath} {
		text, err := read(path)
		if path != c.ProfilesPath && errors.Is(err, fs.ErrNotExist) {
			continue
		}
		if err != nil {
			return Naming{}, fmt.Errorf("read the profiles: %w", err)
		}
		roots, err := documents(text)
		if err != nil {
			return Naming{}, fmt.Errorf("read the profiles %s: %w", path, err)
		}
		for _, root := range roots {
			n++
			var p profile
			if err := root.Decode(&p); err != nil {
				return Naming{}, fmt.Errorf("read profile number %d of %s: %w", n, path, err)
			}
			label := cmp.Or(p.Name, fmt.Sprintf("number %d", n))
			switch {
			case !slices.Contains(p.Notifications, name):
			case p.decides(types) || earlier:
				naming.Deciding = append(naming.Deciding, label)
			default:
				naming.Idle = append(naming.Idle, label)
			}
			earlier = earlier || p.decides(types) && !strings.EqualFold(p.OnSuccess, "break")
		}
	}
	return naming, nil
}

// documents are the roots of the documents of a text; of an empty document, a
// null.
func documents(text []byte) ([]*yaml.Node, error) {
	var roots []*yaml.Node
	decoder := yaml.NewDecoder(bytes.NewReader(text))
	for {
		var node yaml.Node
		err := decoder.Decode(&node)
		if errors.Is(err, io.EOF) {
			return roots, nil
		}
		if err != nil {
			return nil, err
		}
		if node.Kind == yaml.DocumentNode && len(node.Content) > 0 {
			node = *node.Content[0]
		}
		roots = append(roots, &node)
	}
}

// profile is what matters of one; anchors and merged keys are resolved.
type profile struct {
	Name      string `yaml:"name"`
	Decisions []struct {
		Type string `yaml:"type"`
	} `yaml:"decisions"`
	OnSuccess     string   `yaml:"on_success"`
	Notifications []string `yaml:"notifications"`
}

// bans reports a profile that makes decisions of type ban.
func (p profile) bans() bool { return p.decides([]string{"ban"}) }

// decides reports whether a profile makes decisions of one of the types.
func (p profile) decides(types []string) bool {
	for _, decision := range p.Decisions {
		if slices.ContainsFunc(types, func(t string) bool { return strings.EqualFold(t, decision.Type) }) {
			return true
		}
	}
	return false
}

// pair is a key of a mapping and its value, nil when there is none.
func pair(mapping *yaml.Node, key string) (name, value *yaml.Node) {
	for i := 0; i+1 < len(mapping.Content); i += 2 {
		if mapping.Content[i].Value == key {
			return mapping.Content[i], mapping.Content[i+1]
		}
	}
	return nil, nil
}
