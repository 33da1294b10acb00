package cgroup

import (
	"fmt"
	"io"
	"os/exec"
	"strconv"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/swarmgauge/swarmgauge/metric"
)

// calm is a machine of mode whose cgroup has no pages that wait to be written.
func calm(t *testing.T, mode Mode) *machine {
	m := newMachine(t, mode)
	if mode != V2 {
		stat := strings.ReplaceAll(string(text(t, "v1/memory/memory.stat")), "total_dirty 4096", "total_dirty 0")
		m.write("cg/memory/docker/a/memory.stat", stat)
	}
	return m
}

// in returns where the fixtures have a cgroup's file of a controller.
func in(mode Mode, controller, file string) string {
	if mode == V2 {
		return "cg/docker/a/" + file
	}
	return "cg/" + controller + "/docker/a/" + file
}

// While the pulses are the same, the files that stand still are not read, the others are,
// and no number goes missing. Everything is seen after a pulse, and after a while.
func TestQuiet(t *testing.T) {
	for _, mode := range modes {
		m := calm(t, mode)
		r := openReader(t, m.open(1000), "/docker/a")
		s := read(t, r)
		before := s.Len()
		// after reads once more, so much later, and returns the number of tasks.
		after := func(d time.Duration) uint64 {
			t.Helper()
			s.Time += int64(d)
			if err := r.Read(s, false); err != nil {
				t.Fatal(err)
			}
			if n := s.Len(); n != before {
				t.Fatalf("%v: %d numbers, before %d", mode, n, before)
			}
			n, _ := s.Get(metric.PidsCurrent)
			return n
		}
		tasks := func(n int) { m.write(in(mode, "pids", "pids.current"), strconv.Itoa(n)+"\n") }
		f := func(what string, d time.Duration, want uint64) {
			t.Helper()
			if n := after(d); n != want {
				t.Errorf("%v, %s: %d tasks, want %d", mode, what, n, want)
			}
		}
		for range youth {
			after(time.Second)
		}
		tasks(17)
		f("just now", time.Second, 17)
		after(time.Duration(settleTime))
		tasks(18)
		f("quiet", time.Second, 17)
		f("still quiet", time.Second, 17)
		f("after a while", time.Duration(completeTime), 18)
		tasks(19)
		f("quiet again", time.Second, 18)
		if mode == V2 {
			m.write("cg/docker/a/memory.current", "12345344\n")
		} else {
			m.write("cg/cpuacct/docker/a/cpuacct.usage_percpu", "249687329 389807965 \n")
		}
		f("after a pulse", time.Second, 19)
		tasks(20)
		f("not settled", time.Second, 20)

		if mode == V1 {
			// Periods go on, and are told of where there is a quota.
			periods := func(n int) uint64 {
				t.Helper()
				m.write("cg/cpu/docker/a/cpu.stat", fmt.Sprintf("nr_periods %d\nnr_throttled 0\nthrottled_time 0\nnr_bursts 0\nburst_time 0\n", n))
				after(time.Second)
				got, _ := s.Get(metric.CPUPeriods)
				return got
			}
			after(time.Duration(settleTime))
			if n := periods(35); n != 35 {
				t.Errorf("%d periods in a quiet cgroup with a quota, want 35", n)
			}
			m.write("cg/cpu/docker/a/cpu.cfs_quota_us", "-1\n")
			if err := r.Read(s, true); err != nil {
				t.Fatal(err)
			}
			before = s.Len()
			if n := periods(36); n != 35 {
				t.Errorf("%d periods in a quiet cgroup without a quota, want 35 from before", n)
			}
			continue
		}
		dir := "cg/docker/a"
		if mode == Hybrid {
			dir = "cg/unified/docker/a"
		}
		const pressure = "some avg10=%d.00 avg60=1.00 avg300=0.00 total=%d\nfull avg10=0.00 avg60=0.00 avg300=0.00 total=0\n"
		stall := func(avg10, total int) {
			for _, file := range []string{"cpu", "memory", "io"} {
				m.write(dir+"/"+file+".pressure", fmt.Sprintf(pressure, avg10, total))
			}
		}
		g := func(what string, want uint64) {
			t.Helper()
			after(time.Second)
			if n, _ := s.Get(metric.PressureIOSome); n != want*nsPerMicrosecond {
				t.Errorf("%v, %s: %d ns of stalls, want %d µs", mode, what, n, want)
			}
		}
		after(time.Duration(settleTime))
		stall(1, 6000)
		g("quiet, and something waits", 6000)
		stall(1, 7000)
		g("it goes on waiting", 7000)
		stall(1, 7000)
		g("the average has yet to fall", 7000)
		stall(0, 8000)
		g("until now", 8000)
		g("at rest", 8000)
		stall(0, 9000)
		g("not read", 8000)
		after(time.Duration(completeTime))
		g("after a while", 9000)
	}
}

