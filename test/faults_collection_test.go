package test

import (
	"encoding/json"
	"fmt"
	"io/fs"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/prometheus/procfs"
	"golang.org/x/sys/unix"

	"github.com/swarmgauge/swarmgauge/test/faults"
	"github.com/swarmgauge/swarmgauge/test/lab"
)

// The rows of the catalogue of faults that are about collection, as far as they take the
// whole agent: on cgroups made for real where the kernel's are meant, else on trees of files
// in their place.

// containerID returns the nth id of a container.
func containerID(n int) string { return fmt.Sprintf("fa0175%058x", n) }

// A fixture is a tree of files in the place of a node's /proc and cgroups.
type fixture struct {
	t    testing.TB
	root string
}

// newFixture returns a tree with the files of a captured /proc (of package proc's testdata).
func newFixture(t testing.TB, machine string) *fixture {
	t.Helper()
	f := &fixture{t, t.TempDir()}
	f.copy("../proc/testdata/"+machine, "proc")
	self := f.path("proc/self")
	if err := os.Rename(self, f.path("proc/4242")); err != nil {
		t.Fatal(err)
	}
	if err := os.Symlink("4242", self); err != nil {
		t.Fatal(err)
	}
	return f
}

func (f *fixture) path(name string) string { return filepath.Join(f.root, name) }

// copy copies the files of a directory of the repository, over those that are there.
func (f *fixture) copy(from, to string) {
	f.t.Helper()
	err := filepath.WalkDir(from, func(path string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() {
			return err
		}
		text, err := os.ReadFile(path)
		if err != nil {
			return err
		}
		name, err := filepath.Rel(from, path)
		f.write(filepath.Join(to, name), string(text))
		return err
	})
	if err != nil {
		f.t.Fatal(err)
	}
}

// write writes a file, and the directories that it needs.
func (f *fixture) write(name, text string) {
	f.t.Helper()
	if err := os.MkdirAll(filepath.Dir(f.path(name)), 0o755); err != nil {
		f.t.Fatal(err)
	}
	if err := os.WriteFile(f.path(name), []byte(text), 0o644); err != nil {
		f.t.Fatal(err)
	}
}

// mounts says what is mounted where, as seen at the path at: pairs of a directory below it
// and the filesystem's type with its options, such as "cgroup cpu,cpuacct".
func (f *fixture) mounts(at string, pairs ...string) {
	f.t.Helper()
	var mountinfo strings.Builder
	for i := 0; i < len(pairs); i += 2 {
		fstype, options, _ := strings.Cut(pairs[i+1], " ")
		fmt.Fprintf(&mountinfo, "%d 31 0:%d / %s rw,relatime - %s %s rw,%s\n", 36+i, 33+i, filepath.Join(at, pairs[i]), fstype, fstype, options)
	}
	f.write("proc/4242/mountinfo", mountinfo.String())
}

// agentOn returns an agent that measures the fixture, seen at the path at, and prints
// documents each second; it answers at the returned URL.
func agentOn(t testing.TB, at string, options ...string) (cmd *exec.Cmd, url string) {
	port := strconv.Itoa(freePort(t))
	return exec.Command(buildAgent(t), append([]string{
		"-listen_ip=127.0.0.1", "-port=" + port, "-storage_driver=stdout", "-ship-interval=1s",
		"-proc-root=" + filepath.Join(at, "proc"), "-cgroup-root=" + filepath.Join(at, "cg"),
		"-docker=", "-docker_root=" + filepath.Join(at, "docker"), "-node-name=fixture",
	}, options...)...), "http://127.0.0.1:" + port
}

// metricAt returns one of the agent's own metrics.
func metricAt(t testing.TB, url, name string) float64 {
	t.Helper()
	text, err := httpGet(t, url+"/metrics")
	if err != nil {
		t.Fatal(err)
	}
	v, err := metricOf(text, name)
	if err != nil {
		t.Fatal(err)
	}
	return v
}

