package proc

import (
	"math"
	"math/rand/v2"
	"testing"
	"time"
)

const gib = 1 << 30

// series returns a trend of one point every step over the span, with used as a function of
// the time since its beginning.
func series(span, step time.Duration, used func(time.Duration) float64) *trend {
	var t trend
	begin := time.Date(2026, 11, 22, 0, 0, 0, 0, time.UTC)
	for at := time.Duration(0); at <= span; at += step {
		t.add(begin.Add(at), uint64(used(at)))
	}
	return &t
}

func TestTrend(t *testing.T) {
	f := func(points *trend, available uint64, want time.Duration) {
		t.Helper()
		got, ok := points.fullIn(available)
		if ok != (want >= 0) || ok && math.Abs(float64(got-want)) > 0.001*float64(want) {
			t.Errorf("full in %v (%v), want %v", got, ok, want)
		}
	}
	const none = -1
	perHour := func(bytes float64) func(time.Duration) float64 {
		return func(at time.Duration) float64 { return 1000*gib + bytes*at.Hours() }
	}
	day, minute := 24*time.Hour, time.Minute

	f(new(trend), gib, none)
	f(series(0, minute, perHour(gib)), gib, none)
	f(series(29*minute, minute, perHour(gib)), gib, none)
	f(series(30*minute, minute, perHour(gib)), gib, time.Hour)
	f(series(day, minute, perHour(gib)), 48*gib, 2*day)
	f(series(day, minute, perHour(gib)), 0, 0)
	f(series(day, minute, perHour(0)), gib, none)
	f(series(day, minute, perHour(-gib)), gib, none)
	// Ten years are far enough.
	f(series(day, minute, perHour(gib)), 10*365*24*gib, 10*365*day)
	f(series(day, minute, perHour(gib)), 10*365*24*gib+gib, none)
	f(series(day, minute, perHour(gib)), math.MaxUint64, none)
	// Only the last day counts: it had been emptied before, and fills now.
	f(series(3*day, minute, func(at time.Duration) float64 {
		if at < 2*day {
			return 4000*gib - gib*at.Hours()
		}
		return gib * at.Hours()
	}), 24*gib, day)
	// A petabyte that grows by a byte a second.
	f(series(day, minute, func(at time.Duration) float64 { return 1<<50 + at.Seconds() }), 3600, time.Hour)
	// A saw tooth, as of logs that are rotated each hour, that rises slowly.
	f(series(day, minute, func(at time.Duration) float64 {
		return 100*gib + float64(at%time.Hour)/float64(time.Hour)*gib
	}), math.MaxUint64/2, none)
	f(series(day, 15*minute, perHour(gib)), gib, time.Hour)
}

func TestTrendNoise(t *testing.T) {
	noise := rand.New(rand.NewPCG(1, 2))
	points := series(24*time.Hour, time.Minute, func(at time.Duration) float64 {
		return 500*gib + at.Hours()*gib + noise.NormFloat64()*gib/4
	})
	got, ok := points.fullIn(100 * gib)
	if want := 100 * time.Hour; !ok || math.Abs(float64(got-want)) > 0.05*float64(want) {
		t.Errorf("full in %v (%v), want about %v", got, ok, want)
	}
}

func TestTrendKeepsOneDay(t *testing.T) {
	points := series(72*time.Hour, time.Second*30, func(time.Duration) float64 { return 1 })
	if len(points.points) != trendPoints {
		t.Fatalf("%d points, want %d", len(points.points), trendPoints)
	}
	newest := points.points[points.newest].at
	oldest := points.points[(points.newest+1)%trendPoints].at
	if span := newest.Sub(oldest); span != 24*time.Hour {
		t.Errorf("points cover %v, want a day", span)
	}
}

func BenchmarkTrend(b *testing.B) {
	points := series(24*time.Hour, time.Minute, func(at time.Duration) float64 { return at.Hours() })
	b.ReportAllocs()
	for b.Loop() {
		points.fullIn(gib)
	}
}
