package kibana

import (
	"strconv"
	"time"
)

// targetBars is how many buckets Kibana aims at, unless its settings say otherwise.
const targetBars = 50

// pace is one of the intervals that Kibana finds fit for eyes: the one for all that want
// at most as long as the bound for each bar.
type pace struct{ bound, interval time.Duration }

// day is one without changes of the clock.
const day = 24 * time.Hour

// paces has Kibana's intervals, the shortest first.
var paces = [...]pace{
	{500 * time.Millisecond, 100 * time.Millisecond},
	{5 * time.Second, time.Second},
	{7500 * time.Millisecond, 5 * time.Second},
	{15 * time.Second, 10 * time.Second},
	{45 * time.Second, 30 * time.Second},
	{3 * time.Minute, time.Minute},
	{9 * time.Minute, 5 * time.Minute},
	{20 * time.Minute, 10 * time.Minute},
	{45 * time.Minute, 30 * time.Minute},
	{2 * time.Hour, time.Hour},
	{6 * time.Hour, 3 * time.Hour},
	{day, 12 * time.Hour},
	{7 * day, day},
	{21 * day, 7 * day},
	{365 * day, 30 * day},
}

// interval returns the length of the buckets that Kibana makes of a time range.
func interval(length time.Duration) time.Duration {
	wanted := length / targetBars
	for _, p := range paces {
		if wanted < p.bound {
			return p.interval
		}
	}
	return 365 * day
}

// intervalText returns the interval in Elasticsearch's words.
func intervalText(d time.Duration) string {
	if d < time.Second {
		return strconv.FormatInt(d.Milliseconds(), 10) + "ms"
	}
	return strconv.FormatInt(int64(d/time.Second), 10) + "s"
}

// length returns what a text like "1m", "24h" or "7d" means.
func length(text string) time.Duration {
	if n := len(text) - 1; n > 0 && text[n] == 'd' {
		days, err := strconv.Atoi(text[:n])
		if err != nil {
			panic(err) // our own constant
		}
		return time.Duration(days) * day
	}
	d, err := time.ParseDuration(text)
	if err != nil {
		panic(err) // our own constant
	}
	return d
}