// healthAt returns what the agent says of itself.
func healthAt(t testing.TB, url string) (health struct {
	Status          string
	Problems, Notes []string
}) {
	t.Helper()
	text, err := httpGet(t, url+"/healthz?details")
	if err != nil {
		t.Fatal(err)
	}
	if err := json.Unmarshal([]byte(text), &health); err != nil {
		t.Fatalf("%v: %s", err, text)
	}
	return health
}

// threads returns how many threads a process has.
func threads(t testing.TB, pid int) int { return entries(t, pid, "task") }

// descriptors returns how many files a process has open.
func descriptors(t testing.TB, pid int) int { return entries(t, pid, "fd") }

func entries(t testing.TB, pid int, folder string) int {
	t.Helper()
	all, err := os.ReadDir(fmt.Sprintf("/proc/%d/%s", pid, folder))
	if err != nil {
		t.Fatal(err)
	}
	return len(all)
}

// Fifty files of a machine whose /proc and cgroups are FUSE's hang: those of five of twenty
// containers, and the node's own. What hangs for good isn't asked again, and what doesn't is
// measured on time.
func TestC04ReadsThatHang(t *testing.T) {
	row := faults.Start(t, "C4")
	const containers, hanging = 20, 5
	f := newFixture(t, "linux-6.1-cgroup-v2")
	f.copy("../cgroup/testdata/v2/root", "cg")
	for n := range containers {
		f.copy("../cgroup/testdata/v2/load", "cg/docker/"+containerID(n))
	}
	f.write("cg/docker/cgroup.procs", "")
	m := mountMirror(t, f.root, "fuse.mirror")
	f.mounts(m.Dir, "cg", "cgroup2 nsdelegate")

	cmd, url := agentOn(t, m.Dir, "-docker_only")
	p := startPrinter(t, cmd)
	for n := range containers {
		p.after(t, containerID(n), time.Time{})
	}
	before := threads(t, cmd.Process.Pid)
	missed := metricAt(t, url, "swarmgauge_slots_missed_total")

	// Nine files of each container, which are read each second, and five of the node.
	files := map[string]bool{"proc/stat": true, "proc/meminfo": true, "proc/vmstat": true, "proc/loadavg": true, "proc/uptime": true}
	for n := range hanging {
		for _, name := range []string{"cpu.stat", "memory.current", "memory.stat", "memory.swap.current", "memory.events", "pids.current", "io.stat", "cpu.pressure", "memory.pressure"} {
			files[filepath.Join("cg/docker", containerID(n), name)] = true
		}
	}
	m.hang(func(path string, op uint32) bool { return op == fuseRead && files[path] })
	hung := time.Now()
	span := 6 * time.Second
	if row.Full() {
		span = time.Minute
	}
	time.Sleep(span)
	most, since := threads(t, cmd.Process.Pid), time.Now()
	health := healthAt(t, url)
	answered := time.Since(since)
	late := metricAt(t, url, "swarmgauge_sweep_late_most_seconds")
	missed = metricAt(t, url, "swarmgauge_slots_missed_total") - missed
	_, held := m.asked()

	if health.Status != "degraded" || !slices.ContainsFunc(health.Problems, func(s string) bool { return strings.Contains(s, "reads hang") }) {
		t.Errorf("health: %+v", health)
	}
	if more := most - before; more > 32 || held > 32 {
		t.Errorf("%d threads more, %d reads hang, want 32 at most", more, held)
	}
	if answered > 5*time.Second {
		t.Errorf("/healthz took %v", answered)
	}
	fewest := int(span / time.Second)
	for n := range containers {
		after := selected(p.container(containerID(n)), func(d document) bool { return d.time().After(hung.Add(time.Second)) })
		whole := 0
		for _, d := range after {
			if _, ok := d.number("container.memory.usage_bytes"); ok {
				whole++
			}
			if used, ok := d.number("container.memory.usage_bytes"); n < hanging && ok {
				t.Fatalf("container %d has %v bytes of memory from a file that hangs", n, used)
			}
		}
		if n >= hanging {
			fewest = min(fewest, whole)
		}
	}
	if fewest < int(span/time.Second)/2 {
		t.Errorf("a container whose files don't hang was measured in %d of %v", fewest, span)
	}

	m.hang(nil)
	released := time.Now()
	var back time.Duration
	for n := range hanging {
		waitFor(t, 20*time.Second, "the container to be measured again", func() error {
			for _, d := range p.container(containerID(n)) {
				if _, ok := d.number("container.memory.usage_bytes"); ok && d.time().After(released) {
					back = max(back, d.time().Sub(released))
					return nil
				}
			}
			return errNotYet
		})
	}
	waitFor(t, 20*time.Second, "the agent to be well", func() error {
		if health := healthAt(t, url); health.Status != "ok" {
			return fmt.Errorf("%+v", health)
		}
		return nil
	})
	if back > 5*time.Second {
		t.Errorf("back after %v", back)
	}
	row.Goal("back within a sweep", back <= time.Second)
	row.Result("%d files hang, %d reads wait, %d threads more; of the others the one measured least has %d of %d seconds, %.0f slots missed, %.0f ms late at most; /healthz in %d ms; all back %d ms after the release",
		len(files), held, most-before, fewest, int(span/time.Second)-1, missed, late*1000, answered.Milliseconds(), back.Milliseconds())
}

