package test

import (
	"cmp"
	"context"
	_ "embed"
	"encoding/json"
	"fmt"
	"math"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/swarmgauge/swarmgauge/test/lab"
)

// Where cAdvisor's numbers are wrong, and ours are right: each entry of the table has the
// formula by which cAdvisor makes a number out of the kernel's files, and the one by which
// it is right. Both are computed from the same files, beside what the agent says. A
// situation in which both come to the same proves nothing, and fails.
//
// What isn't a number has tests of its own: names with the containerd image store, with
// engines of several years, in a Swarm, after a rename, without a restart when the engine
// appears late (engines_test.go, host_test.go); a network namespace that is shared
// (host_test.go); bytes of each container on NVMe disks (vm_test.go); the family
// cadvisor_version_info and the start after a restart, below.

// hierarchies say where an entry applies.
type hierarchies int

const (
	onV1 hierarchies = 1 << iota
	onV2
)

// absent stands for a series that isn't there.
var absent = math.NaN() // immutable

// A wrong is a number that is wrong in cAdvisor.
type wrong struct {
	family string
	labels string // that the series has, as "scope=hierarchy"; "" for none
	node   bool   // the series is the node's, not the container's
	on     hierarchies
	why    string // of cAdvisor's
	// From the files of the kernel.
	cadvisor, right func(k kernelFiles) float64
}

