package config

import (
	"strconv"
	"strings"
	"time"

	"go.yaml.in/yaml/v3"

	"notification-stormshield/plugin/ban"
)

// setter puts a value where it belongs, or says why it cannot. It checks the
// value's type; what values make sense is up to Document.Validate.
type setter func(value) *problem

func text[T ~string](target *T) setter {
	return func(v value) *problem {
		text, wrong := v.string()
		if wrong == nil {
			*target = T(text)
		}
		return wrong
	}
}

// word is text in lower case.
func word(target *string) setter {
	return func(v value) *problem {
		text, wrong := v.string()
		if wrong == nil {
			*target = strings.ToLower(text)
		}
		return wrong
	}
}

func host(target *string) setter {
	return func(v value) *problem {
		text, wrong := v.string()
		if wrong == nil {
			*target = unbracketed(text)
		}
		return wrong
	}
}

// folder is text without a slash at the end.
func folder(target *string) setter {
	return func(v value) *problem {
		text, wrong := v.string()
		if wrong == nil {
			*target = text
			if trimmed := strings.TrimRight(text, "/"); trimmed != "" {
				*target = trimmed
			}
		}
		return wrong
	}
}

func fingerprint(target *Fingerprint) setter {
	return func(v value) *problem {
		text, wrong := v.text()
		if wrong != nil || text == "" {
			return wrong
		}
		parsed, err := ParseFingerprint(text)
		if err != nil {
			return &problem{shown(text) + " is not the SHA-256 fingerprint of a certificate",
				"write SHA256:… as `crowdsec-stormshield trust` prints it, or 64 hexadecimal digits"}
		}
		*target = parsed
		return nil
	}
}

func number(target *int) setter {
	return func(v value) *problem {
		text, wrong := v.text()
		if wrong != nil {
			return wrong
		}
		parsed, err := strconv.Atoi(text)
		if err != nil || strconv.Itoa(parsed) != text {
			return &problem{shown(text) + " is not a whole number", "write digits without a leading zero"}
		}
		*target = parsed
		return nil
	}
}

func boolean(target *bool) setter {
	return func(v value) *problem {
		text, wrong := v.text()
		if wrong != nil {
			return wrong
		}
		truth := truths[strings.ToLower(text)]
		if truth == "" {
			return &problem{shown(text) + " is neither true nor false", "write true or false"}
		}
		*target = truth == "true"
		return nil
	}
}

func duration(target *time.Duration) setter {
	return func(v value) *problem {
		text, wrong := v.text()
		if wrong != nil {
			return wrong
		}
		if text == "" {
			return &problem{"is empty", "write for example 30s, 10m, 4h or 7d, or leave the key out"}
		}
		parsed, err := ban.ParseDuration(text)
		if err != nil {
			return &problem{shown(text) + " is not a duration", "write for example 30s, 10m, 4h, 7d or 1d12h"}
		}
		*target = parsed
		return nil
	}
}

// crowdsecDuration is a duration that CrowdSec reads itself, so without days.
func crowdsecDuration(target *time.Duration) setter {
	return func(v value) *problem {
		text, wrong := v.text()
		if wrong != nil {
			return wrong
		}
		parsed, err := time.ParseDuration(text)
		if err != nil {
			return &problem{shown(text) + " is not a duration that CrowdSec can read", "write for example 10s or 2m"}
		}
		*target = parsed
		return nil
	}
}

func list(target *[]string) setter {
	return func(v value) *problem {
		if v.node.Kind != yaml.SequenceNode {
			return &problem{"is not a list", "write it in brackets, such as [ban]"}
		}
		entries := make([]string, 0, len(v.node.Content))
		for i, node := range v.node.Content {
			one := value{resolved(node), v.from}
			if isNull(one.node) {
				return &problem{entry(i) + "is empty", "remove it"}
			}
			one, wrong := one.handedOver()
			var text string
			if wrong == nil {
				text, wrong = one.string()
			}
			if wrong != nil {
				return &problem{entry(i) + wrong.what, wrong.write}
			}
			entries = append(entries, text)
		}
		*target = entries
		return nil
	}
}