// burrow is a cgroup of the test's own, in the hierarchies whose numbers tell which of many
// cgroups below it one is: how many processes it may have, and how much memory.
type burrow struct {
	t testing.TB
	// dirs are its directories, the one last whose numbers make a cgroup exist for the agent.
	dirs []string
}

// newBurrow makes a cgroup called name, which goes with the test.
func newBurrow(t testing.TB, name string) *burrow {
	t.Helper()
	const root = "/sys/fs/cgroup"
	b := &burrow{t: t}
	if _, err := os.Stat(root + "/cgroup.controllers"); err == nil {
		b.dirs = []string{filepath.Join(root, name)}
	} else {
		for _, controller := range []string{"pids", "cpuacct", "memory"} {
			b.dirs = append(b.dirs, filepath.Join(root, controller, name))
		}
	}
	for _, dir := range b.dirs {
		if err := os.Mkdir(dir, 0o755); err != nil {
			lab.Lack(t, "can't make cgroups: "+err.Error()+": run as root on a machine with writable cgroups")
		}
		t.Cleanup(func() { removeBurrow(t, dir) })
	}
	if len(b.dirs) == 1 {
		for _, dir := range []string{root, b.dirs[0]} {
			if err := os.WriteFile(dir+"/cgroup.subtree_control", []byte("+pids +memory"), 0); err != nil {
				t.Fatal(err)
			}
		}
	}
	return b
}

// removeBurrow removes a cgroup and those below it. Their processes have ended, or will in a
// moment.
func removeBurrow(t testing.TB, dir string) {
	below, _ := os.ReadDir(dir)
	for _, d := range below {
		if d.IsDir() {
			removeBurrow(t, filepath.Join(dir, d.Name()))
		}
	}
	waitFor(t, 10*time.Second, "the cgroup to be empty", func() error { return os.Remove(dir) })
}

// make makes a cgroup with the number for its limits, and returns its instance. It exists for
// the agent when it has all of them.
func (b *burrow) make(name string, number int) (instance string, err error) {
	var st unix.Stat_t
	for _, dir := range b.dirs {
		dir = filepath.Join(dir, name)
		if err := unix.Mkdir(dir, 0o755); err != nil {
			return "", fmt.Errorf("mkdir %s: %w", dir, err)
		}
		for file, limit := range map[string]int{"pids.max": number, "memory.limit_in_bytes": number * 4096, "memory.max": number * 4096} {
			// Each hierarchy has its own of these.
			if f, err := os.OpenFile(filepath.Join(dir, file), os.O_WRONLY, 0); err == nil {
				fmt.Fprint(f, limit)
				f.Close()
			}
		}
		if err := unix.Stat(dir, &st); err != nil {
			return "", err
		}
	}
	return strconv.FormatUint(st.Ino, 10), nil
}

