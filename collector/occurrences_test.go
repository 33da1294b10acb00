package collector

import (
	"fmt"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/swarmgauge/swarmgauge/metric"
)

// plenty keeps what a test makes.
func plenty() *Occurrences {
	limits := map[metric.Action]OccurrenceLimit{}
	for _, action := range []metric.Action{metric.Create, metric.Destroy, metric.OOM, metric.OOMKill} {
		limits[action] = OccurrenceLimit{Age: time.Hour, Count: 1000}
	}
	return NewOccurrences(limits)
}

func all(*Occurrence) bool { return true }

func TestOccurrencesAreSelected(t *testing.T) {
	o := plenty()
	now := time.Now()
	for i, action := range []metric.Action{metric.OOM, metric.Create, metric.Destroy, metric.Create} {
		o.Add(Occurrence{Time: now.Add(time.Duration(-i) * time.Minute), Action: action, Path: fmt.Sprint("/", i)})
	}
	var paths []string
	for _, e := range o.Select(-1, all) {
		paths = append(paths, e.Path)
	}
	if fmt.Sprint(paths) != "[/3 /2 /1 /0]" {
		t.Errorf("not from the oldest to the newest: %v", paths)
	}
	if newest := o.Select(2, all); len(newest) != 2 || newest[0].Path != "/1" || newest[1].Path != "/0" {
		t.Errorf("the newest two are %v", newest)
	}
	if created := o.Select(-1, func(e *Occurrence) bool { return e.Action == metric.Create }); len(created) != 2 || created[0].Path != "/3" {
		t.Errorf("created: %v", created)
	}
}

func TestOccurrencesOfOneTime(t *testing.T) {
	now := time.Now()
	for range 20 { // what is kept is a map
		o := plenty()
		o.Add(Occurrence{Time: now, Action: metric.OOMKill})
		o.Add(Occurrence{Time: now, Action: metric.OOM})
		if got := o.Select(-1, all); len(got) != 2 || got[0].Action != metric.OOM || got[1].Action != metric.OOMKill {
			t.Fatalf("a kill is told as %v", got)
		}
	}
}

func TestOccurrencesAreLimited(t *testing.T) {
	o := NewOccurrences(map[metric.Action]OccurrenceLimit{
		metric.Create:  {Age: time.Hour, Count: 3},
		metric.Destroy: {Age: time.Minute, Count: 100},
	})
	now := time.Now()
	for i := range 10 {
		at := now.Add(time.Duration(i-10) * 20 * time.Second)
		o.Add(Occurrence{Time: at, Action: metric.Create, Path: fmt.Sprint("/", i)})
		o.Add(Occurrence{Time: at, Action: metric.Destroy, Path: fmt.Sprint("/", i)})
		o.Add(Occurrence{Time: at, Action: metric.OOM, Path: fmt.Sprint("/", i)})
	}
	count := map[metric.Action]int{}
	for _, e := range o.Select(-1, all) {
		count[e.Action]++
	}
	if count[metric.Create] != 3 || count[metric.OOM] != 0 {
		t.Errorf("kept %v, want 3 that began and none without a limit", count)
	}
	if n := count[metric.Destroy]; n != 2 { // 40 s and 20 s ago; 60 s are too old by now
		t.Errorf("%d ends of the last minute are kept, want 2", n)
	}
}

// A watch gets what comes, and one that isn't read loses it and holds up nobody.
func TestOccurrencesAreWatched(t *testing.T) {
	o := plenty()
	o.Add(Occurrence{Path: "/before"})
	w := o.Watch()
	for i := range watchBacklog + 3 {
		o.Add(Occurrence{Action: metric.Create, Path: fmt.Sprint("/", i)})
	}
	if e := <-w.C; e.Path != "/0" {
		t.Errorf("the first is %q", e.Path)
	}
	if w.Lost != 3 {
		t.Errorf("lost %d, want 3", w.Lost)
	}
	o.Unwatch(w)
	o.Add(Occurrence{Path: "/after"})
	if n := len(w.C); n != watchBacklog-1 {
		t.Errorf("%d wait after the end of the watch", n)
	}
}