// wrongs is the table. Files of the container's cgroup are called "right/<file>".
func wrongs(t *testing.T) []wrong {
	none := func(kernelFiles) float64 { return 0 }
	number := func(file, key string) func(kernelFiles) float64 {
		return func(k kernelFiles) float64 { return k.number(t, "right/"+file, key) }
	}
	weight := number("cpu.weight", "")
	return []wrong{
		{family: "container_memory_failcnt", on: onV2, why: "never set",
			cadvisor: none, right: number("memory.events", "max")},
		{family: "container_memory_kernel_usage", on: onV2, why: "never set",
			cadvisor: none, right: number("memory.stat", "kernel")},
		{family: "container_spec_memory_reservation_limit_bytes", on: onV2, why: "memory.min, which engines don't set",
			cadvisor: number("memory.min", ""), right: number("memory.low", "")},
		{family: "container_spec_cpu_shares", on: onV2, why: "the inverse of another formula than the runtime's",
			cadvisor: func(k kernelFiles) float64 { return math.Floor(2 + (weight(k)-1)*262142/9999) },
			right:    func(kernelFiles) float64 { return 1024 }}, // of which runtimes make the weight 100
		{family: "container_spec_memory_swap_limit_bytes", on: onV2, why: "swap alone, and on v1 memory with it",
			cadvisor: number("memory.swap.max", ""),
			right:    func(k kernelFiles) float64 { return number("memory.max", "")(k) + number("memory.swap.max", "")(k) }},
		{family: "container_oom_events_total", on: onV2, why: "from the kernel's log, which a service of a Swarm hasn't got",
			cadvisor: none, right: number("memory.events", "oom_kill")},
		{family: "container_oom_events_total", on: onV1, why: "from the kernel's log, which a service of a Swarm hasn't got",
			cadvisor: none, right: number("memory.oom_control", "oom_kill")},
		{family: "container_memory_failures_total", labels: "failure_type=pgfault,scope=hierarchy", on: onV1, why: "without child cgroups",
			cadvisor: number("memory.stat", "pgfault"), right: number("memory.stat", "total_pgfault")},
		{family: "container_memory_file_dirty_bytes", on: onV1, why: "looked up by its name on v2",
			cadvisor: none, right: number("memory.stat", "total_dirty")},
		{family: "container_pressure_cpu_waiting_seconds_total", on: onV1, why: "of a hybrid machine cAdvisor reads v1 alone",
			cadvisor: none, right: func(k kernelFiles) float64 {
				if k["right/cpu.pressure"] == "" { // plain v1
					return absent
				}
				return number("cpu.pressure", "some total")(k) * 1e-6
			}},
		{family: "container_fs_writes_total", on: onV1, why: "the writes of the whole disk, of all containers and the node",
			cadvisor: func(k kernelFiles) float64 { return diskstats(t, k, writesCompleted) },
			right: func(k kernelFiles) float64 {
				return cmp.Or(blkioWrites(k), absent)
			}},
		{family: "container_memory_failures_total", labels: "failure_type=pgmajfault,scope=hierarchy", on: onV1, why: "without child cgroups",
			cadvisor: number("memory.stat", "pgmajfault"), right: number("memory.stat", "total_pgmajfault")},
		{family: "container_fs_inodes_total", on: onV1, why: "the inodes that the layer uses",
			cadvisor: number("filesystem", "used"), right: number("filesystem", "inodes")},
		{family: "container_fs_inodes_free", on: onV1, why: "never set",
			cadvisor: none, right: number("filesystem", "free")},
		{family: "container_fs_read_seconds_total", node: true, on: onV1, why: "milliseconds divided by 10⁹",
			cadvisor: func(k kernelFiles) float64 { return diskstats(t, k, readMilliseconds) / 1e9 },
			right:    func(k kernelFiles) float64 { return diskstats(t, k, readMilliseconds) / 1e3 }},
		{family: "container_fs_read_seconds_total", node: true, on: onV2, why: "NVMe disks are left out",
			cadvisor: none, right: func(k kernelFiles) float64 { return diskstats(t, k, readMilliseconds) / 1e3 }},
		{family: "container_fs_io_time_seconds_total", node: true, on: onV1, why: "milliseconds divided by 10⁹",
			cadvisor: func(k kernelFiles) float64 { return diskstats(t, k, busyMilliseconds) / 1e9 },
			right:    func(k kernelFiles) float64 { return diskstats(t, k, busyMilliseconds) / 1e3 }},
		{family: "container_fs_io_time_seconds_total", node: true, on: onV2, why: "NVMe disks are left out",
			cadvisor: none, right: func(k kernelFiles) float64 { return diskstats(t, k, busyMilliseconds) / 1e3 }},
		{family: "container_fs_write_seconds_total", node: true, on: onV1, why: "milliseconds divided by 10⁹",
			cadvisor: func(k kernelFiles) float64 { return diskstats(t, k, writeMilliseconds) / 1e9 },
			right:    func(k kernelFiles) float64 { return diskstats(t, k, writeMilliseconds) / 1e3 }},
		{family: "container_fs_write_seconds_total", node: true, on: onV2, why: "NVMe disks are left out",
			cadvisor: none, right: func(k kernelFiles) float64 { return diskstats(t, k, writeMilliseconds) / 1e3 }},
		{family: "container_memory_working_set_bytes", node: true, on: onV2, why: "without the kernel's memory",
			cadvisor: func(k kernelFiles) float64 {
				root := func(key string) float64 { return k.number(t, "root/memory.stat", key) }
				return root("anon") + root("file") - root("inactive_file")
			},
			right: func(k kernelFiles) float64 { return meminfo(t, k, "MemTotal") - meminfo(t, k, "MemAvailable") }},
	}
}

// Columns of /proc/diskstats behind the name (kernel: Documentation/admin-guide/iostats.rst).
const (
	readMilliseconds  = 4
	writesCompleted   = 5
	writeMilliseconds = 8
	busyMilliseconds  = 10
)

// diskstats returns a column, summed over whole disks: as the series are that are summed.
func diskstats(t *testing.T, k kernelFiles, column int) (total float64) {
	t.Helper()
	for line := range strings.Lines(k["diskstats"]) {
		words := strings.Fields(line)
		if len(words) < 4+column || !wholeDisk(words[2]) {
			continue
		}
		n, err := strconv.ParseFloat(words[2+column], 64)
		if err != nil {
			t.Fatal(err)
		}
		total += n
	}
	return total
}

// wholeDisk tells whether a device of the machines of these tests is a disk with data.
func wholeDisk(name string) bool {
	return len(name) == 3 && (name[:2] == "vd" || name[:2] == "sd") || strings.HasPrefix(name, "nvme") && strings.HasSuffix(name, "n1")
}

// blkioWrites returns the writes that v1 counts for the container, 0 for none.
//
//	253:0 Write 42
func blkioWrites(k kernelFiles) (total float64) {
	for line := range strings.Lines(k["right/blkio.throttle.io_serviced_recursive"]) {
		if words := strings.Fields(line); len(words) == 3 && words[1] == "Write" {
			n, _ := strconv.ParseFloat(words[2], 64)
			total += n
		}
	}
	return total
}

