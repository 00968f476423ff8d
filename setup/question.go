package setup

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"strings"
	"unicode"
	"unicode/utf8"

	"notification-stormshield/config"
)

// question asks for one value of the document.
type question struct {
	prompt string
	flag   string // answers it without a question
	hidden bool   // the answer is a secret
	// usual is the meaning of an empty answer.
	usual string
	// optional allows an empty answer.
	optional bool
	// set puts an answer into the document, under key.
	key string
	set func(answer string)
	// check checks an answer beyond the document's own rules; nil: it does not.
	check func() error
}

// answer puts an answer into the document: the value of the flag, the usual answer, or the answer of the user. It asks a
// human again until the answer is valid.
func (s *setup) answer(ctx context.Context, q question, given string) error {
	if s.Given(q.flag) {
		if err := s.accept(q, given); err != nil {
			return UsageError{fmt.Errorf("--%s: %w", q.flag, err)}
		}
		return nil
	}
	if s.Yes && q.usual != "" || s.Yes && q.optional && !q.hidden {
		return s.accept(q, q.usual)
	}
	prompt := q.prompt
	if q.usual != "" && !q.hidden {
		prompt += " [" + q.usual + "]"
	}
	for {
		answer, err := s.dialogue.ask(ctx, prompt, q.hidden)
		if err != nil {
			return fmt.Errorf("%w before an answer to %q; nothing was written (hint: a script answers it with --%s)", err, q.prompt, q.flag)
		}
		if !q.hidden {
			answer = strings.TrimSpace(answer)
		}
		if answer == "" {
			answer = q.usual
		}
		err = s.accept(q, answer)
		if err == nil {
			return nil
		}
		if !s.dialogue.isHuman() {
			return fmt.Errorf("%s: %w", q.prompt, err)
		}
		fmt.Fprintf(s.Out, "  Invalid: %v\n", err)
	}
}

// answerFromFile reads a secret from a file, without the line break at its end.
func (s *setup) answerFromFile(q question, path string) error {
	file, err := os.Open(path)
	if err != nil {
		return fmt.Errorf("--%s: %w", q.flag, err)
	}
	defer file.Close()
	text, err := io.ReadAll(io.LimitReader(file, 1<<12))
	if err == nil {
		secret := strings.TrimSuffix(strings.TrimSuffix(string(text), "\n"), "\r")
		if secret == "" {
			err = errors.New("is empty")
		} else {
			err = s.accept(q, secret)
		}
	}
	if err != nil {
		return fmt.Errorf("--%s %s: %w", q.flag, path, err)
	}
	return nil
}

// accept puts an answer into the document, or returns why it is invalid.
func (s *setup) accept(q question, answer string) error {
	if err := checkText(answer); err != nil {
		return err
	}
	if !q.hidden || s.SecretsDir == "" { // with SecretsDir, a secret is not in the YAML
		if err := checkDollar(answer); err != nil {
			return err
		}
	}
	q.set(answer)
	if answer == "" && q.optional {
		return nil
	}
	if answer == "" {
		return errors.New("is required")
	}
	if err := s.documentFault(q.key); err != nil || q.check == nil {
		return err
	}
	return q.check()
}

// documentFault returns the fault of one key of the document.
func (s *setup) documentFault(key string) error {
	var faulty *config.Error
	if !errors.As(s.document.Validate(), &faulty) {
		return nil
	}
	for _, fault := range faulty.Faults {
		if fault.Key == key {
			return fmt.Errorf("%s; %s", fault.Problem, fault.Hint)
		}
	}
	return nil
}

// checkText refuses an answer that YAML or CrowdSec would not pass on unchanged.
func checkText(answer string) error {
	switch {
	case !utf8.ValidString(answer):
		return errors.New("is not text in UTF-8")
	case strings.ContainsFunc(answer, func(r rune) bool { return unicode.IsControl(r) || r == '\u2028' || r == '\u2029' || r == '\ufeff' }):
		return errors.New("holds a line break or a control character")
	}
	return nil
}

// checkDollar refuses an answer with a $: CrowdSec may replace it, and nothing escapes it.
func checkDollar(answer string) error {
	if strings.Contains(answer, "$") {
		return errors.New("holds a $, which CrowdSec may replace, and nothing escapes it; " +
			"choose a password without $, or put it into a file with --secrets-dir")
	}
	return nil
}