// A cgroup of no runtime is told of as soon as it is found; a container once it is known
// when it was made, and how it ended.
func TestLifeIsTold(t *testing.T) {
	o := plenty()
	b := newBench(t, func(opts *Options) {
		opts.Occurrences = o
		opts.RawPrefixes = []string{"/swarmgauge-test"}
	})
	b.tick(t)
	created := time.Date(2026, 11, 22, 10, 0, 0, 0, time.UTC)
	ended := time.Now().UTC().Truncate(time.Millisecond)
	b.runtime.set(metric.Container{ID: id("a"), Name: "a", Runtime: "docker", Created: created, State: "running"})
	stop := b.start(t, id("a"), "sleep", "1000")
	stopRaw := b.start(t, "raw", "sleep", "1000")
	path, raw := "/"+filepath.Join(b.parent, id("a")), "/"+filepath.Join(b.parent, "raw")
	told := func(action metric.Action, path string) (found []Occurrence) {
		return o.Select(-1, func(e *Occurrence) bool { return e.Action == action && e.Path == path })
	}
	b.tickUntil(t, "no creation is told", func() bool {
		return len(told(metric.Create, path)) > 0 && len(told(metric.Create, raw)) > 0
	})
	if e := told(metric.Create, path)[0]; !e.Time.Equal(created) {
		t.Errorf("the container was made at %v, told %v", created, e.Time)
	}
	if e := told(metric.Create, raw)[0]; time.Since(e.Time).Abs() > time.Minute {
		t.Errorf("the cgroup was made just now, told %v", e.Time)
	}
	b.runtime.set(metric.Container{ID: id("a"), Name: "a", Runtime: "docker", Created: created, State: "exited",
		Exit: &metric.Exit{Code: 7, At: ended}})
	stop()
	stopRaw()
	b.tickUntil(t, "no end is told", func() bool {
		return len(told(metric.Destroy, path)) > 0 && len(told(metric.Destroy, raw)) > 0
	})
	for range 10 {
		b.tick(t)
	}
	if e := told(metric.Destroy, path); len(e) != 1 || e[0].ExitCode != 7 || !e[0].Time.Equal(ended) {
		t.Errorf("the end is told as %+v", e)
	}
	if e := told(metric.Destroy, raw); len(e) != 1 || e[0].ExitCode != UnknownExit {
		t.Errorf("the end of the cgroup is told as %+v", e)
	}
	if n := len(told(metric.Create, path)); n != 1 {
		t.Errorf("the creation is told %d times", n)
	}
}

// The kernel kills a child in a cgroup with a limit: one kill, told of that cgroup, though
// cgroup v2 counts it in those above, too.
func TestKillIsTold(t *testing.T) {
	o := plenty()
	b := newBench(t, func(opts *Options) {
		opts.Occurrences = o
		opts.RawPrefixes = []string{"/swarmgauge-test"}
	})
	b.tick(t)
	b.runtime.set(metric.Container{ID: id("a"), Name: "a", Runtime: "docker", State: "running"})
	// Held below 16 MiB, the shell's child doubles a string until it is killed.
	release := filepath.Join(t.TempDir(), "go")
	b.start(t, id("a"), "sh", "-c", `while [ ! -e `+release+` ]; do sleep 0.05; done
		sh -c 'x=xxxxxxxxxxxxxxxx; while :; do x=$x$x; done'; exec sleep 1000`)
	if err := limitMemory(filepath.Join(b.parent, id("a")), "16777216"); err != nil {
		t.Fatal(err)
	}
	path := "/" + filepath.Join(b.parent, id("a"))
	b.tickUntil(t, "the container isn't found", func() bool { return b.byPath[path] != nil && b.byPath[path].reads > 1 })
	if err := os.WriteFile(release, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	kills := func(action metric.Action) []Occurrence {
		return o.Select(-1, func(e *Occurrence) bool { return e.Action == action })
	}
	b.tickUntil(t, "no kill is told", func() bool { return len(kills(metric.OOM)) > 0 })
	for range 5 {
		time.Sleep(interval)
		b.tick(t)
	}
	if e := kills(metric.OOM); len(e) != 1 || e[0].Path != path {
		t.Errorf("the kill is told as %+v", e)
	}
	if e := kills(metric.OOMKill); len(e) != 1 || e[0].Path != path || !e[0].AtLimit {
		t.Errorf("its reason is told as %+v", e)
	}
}

func limitMemory(name, limit string) error {
	if _, err := os.Stat("/sys/fs/cgroup/cgroup.controllers"); err == nil {
		return os.WriteFile(filepath.Join("/sys/fs/cgroup", name, "memory.max"), []byte(limit), 0)
	}
	return os.WriteFile(filepath.Join("/sys/fs/cgroup/memory", name, "memory.limit_in_bytes"), []byte(limit), 0)
}

// Cgroup v2's counts include those of the cgroups below.
func TestKillsAreToldWhereTheyHappened(t *testing.T) {
	o := plenty()
	c := &Collector{o: Options{Occurrences: o}, byPath: map[string]*target{}}
	target := func(path string, kills uint64, limited bool) {
		tt := &target{container: &metric.Container{Path: path}, cur: new(metric.Sample), prev: new(metric.Sample)}
		tt.cur.Time = time.Now().UnixNano()
		tt.cur.Put(metric.MemoryOOMKills, kills)
		tt.prev.Put(metric.MemoryOOMKills, 0)
		if limited {
			tt.cur.Put(metric.MemoryLimit, 1<<20)
		}
		c.byPath[path] = tt
		c.noteKills(tt)
	}
	target("/", 4, false)
	target("/a", 3, true)
	target("/a/b", 3, false)
	target("/a/b/c", 2, false)
	target("/ab", 1, false)
	c.tellKills()
	count := map[string]int{}
	for _, e := range o.Select(-1, all) {
		count[fmt.Sprint(e.Action, " ", e.Path, " ", e.AtLimit)]++
	}
	want := map[string]int{
		"oom /a/b/c false": 2, "oom /a/b false": 1, "oom_kill /a true": 3,
		"oom /ab false": 1, "oom_kill / false": 1,
	}
	if fmt.Sprint(count) != fmt.Sprint(want) {
		t.Errorf("told %v, want %v", count, want)
	}
}
