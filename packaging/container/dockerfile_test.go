package container

import (
	"path"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/moby/buildkit/frontend/dockerfile/instructions"
	"github.com/moby/buildkit/frontend/dockerfile/parser"
)

// loadDockerfile reads the Dockerfile as BuildKit does. It returns the stages, and the names of the arguments before them.
func loadDockerfile(t *testing.T) ([]instructions.Stage, []string) {
	t.Helper()
	parsed, err := parser.Parse(strings.NewReader(read(t, "Dockerfile")))
	check(t, err)
	stages, arguments, err := instructions.Parse(parsed.AST, nil)
	check(t, err)
	var names []string
	for _, argument := range arguments {
		for _, pair := range argument.Args {
			names = append(names, pair.Key)
		}
	}
	return stages, names
}

// reference matches a variable in a Dockerfile.
var reference = regexp.MustCompile(`\$\{?(\w+)`)

func TestTheDockerfileNamesOnlyItsArgumentsAndStages(t *testing.T) {
	stages, arguments := loadDockerfile(t)
	var used, names []string
	for _, stage := range stages {
		for _, variable := range reference.FindAllStringSubmatch(stage.BaseName, -1) {
			used = append(used, variable[1])
		}
		for _, command := range stage.Commands {
			run, isRun := command.(*instructions.RunCommand)
			if !isRun {
				t.Fatalf("this test does not know the instruction %s", command.Name())
			}
			if found := reference.FindString(strings.Join(run.CmdLine, " ")); found != "" {
				t.Errorf("a command has the variable %s", found)
			}
			check(t, run.Expand(func(word string) (string, error) { return word, nil }))
			for _, mount := range instructions.GetMounts(run) {
				if !slices.Contains(names, mount.From) {
					t.Errorf("a command mounts the files of %q, and the stages before it are %q", mount.From, names)
				}
			}
		}
		names = append(names, stage.Name)
	}
	wantEqual(t, "the arguments that are used", unique(used), unique(arguments))
}

func TestThePathsOfTheDockerfileAgree(t *testing.T) {
	stages, _ := loadDockerfile(t)
	last := stages[len(stages)-1]
	var words []string
	for _, command := range last.Commands {
		words = append(words, strings.Fields(strings.Join(command.(*instructions.RunCommand).CmdLine, " "))...)
	}
	wantEqual(t, "the plugin folder", wordAfter(words, "install"), crowdsecPlugins)
	wantEqual(t, "the state folder", wordAfter(words, "--state"), defaultState(t))
	leads, link := wordAfter(words, "-s"), words[len(words)-1]
	wantEqual(t, "the target of the link", path.Join(path.Dir(link), leads), path.Join(crowdsecPlugins, pluginFile))
	wantEqual(t, "the link", link, "/usr/local/bin/crowdsec-stormshield")
}
