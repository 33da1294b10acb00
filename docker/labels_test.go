package docker

import (
	"fmt"
	"maps"
	"slices"
	"strings"
	"testing"
	"unicode/utf8"

	"github.com/swarmgauge/swarmgauge/metric"
)

func TestClean(t *testing.T) {
	f := func(in string, limit int, want string) {
		t.Helper()
		if got := clean(in, limit); got != want {
			t.Errorf("clean(%q, %d) = %q, want %q", in, limit, got, want)
		}
	}
	f("", 8, "")
	f("plain", 8, "plain")
	f("plain", 5, "plain")
	f("plain", 4, "plai")
	f("tab\tstays", 80, "tab\tstays")
	f("a\nb\r\x00c", 80, "a b  c")
	f("\x1b[31mred\x7f", 80, " [31mred ")
	f("c1\u0085\u009b", 80, "c1  ")
	f("right\u202eleft\u2066", 80, "right left ")
	f("\xff\xfe", 80, "\ufffd\ufffd")
	f("\xff\xfe", 5, "\ufffd")
	f("ä\xffö", 80, "ä\ufffdö")
	f("äöü", 5, "äö")
	f("äöü", 1, "")
	f("\ufffd", 3, "\ufffd")
	f("x"+strings.Repeat("😀", 3), 9, "x😀😀")
}

func FuzzClean(f *testing.F) {
	f.Add("a\xff\u202e\n😀", 5)
	f.Fuzz(func(t *testing.T, s string, limit int) {
		limit = max(limit, 0)
		got := clean(s, limit)
		if len(got) > limit || !utf8.ValidString(got) || strings.ContainsFunc(got, isControl) || clean(got, limit) != got {
			t.Errorf("clean(%q, %d) = %q", s, limit, got)
		}
	})
}

func TestLabels(t *testing.T) {
	swarm := map[string]string{
		"com.docker.stack.namespace":    "shop",
		"com.docker.swarm.node.id":      "0ogsb6melpfb8bfvswezve790",
		"com.docker.swarm.service.id":   "o6ajie9utaduxtbymkgjuylc3",
		"com.docker.swarm.service.name": "shop_api",
		"com.docker.swarm.task":         "",
		"com.docker.swarm.task.id":      "wmtd0y3o7rm7vfk07ycbfzfpl",
		"com.docker.swarm.task.name":    "shop_api.1.wmtd0y3o7rm7vfk07ycbfzfpl",
		"com.docker.compose.project":    "shop",
	}
	// whole checks the limits and that the labels above are all there, unharmed.
	whole := func(m map[string]string) []metric.Label {
		t.Helper()
		maps.Copy(m, swarm)
		kept := labels(m)
		if !slices.Equal(kept, labels(m)) {
			t.Error("not the same twice")
		}
		checkLabels(t, kept)
		c := metric.Container{Labels: kept}
		for key, value := range swarm {
			if c.Label(key) != value {
				t.Errorf("label %s is %q, want %q", key, c.Label(key), value)
			}
		}
		return kept
	}

	if got := labels(nil); len(got) != 0 {
		t.Errorf("labels(nil) = %v", got)
	}
	if got := whole(map[string]string{"tier": "api", "Zone": "a"}); len(got) != len(swarm)+2 || got[0].Key != "Zone" || got[len(got)-1].Key != "tier" {
		t.Errorf("not sorted by key: %v", got)
	}

	many := map[string]string{}
	for i := range 10000 {
		many[fmt.Sprintf("a%05d", i)] = "x"
	}
	if got := whole(many); len(got) != maxLabels {
		t.Errorf("%d of 10000 labels are kept, want %d", len(got), maxLabels)
	} else if last := got[maxLabels-len(swarm)-1].Key; last != "a00055" {
		t.Errorf("the last of the foreign labels is %s, want the first in order", last)
	}

	long := map[string]string{"a": strings.Repeat("ä", 1<<20), strings.Repeat("ü", 1000): "v"}
	got := whole(long)
	if c := (metric.Container{Labels: got}); len(c.Label("a")) != maxLabelValue || len(c.Label(strings.Repeat("ü", maxLabelKey/2))) != 1 {
		t.Errorf("long texts are not cut to the limits: %v", got)
	}

	big := map[string]string{}
	for i := range 60 {
		big[fmt.Sprintf("a%02d", i)] = strings.Repeat("x", maxLabelValue)
	}
	big["z"] = "small ones still fit"
	if got := whole(big); got[len(got)-1].Key != "z" || len(got) < 10 {
		t.Errorf("big labels push out small ones: %v", got)
	}

	same := whole(map[string]string{strings.Repeat("k", 128) + "1": "first", strings.Repeat("k", 128) + "2": "second", "": "no key"})
	if c := (metric.Container{Labels: same}); len(same) != len(swarm)+1 || c.Label(strings.Repeat("k", 128)) != "first" {
		t.Errorf("keys that became the same: %v", same)
	}
}

// checkLabels fails if labels break a rule that others rely on.
func checkLabels(t *testing.T, all []metric.Label) {
	t.Helper()
	size := 0
	for i, l := range all {
		size += len(l.Key) + len(l.Value)
		if l.Key == "" || len(l.Key) > maxLabelKey || len(l.Value) > maxLabelValue {
			t.Errorf("label of %d and %d bytes", len(l.Key), len(l.Value))
		}
		if !utf8.ValidString(l.Key) || !utf8.ValidString(l.Value) || strings.ContainsFunc(l.Key+l.Value, isControl) {
			t.Errorf("label %q: %q isn't clean", l.Key, l.Value)
		}
		if i > 0 && all[i-1].Key >= l.Key {
			t.Errorf("label %q after %q", l.Key, all[i-1].Key)
		}
	}
	if len(all) > maxLabels || size > maxLabelsSize {
		t.Errorf("%d labels with %d bytes", len(all), size)
	}
}

func TestSwarm(t *testing.T) {
	f := func(task, node string, want int) {
		t.Helper()
		if got := slot(task, node); got != want {
			t.Errorf("slot(%q, %q) = %d, want %d", task, node, got, want)
		}
	}
	f("shop_api.1.wmtd0y3o7rm7vfk07ycbfzfpl", "0ogsb6melpfb8bfvswezve790", 1)
	f("shop_api.217.wmtd0y3o7rm7vfk07ycbfzfpl", "", 217)
	f("shop_agent.0ogsb6melpfb8bfvswezve790.qt8393y7kz12ez9kgl0ez5ylw", "0ogsb6melpfb8bfvswezve790", 0)
	f("agent.1234567890123456789012345.qt8393y7kz12ez9kgl0ez5ylw", "", 0) // a node's id of digits
	f("agent.12345.qt8393y7kz12ez9kgl0ez5ylw", "12345", 0)
	f("api.-1.id", "", 0)
	f("api.+1.id", "", 0)
	f("api.1", "", 0)
	f("", "", 0)

	// The labels that the limits cut still name the task.
	m := map[string]string{"com.docker.swarm.task.name": "a\x1b.3.\xffid"}
	for i := range 100 {
		m[fmt.Sprintf("com.docker.compose.%03d", i)] = strings.Repeat("x", 1<<10)
	}
	if got := swarmOf(m); got.TaskName != "a .3.\ufffdid" || got.Slot != 3 {
		t.Errorf("swarmOf: %+v", got)
	}
}

func BenchmarkLabels(b *testing.B) {
	m := map[string]string{}
	for i := range 20 {
		m[fmt.Sprintf("org.opencontainers.image.label%d", i)] = "some value of usual length"
	}
	b.ReportAllocs()
	for b.Loop() {
		labels(m)
	}
}
