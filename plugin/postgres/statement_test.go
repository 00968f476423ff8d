package postgres

import (
	"database/sql/driver"
	"math"
	"reflect"
	"strings"
	"testing"
	"time"
)

func TestBindTakesTheTypeFromTheValue(t *testing.T) {
	arguments := []driver.NamedValue{
		{Value: int64(-5)}, {Value: "a"}, {Value: []byte{0, 1}}, {Value: true}, {Value: 0.5}, {Value: nil}, {Value: []byte{}}, {Value: ""},
	}
	b, err := bind(arguments)
	if err != nil {
		t.Fatal(err)
	}
	values := [][]byte{[]byte("-5"), []byte("a"), {0, 1}, []byte("true"), []byte("0.5"), nil, {}, {}}
	if !reflect.DeepEqual(b.values, values) {
		t.Errorf("the values are %q", b.values)
	}
	if want := []uint32{oidInt8, oidText, oidBytea, oidBool, oidFloat8, 0, oidBytea, oidText}; !reflect.DeepEqual(b.types, want) {
		t.Errorf("the types are %d", b.types)
	}
	if want := []int16{0, 0, 1, 0, 0, 0, 1, 0}; !reflect.DeepEqual(b.formats, want) {
		t.Errorf("the formats are %d", b.formats)
	}
	for _, wrong := range []driver.NamedValue{{Name: "a", Ordinal: 1, Value: int64(1)}, {Value: time.Now()}} {
		if _, err := bind([]driver.NamedValue{wrong}); err == nil {
			t.Errorf("%v is a parameter", wrong)
		}
	}
}

func TestATextIsStorable(t *testing.T) {
	for text, want := range map[string]string{
		"crowdsecurity/ssh-bf": "crowdsecurity/ssh-bf", "a\x00b": "a\uFFFDb", "a\xffb": "a\uFFFDb", "ü\u2028": "ü\u2028",
	} {
		if got := toStorable(text); got != want {
			t.Errorf("%q becomes %q, want %q", text, got, want)
		}
	}
}

func TestDecodeReadsTheServersText(t *testing.T) {
	for _, c := range []struct {
		oid  uint32
		text string
		want driver.Value
	}{
		{oidInt8, "-9223372036854775808", int64(math.MinInt64)},
		{oidInt4, "7", int64(7)},
		{oidInt2, "7", int64(7)},
		{oidBool, "t", true},
		{oidBool, "f", false},
		{oidBytea, `\x00ff`, []byte{0, 255}},
		{oidBytea, `\x`, []byte{}},
		{oidNumeric, "300000", int64(300000)},
		{oidNumeric, "0.25", 0.25},
		{oidFloat8, "1e300", 1e300},
		{oidText, "7", "7"},
		{oidText, "", ""},
		{2950, "a", "a"}, // uuid
	} {
		if got, err := decode(c.oid, []byte(c.text)); err != nil || !reflect.DeepEqual(got, c.want) {
			t.Errorf("%d %q: %#v, %v, want %#v", c.oid, c.text, got, err, c.want)
		}
	}
	if got, err := decode(oidInt8, nil); got != nil || err != nil {
		t.Errorf("NULL is %v, %v", got, err)
	}
	for oid, text := range map[uint32]string{oidInt8: "x", oidBytea: "00ff", oidNumeric: "x", oidFloat8: strings.Repeat("x", 3)} {
		if got, err := decode(oid, []byte(text)); err == nil {
			t.Errorf("%d %q is %v", oid, text, got)
		}
	}
}
