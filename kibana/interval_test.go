package kibana

import (
	"testing"
	"time"
)

// TestInterval has the buckets that Kibana makes of the time ranges in its menu.
func TestInterval(t *testing.T) {
	f := func(length, want time.Duration, text string) {
		t.Helper()
		if got := interval(length); got != want {
			t.Errorf("%v in buckets of %v, want %v", length, got, want)
		}
		if got := intervalText(want); got != text {
			t.Errorf("%v is %s, want %s", want, got, text)
		}
	}
	f(10*time.Second, 100*time.Millisecond, "100ms")
	f(time.Minute, time.Second, "1s")
	f(5*time.Minute, 5*time.Second, "5s")
	f(10*time.Minute, 10*time.Second, "10s")
	f(15*time.Minute, 30*time.Second, "30s")
	f(time.Hour, time.Minute, "60s")
	f(24*time.Hour, 30*time.Minute, "1800s")
	f(7*day, 3*time.Hour, "10800s")
	f(30*day, 12*time.Hour, "43200s")
	f(90*day, day, "86400s")
	f(365*day, 7*day, "604800s")
	f(10*365*day, 30*day, "2592000s")
	f(100*365*day, 365*day, "31536000s")
}

func TestLength(t *testing.T) {
	f := func(text string, want time.Duration) {
		t.Helper()
		if got := length(text); got != want {
			t.Errorf("%s is %v, want %v", text, got, want)
		}
	}
	f("30s", 30*time.Second)
	f("1m", time.Minute)
	f("24h", day)
	f("7d", 7*day)
}
