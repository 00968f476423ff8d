package container

import (
	"fmt"
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
			if from := filesFrom(t, command); from != "" && !slices.Contains(names, from) {
				t.Errorf("a command copies from %q, and the stages before it are %q", from, names)
			}
		}
		names = append(names, stage.Name)
	}
	wantEqual(t, "the arguments that are used", unique(used), unique(arguments))
}

// filesFrom returns the stage that a command copies files from; "": it copies none. The test ends if the command has a variable, or is
// neither COPY nor RUN.
func filesFrom(t *testing.T, command instructions.Command) (stage string) {
	t.Helper()
	words := ""
	switch command := command.(type) {
	case *instructions.CopyCommand:
		stage, words = command.From, fmt.Sprint(command.SourcePaths, command.DestPath)
	case *instructions.RunCommand:
		words = strings.Join(command.CmdLine, " ")
	default:
		t.Fatalf("this test does not know the command %s", command.Name())
	}
	if found := reference.FindString(words); found != "" {
		t.Fatalf("a command has the variable %s", found)
	}
	return stage
}

func TestThePathsOfTheDockerfileAgree(t *testing.T) {
	stages, _ := loadDockerfile(t)
	var plugin string
	var words []string
	for _, command := range stages[len(stages)-1].Commands {
		switch command := command.(type) {
		case *instructions.CopyCommand:
			wantEqual(t, "the file of the image", command.SourcePaths, []string{imageProgram})
			plugin = command.DestPath
		case *instructions.RunCommand:
			words = append(words, strings.Fields(strings.Join(command.CmdLine, " "))...)
		}
	}
	wantEqual(t, "the plugin", plugin, path.Join(crowdsecPlugins, pluginFile))
	link := wordAfter(words, wordAfter(words, "-s"))
	wantEqual(t, "the link", link, "/usr/local/bin/crowdsec-stormshield")
	wantEqual(t, "the target of the link", path.Join(path.Dir(link), wordAfter(words, "-s")), plugin)
	// CrowdSec's image runs plugins as nobody.
	if folder := "install -d -o 65534 -g 65534 -m 0700 " + defaultState(t); !strings.HasSuffix(strings.Join(words, " "), folder) {
		t.Errorf("%q do not end in %s", words, folder)
	}
}

// imageProgram is the program in the image of `make image` (packaging/build.sh).
const imageProgram = "/crowdsec-stormshield"
