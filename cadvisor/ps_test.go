package cadvisor

import (
	"bytes"
	"encoding/json"
	"os"
	"testing"
	"time"

	"github.com/swarmgauge/swarmgauge/metric"
)

// The processes behind the golden answer print its bytes.
func TestProcesses(t *testing.T) {
	now := time.Date(2026, 11, 22, 11, 48, 30, 0, time.UTC)
	began := time.Date(2026, 11, 22, 11, 47, 54, 0, time.UTC)
	const cgroup = "/docker/a"
	all := []metric.Process{
		{PID: 1, User: "root", Command: "systemd", State: "Ss", Cgroup: "/init.scope", Started: began.AddDate(0, 0, -9), FDs: -1},
		{
			PID: 2985, Parent: 2951, User: "root", Command: "sh", Cgroup: cgroup, State: "Ss", Started: began,
			Elapsed: 36 * time.Second, CPUTime: 2600 * time.Millisecond, RSSBytes: 1753088, VirtualBytes: 2322432, FDs: 3,
		},
		{
			PID: 7017, Parent: 2985, User: "root", Command: "sleep", Cgroup: cgroup, State: "S", Started: now,
			RSSBytes: 1409024, VirtualBytes: 2322432, FDs: 3,
		},
		{PID: 7018, Cgroup: cgroup + "/child"},
	}
	want, err := os.ReadFile("testdata/v1-hierarchy-ps.json")
	if err != nil {
		t.Fatal(err)
	}
	got, err := json.Marshal(NewProcesses(all, cgroup, 25276502016, now))
	if err != nil || !bytes.Equal(got, bytes.TrimSpace(want)) {
		t.Errorf("%v\ngot  %s\nwant %s", err, got, want)
	}
	if none := NewProcesses(all, "/docker/none", 1, now); none == nil || len(none) != 0 {
		t.Errorf("%v of a cgroup without processes", none)
	}
	root := NewProcesses(all, "/", 25276502016, now)
	if len(root) != 4 || root[0].CgroupPath != "/init.scope" || root[1].CgroupPath != cgroup || root[0].StartTime != "Nov13" || root[0].FDCount != 0 {
		t.Errorf("%+v", root)
	}
}

func TestProcessTexts(t *testing.T) {
	f := func(got, want string) {
		t.Helper()
		if got != want {
			t.Errorf("%s, want %s", got, want)
		}
	}
	now := time.Date(2026, 3, 1, 9, 5, 0, 0, time.UTC)
	f(startTime(now.Add(-time.Hour), now), "08:05")
	f(startTime(now.Add(-10*time.Hour), now), "Feb28")
	f(startTime(now.AddDate(-1, 0, 0), now), "2025")
	f(runningTime(0), "00:00:00")
	f(runningTime(3725*time.Second+time.Millisecond), "01:02:05")
	f(runningTime(49*time.Hour), "2-01:00:00")
	for _, c := range []struct {
		part, whole uint64
		want        float64
	}{{72, 1000, 7.2}, {2599, 36000, 7.2}, {1, 3, 33.3}, {5, 2, 250}, {1, 0, 0}, {1 << 44, 1 << 45, 50}} {
		if got := percent(c.part, c.whole); got != c.want {
			t.Errorf("%d of %d: %v, want %v", c.part, c.whole, got, c.want)
		}
	}
}
