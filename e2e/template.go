package e2e

import (
	"embed"
	"os"
	"testing"
	"text/template"
)

//go:embed templates
var templates embed.FS

// writeTemplate writes a file from templates/<name>. A missing value fails the test.
func writeTemplate(t testing.TB, name, path string, mode os.FileMode, values any) {
	t.Helper()
	text, err := template.New(name).Option("missingkey=error").ParseFS(templates, "templates/"+name)
	if err != nil {
		t.Fatal(err)
	}
	file, err := os.OpenFile(path, os.O_CREATE|os.O_TRUNC|os.O_WRONLY, mode)
	if err != nil {
		t.Fatal(err)
	}
	defer file.Close()
	if err := text.Execute(file, values); err != nil {
		t.Fatal(err)
	}
}
