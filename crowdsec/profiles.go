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

// ProfilesEdit is the result of [AddNotification].
type ProfilesEdit struct {
	// Text is the new text: the old one with insertions.
	Text []byte
	// Added are the profiles that got the name of the notification. If there are none, the text is the old one.
	Added []string
	// Present are the profiles with bans that already had it.
	Present []string
}

// AddNotification adds a notification to the list in every profile (a YAML document of profiles.yaml) that makes decisions
// of type ban and does not name it yet.
//
// It reads the new text again: both texts must have the same content, except for the added names. A text that it cannot
// change gives an error with the place.
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
	var edit ProfilesEdit
	var edited []int
	for i, root := range roots {
		var p profile
		if err := root.Decode(&p); err != nil {
			return ProfilesEdit{}, fmt.Errorf("profile number %d: %w", i+1, err)
		}
		label := cmp.Or(p.Name, fmt.Sprintf("number %d", i+1))
		switch {
		case !p.decides([]string{"ban"}):
		case slices.Contains(p.Notifications, name):
			edit.Present = append(edit.Present, label)
		default:
			edit.Added, edited = append(edit.Added, label), append(edited, i)
		}
	}
	e := editor{lines: slices.Collect(strings.Lines(string(text))), item: strings.TrimSuffix(string(item), "\n")}
	for n, i := range slices.Backward(edited) {
		if err := e.add(roots[i]); err != nil {
			return ProfilesEdit{}, fmt.Errorf("profile %s, from line %d: %w", edit.Added[n], roots[i].Line, err)
		}
	}
	edit.Text = []byte(strings.Join(e.lines, ""))
	if err := verify(text, edit.Text, edited, name); err != nil {
		return ProfilesEdit{}, err
	}
	return edit, nil
}

// Naming lists the profiles that name a notification.
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
	profiles, err := c.profiles()
	if err != nil {
		return Naming{}, err
	}
	var naming Naming
	earlier := false // an earlier profile makes decisions, and does not break
	for i, p := range profiles {
		label := cmp.Or(p.Name, fmt.Sprintf("number %d", i+1))
		switch {
		case !slices.Contains(p.Notifications, name):
		case p.decides(types) || earlier:
			naming.Deciding = append(naming.Deciding, label)
		default:
			naming.Idle = append(naming.Idle, label)
		}
		earlier = earlier || p.decides(types) && !strings.EqualFold(p.OnSuccess, "break")
	}
	return naming, nil
}

// ProfileFilesNaming returns the files with profiles that name a notification.
func (c Config) ProfileFilesNaming(name string) ([]string, error) {
	profiles, err := c.profiles()
	var files []string
	for _, p := range profiles {
		if slices.Contains(p.Notifications, name) && !slices.Contains(files, p.file) {
			files = append(files, p.file)
		}
	}
	return files, err
}

// profiles reads the profiles in the order of CrowdSec.
func (c Config) profiles() ([]profile, error) {
	var all []profile
	for _, path := range []string{c.ProfilesPath + ".local", c.ProfilesPath} {
		text, err := read(path)
		if path != c.ProfilesPath && errors.Is(err, fs.ErrNotExist) {
			continue
		}
		if err != nil {
			return all, fmt.Errorf("read the profiles: %w", err)
		}
		roots, err := documents(text)
		if err != nil {
			return all, fmt.Errorf("read the profiles %s: %w", path, err)
		}
		for _, root := range roots {
			p := profile{file: path}
			if err := root.Decode(&p); err != nil {
				return all, fmt.Errorf("read profile number %d of %s: %w", len(all)+1, path, err)
			}
			all = append(all, p)
		}
	}
	return all, nil
}

// documents returns the root of each document of a text. The root of an empty document is a null.
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

// profile is the part of a profile that is read. Anchors and merged keys are resolved.
type profile struct {
	file      string
	Name      string `yaml:"name"`
	Decisions []struct {
		Type string `yaml:"type"`
	} `yaml:"decisions"`
	OnSuccess     string   `yaml:"on_success"`
	Notifications []string `yaml:"notifications"`
}

// decides reports whether a profile makes decisions of one of the types.
func (p profile) decides(types []string) bool {
	for _, decision := range p.Decisions {
		if slices.ContainsFunc(types, func(t string) bool { return strings.EqualFold(t, decision.Type) }) {
			return true
		}
	}
	return false
}

// pair returns a key of a mapping and its value, nil if there is none.
func pair(mapping *yaml.Node, key string) (name, value *yaml.Node) {
	for i := 0; i+1 < len(mapping.Content); i += 2 {
		if mapping.Content[i].Value == key {
			return mapping.Content[i], mapping.Content[i+1]
		}
	}
	return nil, nil
}
