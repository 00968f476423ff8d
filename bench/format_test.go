package main

import (
	"testing"
	"time"
)

func TestNumbersAreFormatted(t *testing.T) {
	for got, want := range map[string]string{
		grouped(0): "0", grouped(999): "999", grouped(1000): "1,000", grouped(1234567): "1,234,567",
		bytes(0): "0 B", bytes(999): "999 B", bytes(1000): "1.0 kB", bytes(16384): "16.4 kB", bytes(757_400): "757 kB", bytes(2_500_000): "2.5 MB",
		brief(4900 * time.Microsecond): "4.9 ms", brief(57 * time.Millisecond): "57 ms", brief(1350 * time.Millisecond): "1.35 s", brief(17200 * time.Millisecond): "17.2 s",
		times(100, 50): "2.0×", times(100, 5): "20×", times(123_456, 100): "1,234×", times(1, 0): "–", times(0, 1): "–", times(1, 2): "0.5×",
		seconds(1500 * time.Millisecond): "1.50 s", millis(2500 * time.Microsecond): "2.5 ms",
		network(emulated): "20 Mbit/s, 20 ms",
	} {
		if got != want {
			t.Errorf("%q, want %q", got, want)
		}
	}
}