// Pages that the kernel has yet to write change their state without the cgroup's doing.
func TestDirtyPagesAreNotQuiet(t *testing.T) {
	m := newMachine(t, V1) // has a dirty page
	r := openReader(t, m.open(1000), "/docker/a")
	s := read(t, r)
	for i := range 10 {
		m.write("cg/pids/docker/a/pids.current", strconv.Itoa(i+1)+"\n")
		s.Time += settleTime
		if err := r.Read(s, false); err != nil {
			t.Fatal(err)
		}
		if n, _ := s.Get(metric.PidsCurrent); n != uint64(i+1) {
			t.Fatalf("Read %d: %d tasks", i, n)
		}
	}
}

// On the running kernel a Reader that leaves out what stands still sees what one sees that
// reads everything, whatever goes on in the cgroup or is done to it from outside.
func TestLiveQuietMissesNothing(t *testing.T) {
	h := live(t, Options{})
	path := makeCgroup(t, h, "quiet")
	cmd := exec.Command("sh", "-c", `while read -r line; do eval "$line"; echo done; done`)
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	work := startIn(t, h, path, cmd)
	r := openReader(t, h, path)
	t.Cleanup(func() {
		pids, _ := r.AppendPids(nil)
		for _, pid := range pids {
			unix.Kill(pid, unix.SIGKILL)
		}
		removeCgroup(t, h, path)
	})
	s := new(metric.Sample)
	all := func() *metric.Sample {
		full := openReader(t, h, path)
		defer full.Close()
		return read(t, full)
	}
	// look reads once a second, as the loop does, until the cgroup has been quiet for some
	// seconds, and compares.
	look := func(after string) {
		t.Helper()
		quiet := 0
		for second := 0; quiet < 3; second++ {
			if second == 20 {
				t.Fatalf("after %s: not quiet for 20 s", after)
			}
			time.Sleep(time.Second)
			before := all()
			s.Time = time.Now().UnixNano()
			if err := r.Read(s, second == 0); err != nil {
				t.Fatal(err)
			}
			behind := all()
			if r.complete != s.Time {
				quiet++
			}
			for i := range h.rows {
				if p := r.files[i].pass; p != stalls && p != standing || r.files[i].state != readable {
					continue
				}
				for _, key := range h.rows[i].keys {
					if int(key.to) >= metric.NumIDs || movesByItself(key.to) {
						continue
					}
					a, ok1 := before.Get(key.to)
					b, ok2 := behind.Get(key.to)
					got, ok := s.Get(key.to)
					if ok != (ok1 && ok2) || got < min(a, b) || got > max(a, b) {
						t.Errorf("after %s: %v is %d (%v), all files say %d (%v) before and %d (%v) behind", after, key.to, got, ok, a, ok1, b, ok2)
					}
				}
			}
		}
	}
	answers := make([]byte, len("done\n"))
	for _, line := range []string{
		"i=0; while [ $i -lt 50000 ]; do i=$((i+1)); done; sleep 1000 & a=$!; sleep 1000 & b=$!; x=$(dd if=/dev/zero bs=64k count=16 2> /dev/null | tr '\\0' x)",
		"kill $a",
	} {
		io.WriteString(work, line+"\n")
		if _, err := io.ReadFull(out, answers); err != nil {
			t.Fatal(err)
		}
		look(line)
	}
	// Reclaim is done to a cgroup that does nothing.
	set(t, h, path, "memory.force_empty", "0", "memory.high", "524288")
	look("reclaim")
}

// movesByItself tells whether a number changes while nothing runs and nothing is charged or
// reclaimed: the kernel sorts pages into its lists when some other work makes it.
func movesByItself(id metric.ID) bool {
	switch id {
	case metric.MemoryActiveAnon, metric.MemoryInactiveAnon, metric.MemoryActiveFile, metric.MemoryInactiveFile,
		metric.MemoryUnevictable, metric.MemorySlab:
		return true
	}
	return false
}