// meminfo returns a line of /proc/meminfo in bytes.
func meminfo(t *testing.T, k kernelFiles, key string) float64 {
	t.Helper()
	words := strings.Fields(lineOf(k["meminfo"], key+":"))
	if len(words) != 3 {
		t.Fatalf("meminfo has no %s", key)
	}
	n, err := strconv.ParseFloat(words[1], 64)
	if err != nil {
		t.Fatal(err)
	}
	return n * 1024
}

// value returns the sum of the series of a family that have a label id and these labels; absent
// if there are none.
func (s scrape) value(family, id, labels string) float64 {
	sum, found := 0.0, false
series:
	for _, m := range s[family].GetMetric() {
		has := map[string]string{}
		for _, l := range m.Label {
			has[l.GetName()] = l.GetValue()
		}
		for want := range strings.SplitSeq("id="+id+","+labels, ",") {
			if name, value, _ := strings.Cut(want, "="); has[name] != value {
				continue series
			}
		}
		// A filesystem may lie on a part of a disk.
		if device := strings.TrimPrefix(has["device"], "/dev/"); device != "" && !wholeDisk(device) && !strings.HasPrefix(family, "container_fs_inodes_") {
			continue
		}
		sum, found = sum+m.GetCounter().GetValue()+m.GetGauge().GetValue(), true
	}
	if !found {
		return absent
	}
	return sum
}

// checkRight holds the table against what the kernel said before and after a scrape. The
// error says which of our numbers aren't right, or not shown to be.
func checkRight(t *testing.T, on hierarchies, id string, before, after kernelFiles, s scrape) error {
	t.Helper()
	var errs []string
	var shown strings.Builder
	for _, w := range wrongs(t) {
		if w.on&on == 0 || strings.HasPrefix(w.family, "container_fs_inodes_") && before["right/filesystem"] == "" {
			continue
		}
		of := id
		if w.node {
			of = "/"
		}
		got := s.value(w.family, of, w.labels)
		low, high := w.right(before), w.right(after)
		low, high = min(low, high), max(low, high)
		theirs := w.cadvisor(after)
		slack := 1e-6 * math.Abs(high)
		if w.node && strings.Contains(w.family, "memory") {
			slack = 16 << 20 // of a machine that goes on
		}
		if w.family == "container_fs_inodes_free" {
			slack = 1000 // files of other tests
		}
		here := fmt.Sprint(got)
		if math.IsNaN(got) {
			here = "none"
		}
		fmt.Fprintf(&shown, "%s{%s} of %.20s: cAdvisor %v (%s), here %s\n", w.family, w.labels, of, theirs, w.why, here)
		switch {
		case math.IsNaN(low) || math.IsNaN(high):
			if !math.IsNaN(got) {
				errs = append(errs, fmt.Sprintf("%s is %v, want none", w.family, got))
			}
		case math.IsNaN(got) || got < low-slack || got > high+slack:
			errs = append(errs, fmt.Sprintf("%s{%s} is %v, want %v … %v", w.family, w.labels, got, low, high))
		case theirs >= low && theirs <= high:
			errs = append(errs, fmt.Sprintf("%s{%s}: cAdvisor's %v is right here, too", w.family, w.labels, theirs))
		}
	}
	if len(errs) > 0 {
		return fmt.Errorf("%s", strings.Join(errs, "; "))
	}
	t.Logf("right where cAdvisor is wrong:\n%s", shown.String())
	return nil
}

// needV1 skips a test where there is no cgroup v1; others show the same of v2, in a machine
// of their own.
func needV1(t *testing.T) {
	t.Helper()
	if _, err := os.Stat("/sys/fs/cgroup/memory/memory.stat"); err != nil {
		t.Skip("needs cgroup v1, and this machine has v2 alone: boot it with systemd.unified_cgroup_hierarchy=0")
	}
}

