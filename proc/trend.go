package proc

import (
	"math"
	"time"
)

const (
	// trendEvery is the time between two points of a trend, trendPoints how many are
	// kept: those of a day.
	trendEvery  = 10 * time.Minute
	trendPoints = 24*6 + 1
	// trendLeast is the time that the points have to cover before they say anything.
	trendLeast = 30 * time.Minute
	// trendFar is when a filesystem counts as not filling.
	trendFar = 10 * 365 * 24 * time.Hour
)

// trend is how a filesystem fills: its used bytes over the last day, one point every ten
// minutes. The zero trend has no points.
type trend struct {
	points []trendPoint // a ring once it is full
	newest int          // index of the newest point
}

type trendPoint struct {
	at   time.Time
	used uint64
}

// add takes a measurement; most only confirm that the next point isn't due.
func (t *trend) add(at time.Time, used uint64) {
	switch {
	case len(t.points) > 0 && at.Sub(t.points[t.newest].at) < trendEvery:
		return
	case len(t.points) < trendPoints:
		t.points = append(t.points, trendPoint{at, used})
		t.newest = len(t.points) - 1
	default:
		t.newest = (t.newest + 1) % trendPoints
		t.points[t.newest] = trendPoint{at, used}
	}
}

// fullIn returns how long the available bytes last at the pace of the points, the slope of
// the line with the least squared distance from them. It is absent (false) while they
// cover less than half an hour, the filesystem isn't filling, or that takes longer than
// ten years.
func (t *trend) fullIn(available uint64) (left time.Duration, ok bool) {
	if len(t.points) == 0 {
		return 0, false
	}
	oldest := t.points[0]
	if len(t.points) == trendPoints {
		oldest = t.points[(t.newest+1)%trendPoints]
	}
	if t.points[t.newest].at.Sub(oldest.at) < trendLeast {
		return 0, false
	}
	// Both axes begin at the oldest point, so that a petabyte leaves digits for its bytes.
	x := func(p trendPoint) float64 { return p.at.Sub(oldest.at).Seconds() }
	y := func(p trendPoint) float64 { return float64(int64(p.used - oldest.used)) }
	n := float64(len(t.points))
	var meanX, meanY float64
	for _, p := range t.points {
		meanX += x(p) / n
		meanY += y(p) / n
	}
	var spread, together float64
	for _, p := range t.points {
		spread += (x(p) - meanX) * (x(p) - meanX)
		together += (x(p) - meanX) * (y(p) - meanY)
	}
	seconds := float64(available) * spread / together
	if together <= 0 || math.IsNaN(seconds) || seconds > trendFar.Seconds() {
		return 0, false
	}
	return time.Duration(seconds * float64(time.Second)), true
}