// enter makes a process a member of a cgroup.
func (b *burrow) enter(name string, pid int) error {
	for _, dir := range b.dirs {
		if err := os.WriteFile(filepath.Join(dir, name, "cgroup.procs"), []byte(strconv.Itoa(pid)), 0); err != nil {
			return err
		}
	}
	return nil
}

// empty moves all processes of a cgroup into the burrow.
func (b *burrow) empty(name string) {
	for _, dir := range b.dirs {
		text, err := os.ReadFile(filepath.Join(dir, name, "cgroup.procs"))
		if err != nil {
			continue
		}
		for pid := range strings.FieldsSeq(string(text)) {
			os.WriteFile(filepath.Join(dir, "cgroup.procs"), []byte(pid), 0)
		}
	}
}

// remove removes a cgroup. The kernel takes a moment to let go of its last process.
func (b *burrow) remove(name string) error {
	for _, dir := range b.dirs {
		var err error
		for range 100 {
			if err = unix.Rmdir(filepath.Join(dir, name)); err == nil || err == unix.ENOENT {
				break
			}
			time.Sleep(10 * time.Millisecond)
		}
		if err != nil && err != unix.ENOENT {
			return err
		}
	}
	return nil
}

// sleeper starts a process that only sleeps, until the test ends.
func sleeper(t testing.TB) int {
	t.Helper()
	cmd := exec.Command("sleep", "100000")
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		cmd.Process.Kill()
		cmd.Wait()
	})
	return cmd.Process.Pid
}

// realAgent returns an agent that measures this machine's cgroups of runtimes alone, without
// an engine, and where it answers.
func realAgent(t testing.TB, options ...string) (cmd *exec.Cmd, url string) {
	port := strconv.Itoa(freePort(t))
	return exec.Command(buildAgent(t), append([]string{
		"-listen_ip=127.0.0.1", "-port=" + port, "-storage_driver=stdout", "-ship-interval=1s",
		"-docker_only", "-docker=", "-docker_root=" + t.TempDir(), "-node-name=faults",
	}, options...)...), "http://127.0.0.1:" + port
}

// complaints returns the lines of an agent's log that are warnings or worse. The agent has to
// have ended.
func complaints(log string) (lines []string) {
	for line := range strings.Lines(log) {
		if strings.Contains(line, `"log.level":"warn"`) || strings.Contains(line, `"log.level":"error"`) || strings.Contains(line, "panic") {
			lines = append(lines, line)
		}
	}
	return lines
}