// On this machine's hierarchy, v1 or hybrid, with engines of three years.
func TestRightV1(t *testing.T) {
	lab.Need(t, lab.Nodes)
	needV1(t)
	e := lab.EngineFor(t)
	t.Run("20.10", func(t *testing.T) {
		a := startAgent(t, "-docker="+e.Host(), "-docker_root="+e.DataRoot(), "-docker_only", "-spool-dir="+t.TempDir(), "-podman=", "-containerd=")
		testRightV1(t, e, "/docker/", a.URL)
	})
	const port = "8090"
	nodes := startNodes(t, e, lab.NodeConfig{Name: "trixie", Suite: lab.Trixie},
		lab.NodeConfig{Name: "sid", Suite: lab.Sid},
		lab.NodeConfig{Name: "containerd-store", Suite: lab.Sid, Args: []string{lab.ContainerdStore}})
	for _, n := range nodes {
		t.Run(n.Name(), func(t *testing.T) {
			startPrinter(t, agentIn(e, n, "-port="+port))
			testRightV1(t, n, "/docker/", "http://"+n.Addr().String()+":"+port)
		})
	}
}

// testRightV1 checks one engine, whose agent answers at a URL and knows its containers below
// a path.
func testRightV1(t *testing.T, e engine, parent, url string) {
	t.Logf("Docker %s", docker(t, e, "version", "--format", "{{.Server.Version}}"))
	// It goes on to write, so that it has dirty pages whenever it is looked at.
	id := docker(t, e, "run", "--detach", "--name", "right", "--memory", "64m", lab.BusyboxImage,
		"sh", "-c", "tail /dev/zero; i=0; while [ $i -lt 200000 ]; do i=$((i+1)); done; while :; do echo >> /written; sleep 1; done")
	t.Cleanup(func() {
		if _, err := e.Docker(context.Background(), "container", "rm", "--force", id); err != nil {
			t.Error(err)
		}
	})
	var memory string // the container's directory there
	waitFor(t, 10*time.Second, "the container's cgroup", func() error {
		for _, pattern := range []string{"docker/", "docker/*/docker/"} {
			if found, _ := filepath.Glob("/sys/fs/cgroup/memory/" + pattern + id); len(found) == 1 {
				memory = found[0]
				return nil
			}
		}
		return errNotYet
	})
	waitFor(t, 20*time.Second, "a process killed for want of memory", func() error {
		text, err := os.ReadFile(memory + "/memory.oom_control")
		if err == nil && !strings.Contains(string(text), "oom_kill 1") {
			err = errNotYet
		}
		return err
	})
	// A child cgroup, as a container makes them that runs systemd or an engine.
	child := memory + "/child"
	if err := os.Mkdir(child, 0o755); err != nil {
		t.Fatal(err)
	}
	// The program there has to be read from the disk.
	program := filepath.Join(t.TempDir(), "dd")
	const script = `cp "$(command -v dd)" "$1" && sync "$1" && dd if="$1" iflag=nocache count=0 &&
		echo $$ > "$0/cgroup.procs" && exec "$1" if=/dev/zero of=/dev/null bs=8M count=1`
	if out, err := exec.Command("sh", "-c", script, child, program).CombinedOutput(); err != nil {
		t.Fatalf("%v: %s", err, out)
	}
	if err := os.Remove(child); err != nil {
		t.Fatal(err)
	}
	look := func() kernelFiles {
		t.Helper()
		k := kernelFiles{}
		read := func(name, path string) {
			text, err := os.ReadFile(path)
			if err != nil {
				t.Fatal(err)
			}
			k[name] = string(text)
		}
		below := strings.TrimPrefix(memory, "/sys/fs/cgroup/memory")
		for _, file := range []string{"memory.stat", "memory.oom_control"} {
			read("right/"+file, memory+"/"+file)
		}
		read("right/blkio.throttle.io_serviced_recursive", "/sys/fs/cgroup/blkio"+below+"/blkio.throttle.io_serviced_recursive")
		if pressure := "/sys/fs/cgroup/unified" + below + "/cpu.pressure"; exists(pressure) { // not in nodes
			read("right/cpu.pressure", pressure)
		}
		read("diskstats", "/proc/diskstats")
		read("meminfo", "/proc/meminfo")
		return k
	}
	// What the filesystem says on which the container's layer lies, and what is in that. Of
	// layers of the containerd image store cAdvisor shows nothing that could be wrong.
	classic := docker(t, e, "info", "--format", "{{.Driver}}") == "overlay2"
	filesystem := func() string {
		t.Helper()
		inodes := strings.Fields(docker(t, e, "exec", id, "stat", "-f", "-c", "%c %d", "/"))
		return fmt.Sprintf("inodes %s\nfree %s\nused %d\n", inodes[0], inodes[1], 1+strings.Count(docker(t, e, "diff", id), "\n"))
	}
	waitFor(t, time.Minute, "the right numbers", func() error {
		files := ""
		if classic {
			files = filesystem()
		}
		// Pages that are to be written.
		docker(t, e, "exec", id, "dd", "if=/dev/zero", "of=/tmp/f", "bs=64k", "count=64")
		time.Sleep(1500 * time.Millisecond)
		began, before := time.Now(), look()
		for {
			text, err := httpGet(t, url+"/metrics")
			if err != nil {
				return err
			}
			s := parseScrape(t, text)
			_, at, ok := s.sum("container_memory_usage_bytes", "id", parent+id)
			_, atNode, _ := s.sum("container_memory_usage_bytes", "id", "/")
			if ok && at.After(began) && atNode.After(began) {
				after := look()
				if classic {
					before["right/filesystem"], after["right/filesystem"] = files, filesystem()
				}
				return checkRight(t, onV1, parent+id, before, after, s)
			}
			if time.Since(began) > 10*time.Second {
				return fmt.Errorf("no sample of %s", parent+id)
			}
			time.Sleep(200 * time.Millisecond)
		}
	})
	testRightIdentity(t, e, parent, url, id)
}

