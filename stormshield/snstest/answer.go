package snstest

import (
	"encoding/xml"
	"strconv"
	"strings"
)

// phrase is a message in the languages of an appliance. Clients must not decide by it.
type phrase struct{ en, fr string }

func (p phrase) text(language string) string {
	if language == "fr" {
		return p.fr
	}
	return p.en
}

// status is a serverd element, the result of a command. The codes and messages of Ok, Begin, unknown command and missing
// argument are captured ones. The other codes have only the same form.
type status struct {
	ret     int
	code    string
	message phrase
}

var (
	statusOK       = status{100, "00a00100", phrase{"Ok", "Ok"}}
	statusBegin    = status{101, "00a01000", phrase{"Begin", "Début"}}
	statusHeld     = status{110, "00a00110", phrase{"Modify privilege already held", "Droit de modification déjà acquis"}}
	statusUnknown  = status{200, "00100200", phrase{"Unknown command", "Commande inconnue"}}
	statusArgument = status{200, "00104100", phrase{"Missing or invalid argument", "argument manquant ou invalide"}}
	statusFailed   = status{200, "00100300", phrase{"Command failed", "La commande a échoué"}}
	statusErrors   = status{201, "00100400", phrase{"Errors in the policy", "Erreurs dans la politique"}}
	statusTooMany  = status{204, "00100600", phrase{"Maximum number of users for this level reached", "Nombre maximum d'utilisateurs atteint pour ce niveau"}}
	statusLevel    = status{205, "00100700", phrase{"Not enough privilege", "Privilèges insuffisants"}}
	statusFault    = phrase{"Simulated answer", "Réponse simulée"}
)

// answer is the answer to a command: a status, or data between Begin and a status.
type answer struct {
	status status
	format string // of the data: raw, section, section_line; "" without data
	data   string // the content of the data element, in XML
}

// rootMessages go with the root codes (vendor's Python client, SSL_SERVERD_MSG).
var rootMessages = map[int]string{
	100: "OK", 200: "Request error", 201: "Unknown command", 202: "Command error", 203: "Invalid session",
	204: "Expired session", 205: "Authentication error", 206: "Pending transfer", 207: "Upload pending",
	500: "Server overheat", 501: "Server unreachable", 502: "Server disconnected", 900: "Internal error",
}

const xmlHeader = `<?xml version="1.0"?>` + "\n"

// rootXML is a whole document.
func rootXML(code int, content string) string {
	return xmlHeader + `<nws code="` + strconv.Itoa(code) + `" msg="` + escape(rootMessages[code]) + `">` + content + `</nws>`
}

func (s status) open(b *strings.Builder, language string) {
	b.WriteString(`<serverd ret="` + strconv.Itoa(s.ret) + `" code="` + s.code + `" msg="` + escape(s.message.text(language)) + `">`)
}

// xml is the whole document of an answer.
func (r answer) xml(language string) string {
	var b strings.Builder
	if r.format != "" {
		statusBegin.open(&b, language)
		b.WriteString(`<data format="` + r.format + `">` + r.data + `</data></serverd>`)
	}
	r.status.open(&b, language)
	b.WriteString(`</serverd>`)
	return rootXML(100, b.String())
}

func escape(text string) string {
	var b strings.Builder
	_ = xml.EscapeText(&b, []byte(text)) // a Builder never fails
	return b.String()
}

// keyValue is one key of a section.
type keyValue struct{ name, value string }

func keysXML(keys []keyValue) string {
	var b strings.Builder
	for _, k := range keys {
		b.WriteString(`<key name="` + escape(k.name) + `" value="` + escape(k.value) + `"/>`)
	}
	return b.String()
}

func plain(s status) answer { return answer{status: s} }

// sectionAnswer has one section of keys.
func sectionAnswer(title string, keys ...keyValue) answer {
	return answer{statusOK, "section", `<section title="` + escape(title) + `">` + keysXML(keys) + `</section>`}
}

// linesAnswer has one section of lines, each of several keys.
func linesAnswer(title string, lines [][]keyValue) answer {
	var b strings.Builder
	for _, line := range lines {
		b.WriteString(`<line>` + keysXML(line) + `</line>`)
	}
	return answer{statusOK, "section_line", `<section title="` + escape(title) + `">` + b.String() + `</section>`}
}

// rawAnswer has text, which must not contain "]]>".
func rawAnswer(text string) answer {
	return answer{statusOK, "raw", `<![CDATA[` + text + `]]>`}
}