// Cgroups with processes come and go, two hundred a second, and their names come again. Each
// has limits of its own: a document that has those of another one would be of a wrong id.
func TestC01CgroupsThatComeAndGo(t *testing.T) {
	row := faults.Start(t, "C1")
	span := 10 * time.Second
	if row.Full() {
		span = 30 * time.Minute
	}
	const rate, names = 200, 500 // about half of which live at a time
	parent := "swarmgaugechurn" + strconv.Itoa(os.Getpid())
	b := newBurrow(t, parent)
	var pids []int
	for range 20 {
		pids = append(pids, sleeper(t))
	}
	cmd, url := realAgent(t)
	p := startPrinter(t, cmd)
	pid := cmd.Process.Pid
	before := descriptors(t, pid)

	type made struct {
		id     string
		number int
	}
	all := map[string]made{} // by instance
	live := map[int]string{} // instance by name
	type end struct {
		at   time.Time
		name int
	}
	var ends []end
	wrong, checked := 0, 0
	check := func() {
		for _, d := range p.take() {
			if d.dataset() != "container" || !strings.HasPrefix(d.text("container_Name"), "/"+parent+"/") {
				continue
			}
			m, known := all[d.text("container.instance")]
			limit, hasLimit := d.number("container.pids.limit")
			memory, hasMemory := d.number("container.memory.limit_bytes")
			if !known || m.id != d.text("container.id") || hasLimit && limit != float64(m.number) || hasMemory && memory != float64(m.number*4096) {
				wrong++
				t.Errorf("instance %s of %s with limits %v and %v; it was made as %+v", d.text("container.instance"), d.text("container.id"), limit, memory, m)
			}
			if hasLimit && hasMemory {
				checked++
			}
		}
	}
	random := rand.New(rand.NewPCG(1, 2))
	began, number := time.Now(), 0
	for time.Since(began) < span && wrong < 10 {
		for due := int(time.Since(began).Seconds() * rate); number < due && len(live) < names; number++ {
			name := random.IntN(names)
			for live[name] != "" {
				name = random.IntN(names)
			}
			limit := 1000 + number
			instance, err := b.make(containerID(name), limit)
			if err != nil {
				t.Fatal(err)
			}
			all[instance] = made{containerID(name), limit}
			live[name] = instance
			if err := b.enter(containerID(name), pids[number%len(pids)]); err != nil {
				t.Fatal(err)
			}
			ends = append(ends, end{time.Now().Add(time.Duration(random.IntN(2500)) * time.Millisecond), name})
		}
		now := time.Now()
		ends = slices.DeleteFunc(ends, func(e end) bool {
			if e.at.After(now) {
				return false
			}
			b.empty(containerID(e.name))
			if err := b.remove(containerID(e.name)); err != nil {
				t.Fatal(err)
			}
			delete(live, e.name)
			return true
		})
		check()
		time.Sleep(5 * time.Millisecond)
	}
	perSecond := float64(len(all)) / time.Since(began).Seconds()
	for name := range live {
		b.empty(containerID(name))
		if err := b.remove(containerID(name)); err != nil {
			t.Fatal(err)
		}
	}
	var after int
	waitFor(t, 30*time.Second, "the descriptors to be given back", func() error {
		if after = descriptors(t, pid); after > before {
			return fmt.Errorf("%d are open, %d before", after, before)
		}
		return nil
	})
	check()
	sweeps := metricAt(t, url, "swarmgauge_sweeps_total")
	late := metricAt(t, url, "swarmgauge_sweep_late_most_seconds")
	p.stop()
	lines := complaints(p.log.String())
	if minutes := int(span.Minutes()) + 1; len(lines) > minutes {
		t.Errorf("%d complaints in the log: %q", len(lines), lines[:min(len(lines), 10)])
	}
	if checked < len(all)/10 || len(all) < int(span.Seconds()*rate)/4 {
		t.Errorf("%d documents checked, %d cgroups made", checked, len(all))
	}
	row.Goal("no descriptor more", after <= before)
	row.Result("%d cgroups made and removed (%.0f a second), %d documents with both limits, %d of a wrong id; %d descriptors before, %d after; %d complaints; %.0f sweeps, the latest by %.0f ms",
		len(all), perSecond, checked, wrong, before, after, len(lines), sweeps, late*1000)
}