func exists(path string) bool {
	_, err := os.Stat(path)
	return err == nil
}

// testRightIdentity is about what isn't a number of the kernel, see identity.
func testRightIdentity(t *testing.T, e engine, parent, url, id string) {
	known := identity{path: parent + id, created: inspect(t, e, id).Created}
	docker(t, e, "rename", id, "renamed")
	docker(t, e, "restart", "--time", "0", id)
	known.restarted = inspect(t, e, id).State.StartedAt
	known.versions = docker(t, e, "version", "--format", "{{.Server.Version}} {{.Server.APIVersion}}")
	waitFor(t, 30*time.Second, "version, name and start", func() error {
		text, err := httpGet(t, url+"/metrics")
		if err != nil {
			return err
		}
		attributes, err := httpGet(t, url+"/api/v2.1/attributes")
		if err != nil {
			return err
		}
		return known.check(t, parseScrape(t, text), attributes)
	})
}

// identity is what the engine says of itself, and of a container that was called right, and
// was renamed and started again: the version, which is always empty in cAdvisor, and the name
// and the start, which it takes once.
type identity struct {
	path               string // of the container's cgroup
	created, restarted time.Time
	versions           string // of the engine and of its API
}

// check compares it with what the agent answers, and sees that the node's filesystems are
// without those of containers.
func (i *identity) check(t testing.TB, s scrape, attributes string) error {
	t.Helper()
	if !i.restarted.After(i.created.Add(2 * time.Second)) {
		t.Fatal("the restart came too early to be told from the creation")
	}
	mounts := map[string]bool{}
	for _, m := range s["container_fs_limit_bytes"].GetMetric() {
		of, device := "", ""
		for _, l := range m.Label {
			switch l.GetName() {
			case "id":
				of = l.GetValue()
			case "device":
				device = l.GetValue()
			}
		}
		if of == "/" && (mounts[device] || strings.HasPrefix(device, "overlay")) {
			t.Fatalf("the node has the filesystem %q twice, or it is a container's; cAdvisor adds the mounts of every container", device)
		}
		mounts[device] = mounts[device] || of == "/"
	}
	version, _, _ := strings.Cut(i.versions, " ")
	if v, _, ok := s.sum("cadvisor_version_info", "dockerVersion", version); !ok || v != 1 {
		return fmt.Errorf("no cadvisor_version_info with dockerVersion %q; cAdvisor has an empty one", version)
	}
	var got struct {
		Version    string `json:"docker_version"`
		APIVersion string `json:"docker_api_version"`
	}
	if err := json.Unmarshal([]byte(attributes), &got); err != nil {
		return err
	}
	if got.Version+" "+got.APIVersion != i.versions {
		return fmt.Errorf("docker_version and docker_api_version are %q and %q, want %q; cAdvisor has empty ones", got.Version, got.APIVersion, i.versions)
	}
	started := s.value("container_start_time_seconds", i.path, "name=renamed")
	if want := float64(i.restarted.Unix()); started != want {
		return fmt.Errorf("container_start_time_seconds of the name renamed is %v, want %v; cAdvisor has %d (of v0.56) under the name right",
			started, want, i.created.Unix())
	}
	return nil
}

