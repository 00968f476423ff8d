package serverd_test

import (
	"encoding/xml"
	"strings"
	"testing"
	"unicode/utf8"

	"notification-stormshield/stormshield/serverd"
)

// An answer is a success only if the number of its last status says so.
func FuzzAnswersAreReadWithoutHarm(f *testing.F) {
	f.Add(`<?xml version="1.0"?><nws code="100" msg="OK"><serverd ret="100" code="00a00100" msg="Ok"></serverd></nws>`)
	f.Add(`<nws code="100"><serverd ret="101" code="00a01000"><data format="section_line"><section title="Result"><line>` +
		`<key name="name" value="obj008"/></line></section></data></serverd><serverd ret="200" code="1" msg="Commande inconnue"/></nws>`)
	f.Add(`<?xml version="1.0" encoding="ISO-8859-1"?><nws code="203" msg="` + "\xe9" + `"/>`)
	f.Add(`<nws code="100"><serverd ret="99999999999999999999"/></nws>`)
	f.Add("<nws code='100'><serverd ret='100'><data><![CDATA[[Result]\nModel=\"EVA2\"\n]]></data></serverd>")
	f.Add(`<nws code="100">no status</nws>`)
	f.Add(strings.Repeat("<a>", 20_000))
	f.Fuzz(func(t *testing.T, text string) {
		answer, err := serverd.Read(strings.NewReader(text))
		if err != nil {
			return
		}
		var same struct {
			XMLName xml.Name `xml:"nws"`
			Code    int      `xml:"code,attr"`
			Serverd []struct {
				Ret int `xml:"ret,attr"`
			} `xml:"serverd"`
		}
		if utf8.ValidString(text) && !strings.Contains(text, "encoding") {
			if err := xml.Unmarshal([]byte(text), &same); err != nil || same.Code != 100 || same.Serverd[len(same.Serverd)-1].Ret != answer.Ret {
				t.Errorf("encoding/xml reads %+v, %v from %q", same, err, text)
			}
		}
		if answer.Ret < 100 || answer.Ret >= 200 {
			t.Errorf("ret %d is taken for a success: %q", answer.Ret, text)
		}
		answer.Lines()
		answer.Section("Result")
	})
}