// So many cgroups that the descriptors don't suffice for all of them.
func TestC03TenThousandCgroups(t *testing.T) {
	row := faults.Start(t, "C3")
	number, span := 2000, 4
	if row.Full() {
		number, span = 10000, 30
	}
	b := newBurrow(t, "swarmgaugemany"+strconv.Itoa(os.Getpid()))
	began := time.Now()
	for n := range number {
		if _, err := b.make(containerID(n), 1000); err != nil {
			t.Fatal(err)
		}
	}
	making := time.Since(began)
	cmd, url := realAgent(t, "-storage_duration=2m", "-ship-interval=10s")
	startPrinter(t, cmd)
	pid := cmd.Process.Pid
	waitFor(t, time.Minute, "all cgroups to be found", func() error {
		if n := metricAt(t, url, "swarmgauge_containers"); n < float64(number) {
			return fmt.Errorf("%.0f", n)
		}
		return nil
	})
	time.Sleep(7 * time.Second) // until all names were asked for
	sweeps, used, at := metricAt(t, url, "swarmgauge_sweeps_total"), cpuOf(t, pid), time.Now()
	time.Sleep(time.Duration(span) * time.Second)
	cores := (cpuOf(t, pid) - used).Seconds() / time.Since(at).Seconds()
	interval := time.Since(at).Seconds() / max(1, metricAt(t, url, "swarmgauge_sweeps_total")-sweeps)
	rss, open := memoryOf(t, pid), descriptors(t, pid)
	var limit unix.Rlimit
	if err := unix.Prlimit(pid, unix.RLIMIT_NOFILE, nil, &limit); err != nil {
		t.Fatal(err)
	}
	if cores > 1.1 && interval < 1.5 {
		t.Errorf("%.2f cores at an interval of %.1f s", cores, interval)
	}
	// The goal is 200 MiB. Two minutes of history of 10,000 cgroups are beyond it: 260 MiB.
	if most := 400 * megabyte; rss > most {
		t.Errorf("%d MiB of memory, want %d at most", rss/megabyte, most/megabyte)
	}
	if uint64(open) > limit.Cur {
		t.Errorf("%d descriptors, the limit is %d", open, limit.Cur)
	}
	row.Goal("one core at most or a longer interval", cores <= 1 || interval >= 1.05)
	row.Goal("200 MiB", rss <= 200*megabyte)
	row.Result("%d cgroups (made in %v): %.2f cores at an interval of %.2f s, %d MiB, %d descriptors of %d",
		number, making.Round(time.Millisecond), cores, interval, rss/megabyte, open, limit.Cur)
}

// cpuOf returns the CPU time that a process has used.
func cpuOf(t testing.TB, pid int) time.Duration {
	t.Helper()
	proc, err := procfs.NewProc(pid)
	if err != nil {
		t.Fatal(err)
	}
	stat, err := proc.Stat()
	if err != nil {
		t.Fatal(err)
	}
	return time.Duration(stat.CPUTime() * float64(time.Second))
}

// memoryOf returns the resident memory of a process, in bytes.
func memoryOf(t testing.TB, pid int) int {
	t.Helper()
	proc, err := procfs.NewProc(pid)
	if err != nil {
		t.Fatal(err)
	}
	stat, err := proc.Stat()
	if err != nil {
		t.Fatal(err)
	}
	return stat.ResidentMemory()
}

// A filesystem of the network whose server is dead is mounted where the agent can see it.
// There is no NFS server here: a FUSE filesystem that never answers stands in for it, as
// sshfs is one.
func TestC05DeadNetworkFilesystem(t *testing.T) {
	row := faults.Start(t, "C5")
	span := 4 * time.Second // the filesystems are looked at when it starts, and each 10 s
	if row.Full() {
		span = time.Minute
	}
	m := mountMirror(t, t.TempDir(), "fuse.sshfs")
	m.hang(func(string, uint32) bool { return true })
	before, _ := m.asked()
	cmd, url := realAgent(t, "-host-root=/", "-enable_metrics=cpu,memory,disk,diskIO,process,network")
	p := startPrinter(t, cmd)
	time.Sleep(span)
	after, _ := m.asked()
	if after != before {
		t.Errorf("%d requests to the filesystem", after-before)
	}
	filesystems := p.find(func(d document) bool { return d.dataset() == "filesystem" })
	for _, d := range filesystems {
		if d.text("filesystem.mount_point") == m.Dir {
			t.Errorf("the dead filesystem was measured: %v", d)
		}
	}
	if len(filesystems) == 0 {
		t.Error("no filesystem was measured")
	}
	missed := metricAt(t, url, "swarmgauge_slots_missed_total")
	row.Result("a FUSE filesystem (fuse.sshfs, in place of NFS) that answers nothing: %d requests in %v, %.0f slots missed, %d documents of other filesystems",
		after-before, span, missed, len(filesystems))
}

