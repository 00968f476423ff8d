package main

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"

	"notification-stormshield/config"
	"notification-stormshield/plugin"
)

// documentAt is a document and the file that holds it.
type documentAt struct {
	config.Document
	file string
}

// checkFolder compares a document with all others in the folder of its file. It warns of documents with the same name,
// and returns an error for documents that cannot run in one process.
func checkFolder(out output, file string, d config.Document) error {
	var all []error
	used := map[string]documentAt{} // by name; CrowdSec uses the last document of a name
	for _, other := range documentsInFolder(file) {
		if earlier, twice := used[other.Name]; twice && other.Name == d.Name {
			out.warn("%s and %s both hold a document named %s, and CrowdSec uses only the one in %[2]s (hint: give each a name of its own)",
				earlier.file, other.file, d.Name)
		}
		used[other.Name] = other
	}
	if own, found := used[d.Name]; found && !isSameFile(own.file, file) {
		return nil // CrowdSec uses another document instead of d
	}
	for name, other := range used {
		if name == d.Name {
			continue
		}
		if err := plugin.CheckPair(d, other.Document); err != nil {
			all = append(all, fmt.Errorf("%s and %s: %w", file, other.file, err))
		}
	}
	return errors.Join(all...)
}

// documentsInFolder returns our documents in the folder of a file, in CrowdSec's order. CrowdSec reads files that end in
// .yaml or .yml (csplugin, PluginBroker.loadConfig). Unreadable files are left out.
func documentsInFolder(file string) []documentAt {
	folder := filepath.Dir(file)
	entries, err := os.ReadDir(folder)
	if err != nil {
		return nil
	}
	var all []documentAt
	for _, entry := range entries {
		path := filepath.Join(folder, entry.Name())
		if entry.IsDir() || !strings.HasSuffix(path, ".yaml") && !strings.HasSuffix(path, ".yml") {
			continue
		}
		documents, err := config.Load(path)
		if err != nil {
			continue // only the document's own file is checked
		}
		for _, d := range documents {
			all = append(all, documentAt{d, path})
		}
	}
	return all
}

func isSameFile(a, b string) bool {
	first, err := os.Stat(a)
	if err != nil {
		return false
	}
	second, err := os.Stat(b)
	return err == nil && os.SameFile(first, second)
}
