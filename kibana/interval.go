package kibana

import (
	"strconv"
	"time"
)

// least is the shortest bucket of time that layers ask for, Lens' "minimum interval": the
// agents' default shipping interval. A flow in a document is that of its whole interval;
// with Kibana's own choice, one second for the last minute, it would be divided by a tenth
// of its time. An agent that ships less often needs longer time ranges.
const least = 10 * time.Second

// maxBars is how many buckets Kibana makes at most, unless its settings say otherwise.
const maxBars = 1000

// day is one without changes of the clock.
const day = 24 * time.Hour

// paces are the intervals that Kibana finds fit for eyes, from the least on.
var paces = [...]time.Duration{
	least, 30 * time.Second, time.Minute, 5 * time.Minute, 10 * time.Minute, 30 * time.Minute,
	time.Hour, 3 * time.Hour, 12 * time.Hour, day, 7 * day, 30 * day,
}

// interval returns the length of the buckets that Kibana makes of a time range.
func interval(length time.Duration) time.Duration {
	for _, p := range paces {
		if length <= maxBars*p {
			return p
		}
	}
	return 365 * day
}

// intervalText returns the interval in Elasticsearch's words.
func intervalText(d time.Duration) string {
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