// reusing runs in a PID namespace with 400 numbers, which two shells use up and use again a
// few times a second. Beside them containers begin and end, each with a network of its own
// whose only interface has the container's name: the other end of it has a name that the
// agent leaves out.
const reusing = `
echo 400 > /proc/sys/kernel/pid_max || exit 99
storm() { while :; do /bin/true; done; }
storm & storm &
"$AGENT" "$@" &
agent=$!
container() {
	while :; do
		for dir in $DIRS; do mkdir $dir/$2; done
		unshare --net sh -c '
			for dir in $DIRS; do echo $$ > $dir/$1/cgroup.procs; done
			ip link add $0 type veth peer name lo$0
			exec sleep 0.4' $1 $2
		for dir in $DIRS; do
			until rmdir $dir/$2 2> /dev/null; do sleep 0.01; done
		done
	done
}
i=0
for id in $IDS; do
	container own$i $id 2> /dev/null &
	i=$((i + 1))
done
wait $agent
`

// Process ids are used again while containers are measured by them. Where a kernel has one
// limit of ids for all (before Linux 6.14), this would take a machine to be thrown away.
func TestC02ProcessIDsUsedAgain(t *testing.T) {
	row := faults.Start(t, "C2")
	span := 10 * time.Second
	if row.Full() {
		span = 10 * time.Minute
	}
	lab.Tool(t, "unshare", "util-linux")
	lab.Tool(t, "ip", "iproute2")
	if os.Getuid() != 0 {
		lab.Lack(t, "This test makes namespaces: run it as root (sudo go test ./test -run "+t.Name()+")")
	}
	before, err := os.ReadFile("/proc/sys/kernel/pid_max")
	if err != nil {
		t.Fatal(err)
	}
	if out, err := exec.Command("unshare", "--pid", "--fork", "--mount-proc", "sh", "-c", "echo 400 > /proc/sys/kernel/pid_max && cat /proc/sys/kernel/pid_max").CombinedOutput(); err != nil || strings.TrimSpace(string(out)) != "400" {
		t.Skipf("SKIPPED, needs a kernel with a limit of process ids for each namespace: run it on Linux 6.14: %v %s", err, out)
	}
	if after, _ := os.ReadFile("/proc/sys/kernel/pid_max"); string(after) != string(before) {
		os.WriteFile("/proc/sys/kernel/pid_max", before, 0)
		t.Skip("SKIPPED, this kernel has one limit of process ids for all namespaces: run it on Linux 6.14")
	}
	b := newBurrow(t, "swarmgaugereuse"+strconv.Itoa(os.Getpid()))
	const containers = 8
	own := map[string]string{} // interface by id
	var ids []string
	for n := range containers {
		ids = append(ids, containerID(n))
		own[containerID(n)] = "own" + strconv.Itoa(n)
	}
	agent, _ := realAgent(t, "-housekeeping_interval=100ms", "-ship-interval=100ms", "-enable_metrics=cpu,memory,network,process,sched,tcp,udp")
	cmd := exec.Command("unshare", append([]string{"--pid", "--fork", "--kill-child", "--mount-proc", "sh", "-c", reusing, "sh"}, agent.Args[1:]...)...)
	cmd.Env = append(os.Environ(), "AGENT="+agent.Path, "DIRS="+strings.Join(b.dirs, " "), "IDS="+strings.Join(ids, " "))
	p := startPrinter(t, cmd)
	var samples, foreign, instances int
	seen := map[string]bool{}
	for end := time.Now().Add(span); time.Now().Before(end); time.Sleep(200 * time.Millisecond) {
		for _, d := range p.take() {
			name := own[d.text("container.id")]
			if name == "" || d.dataset() != "container" {
				continue
			}
			if instance := d.text("container.instance"); !seen[instance] {
				seen[instance] = true
				instances++
			}
			for _, found := range d.interfaces() {
				if found == name {
					samples++
				} else {
					foreign++
					t.Errorf("container %.12s has the interface %s of somebody else, not %s", d.text("container.id"), found, name)
				}
			}
		}
	}
	// Ending it ends the first process of the namespace, and that all others.
	cmd.Process.Kill()
	p.stop()
	if samples < containers || instances < containers*int(span.Seconds())/5 {
		t.Errorf("%d interfaces of %d containers were seen", samples, instances)
	}
	// Each container has a sample of its network in a sweep, and there are eight at most.
	row.Goal("in a million sweeps", samples >= 1_000_000)
	row.Result("%d containers in %v, 400 process ids for them and two storms of processes: %d samples with the network of their own, %d with somebody else's",
		instances, span, samples, foreign)
}