// Samples are taken on slots of the wall clock, with one interval between two of them, where
// cAdvisor's interval of one second is one to two, at random.
func TestRightIntervals(t *testing.T) {
	e := lab.EngineFor(t)
	h := &host{Engine: e}
	p := startPrinter(t, agentFor(t, e, "-docker="))
	id := h.run(t, lab.BusyboxImage, "sleep", "1000")
	began := p.after(t, id, time.Now()).time()
	const samples = 20
	waitFor(t, 2*samples*time.Second, "samples", func() error {
		if n := len(p.container(id)); n <= samples {
			return fmt.Errorf("%d", n)
		}
		return nil
	})
	documents := p.container(id)
	p.checkSteady(t, id)
	// cAdvisor's mean is 1.5 s. A late sample doesn't shift those after it.
	last := documents[len(documents)-1]
	first, _ := documents[0].number("sample.slot")
	slot, _ := last.number("sample.slot")
	if mean := last.time().Sub(documents[0].time()).Seconds() / (slot - first); math.Abs(mean-1) > 0.05 {
		t.Errorf("%.3f s between two samples since %v, want 1.00 ± 0.05", mean, began)
	}
}

//go:embed vm/right.sh
var rightScript string // immutable

//go:embed vm/right-docker.sh
var rightDockerScript string // immutable

//go:embed vm/right-agent.sh
var rightAgentScript string // immutable

//go:embed vm/right-identity.sh
var rightIdentityScript string // immutable

// On a unified hierarchy, in a cgroup that no engine made.
func TestRightV2(t *testing.T) {
	lab.Need(t, lab.Initramfs)
	result, err := lab.RunInitramfs(t.Context(), lab.VM{
		Files: programs(t), Script: workload() + rightScript + rightAgentScript, Disk: emptyDisk(t),
	})
	if err != nil {
		t.Fatal(err)
	}
	testRightV2(t, result)
}

// The same with Docker and systemd.
func TestRightV2Docker(t *testing.T) {
	lab.Need(t, lab.Systemd)
	result, err := lab.RunSystemd(t.Context(), lab.Bookworm, lab.VM{
		Files: programs(t), Script: workload() + rightDockerScript + rightAgentScript + rightIdentityScript,
	})
	if err != nil {
		t.Fatal(err)
	}
	r := testRightV2(t, result)
	known := identity{path: strings.TrimSpace(r.section(t, "cgroup")), versions: strings.TrimSpace(r.section(t, "version"))}
	for section, at := range map[string]*time.Time{"created": &known.created, "restarted": &known.restarted} {
		if *at, err = time.Parse(time.RFC3339Nano, strings.TrimSpace(r.section(t, section))); err != nil {
			t.Fatal(err)
		}
	}
	if err := known.check(t, scrapeIn(t, r, "identity metrics"), r.section(t, "attributes")); err != nil {
		t.Errorf("%v\n%s", err, r.section(t, "identity log"))
	}
}

func testRightV2(t *testing.T, result lab.VMResult) report {
	r := newReport(t, result)
	id := strings.TrimSpace(r.section(t, "cgroup"))
	if err := checkRight(t, onV2, id, r.kernel, r.later, scrapeIn(t, r, "metrics")); err != nil {
		t.Error(err)
	}
	return r
}

// scrapeIn returns the compressed answer of /metrics that a section has.
func scrapeIn(t *testing.T, r report, section string) scrape {
	t.Helper()
	return parseScrape(t, string(r.unpacked(t, section)))
}