// interfaces returns the names of the interfaces in a container's document.
func (d document) interfaces() (names []string) {
	stats, _ := d["container_stats"].(map[string]any)
	network, _ := stats["network"].(map[string]any)
	list, _ := network["interfaces"].([]any)
	for _, one := range list {
		if one, ok := one.(map[string]any); ok {
			name, _ := one["name"].(string)
			names = append(names, name)
		}
	}
	return names
}

// The agent may open 64 files, have 16 threads, or use little memory: it measures all
// containers, and says what it lacks.
func TestC11Limits(t *testing.T) {
	row := faults.Start(t, "C11")
	const number = 60
	span := 3 * time.Second
	if row.Full() {
		span = 5 * time.Minute
	}
	b := newBurrow(t, "swarmgaugelimits"+strconv.Itoa(os.Getpid()))
	for n := range number {
		if _, err := b.make(containerID(n), 1000); err != nil {
			t.Fatal(err)
		}
	}
	const own = "agent"
	if _, err := b.make(own, 16); err != nil {
		t.Fatal(err)
	}
	for _, dir := range b.dirs { // of processes alone
		os.WriteFile(filepath.Join(dir, own, "memory.limit_in_bytes"), []byte("-1"), 0)
		os.WriteFile(filepath.Join(dir, own, "memory.max"), []byte("max"), 0)
	}
	var results []string
	// f runs the agent by a shell that limits itself first.
	f := func(name, limit, note string) {
		t.Helper()
		agent, url := realAgent(t)
		cmd := exec.Command("sh", append([]string{"-c", limit + ` && exec "$0" "$@"`, agent.Path}, agent.Args[1:]...)...)
		cmd.Env = append(os.Environ(), "DIRS="+strings.Join(b.dirs, " "))
		p := startPrinter(t, cmd)
		for range 5 { // scrapes want descriptors and threads, too
			metricAt(t, url, "swarmgauge_sweeps_total")
		}
		began := time.Now()
		time.Sleep(span)
		measured := map[string]int{}
		for _, d := range p.find(func(d document) bool {
			return d.time().After(began) && strings.HasPrefix(d.text("container.id"), "fa0175")
		}) {
			if _, ok := d.number("container.memory.usage_bytes"); ok {
				measured[d.text("container.id")]++
			}
		}
		if len(measured) < number {
			t.Errorf("%s: %d of %d containers are measured", name, len(measured), number)
		}
		health := healthAt(t, url)
		said := strings.Join(append(health.Problems, health.Notes...), "\n")
		if !strings.Contains(said, note) {
			t.Errorf("%s: nothing says %q in %q", name, note, said)
		}
		results = append(results, fmt.Sprintf("%s: %d of %d containers, %d files open, %d threads, %d MiB", name, len(measured), number,
			descriptors(t, cmd.Process.Pid), threads(t, cmd.Process.Pid), memoryOf(t, cmd.Process.Pid)/megabyte))
		p.stop()
	}
	f("64 files", "ulimit -n 64", "the budget of 0 descriptors is used up")
	f("16 threads", "for dir in $DIRS; do echo $$ > $dir/"+own+"/cgroup.procs; done", "")
	f("GOMEMLIMIT of 8 MiB", "export GOMEMLIMIT=8MiB", "")
	row.Result("%s", strings.Join(results, "; "))
}
