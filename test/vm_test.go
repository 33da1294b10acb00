package test

import (
	"bytes"
	"compress/gzip"
	_ "embed"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"io"
	"maps"
	"math"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/swarmgauge/swarmgauge/test/lab"
)

// The tests in this file run the agent on a kernel with a unified cgroup hierarchy, in a
// virtual machine. A script there makes work of known size, and prints what the kernel
// says of it and what the agent printed; both are compared here.

//go:embed vm/bare.sh
var bareScript string // immutable

//go:embed vm/docker.sh
var dockerScript string // immutable

// The work that is done in the virtual machines.
const (
	megabyte = 1 << 20

	heldMemory  = 64 * megabyte
	memoryLimit = 256 * megabyte
	oomLimit    = 32 * megabyte

	// An operation of these sizes is one command of an NVMe disk.
	diskWrites, diskWriteSize = 100, 64 << 10
	diskReads, diskReadSize   = 50, 32 << 10

	// Datagrams that fit into a frame each. load answers with payloads of answerSize.
	questions, questionSize, answerSize = 500, 1000, 100
	frameHeaders                        = 14 + 20 + 8 // Ethernet, IPv4, UDP

	pidsLimit = 5

	clockStep = 3600 // seconds

	// A period that is longer than the pauses that a busy machine makes an emulated
	// processor take: the kernel gives no quota for a period whose end it has missed.
	cpuQuota, cpuPeriod = 200_000, 400_000 // microseconds
	cpuCores            = 0.5
	cpuSeconds          = 30
)

// bareContainer is an id like an engine's, of a container that no engine knows.
var bareContainer = strings.Repeat("c0de", 16) // immutable

// workload returns the amounts as variables of a shell.
func workload() string {
	return fmt.Sprintf(`
MEMORY=%d MEMORY_LIMIT=%d OOM_LIMIT=%d
WRITES=%d WRITE_SIZE=%d READS=%d READ_SIZE=%d
QUESTIONS=%d QUESTION_SIZE=%d
PIDS_LIMIT=%d CPU_QUOTA=%d CPU_PERIOD=%d CPU_SECONDS=%d CONTAINER_ID=%s CLOCK_STEP=%d
`, heldMemory, memoryLimit, oomLimit, diskWrites, diskWriteSize, diskReads, diskReadSize,
		questions, questionSize, pidsLimit, cpuQuota, cpuPeriod, cpuSeconds, bareContainer, clockStep)
}

// TestUnifiedKernelPackages runs the tests of the packages that read the kernel as the
// first user program of one: on a unified hierarchy, as root, with nothing around them.
func TestUnifiedKernelPackages(t *testing.T) {
	lab.Need(t, lab.Initramfs)
	t.Parallel() // most of the time one of its processors has something to do
	var files []lab.File
	var script strings.Builder
	for _, path := range []string{"drivers/net/veth", "net/ipv4/inet_diag", "net/ipv4/tcp_diag", "net/ipv4/udp_diag"} {
		module := kernelModule(t, path)
		files = append(files, module)
		script.WriteString("insmod ./" + module.Name + "\n")
	}
	// Interfaces that have counted something before the tests: questions that nobody answers.
	script.WriteString(`failed=0
ip link set lo up
ip link add eth0 type veth # and its other end, veth0
ip address add 192.0.2.1/24 dev eth0
ip link set eth0 up
ip link set veth0 up
ping -c 2 -w 2 192.0.2.2 > /dev/null
grep veth0: /proc/net/dev
`)
	skipped := []string{
		"TestLivePartlyGone",           // about v1
		"TestFilesystemsAgainstStatfs", // wants the filesystem of a disk; there all are in memory
		"TestProcessesArePS",           // wants procps' ps; there it is busybox's
		"TestWalkIsDu",                 // wants GNU's du; there it is busybox's
	}
	packages := []string{"cgroup", "proc", "collector"}
	for _, name := range packages {
		files = append(files, lab.File{Name: name + "/test", Source: compile(t, "test", "-c", "../"+name)})
		fixtures := "../" + name + "/testdata"
		if _, err := os.Stat(fixtures); err == nil {
			files = append(files, lab.File{Name: name + "/testdata", Source: fixtures})
		}
		fmt.Fprintf(&script, "(cd %s && ./test -test.short -test.v -test.run '^Test') || failed=1\n", name)
	}
	result, err := lab.RunInitramfs(t.Context(), lab.VM{Files: files, Script: script.String() + "exit $failed\n"})
	if err != nil {
		t.Fatal(err)
	}
	if result.Status != 0 {
		t.Errorf("tests failed:\n%s", withoutPassed(result.Output))
	}
	for _, test := range regexp.MustCompile(`(?m)^--- SKIP: (\w+)`).FindAllStringSubmatch(result.Output, -1) {
		if !slices.Contains(skipped, test[1]) {
			t.Errorf("%s was skipped", test[1])
		}
	}
	passed := strings.Count(result.Output, "\n--- PASS: ")
	live := strings.Count(result.Output, "\n--- PASS: TestLive")
	if ok := strings.Count(result.Output, "\nPASS\n"); ok != len(packages) || live == 0 {
		t.Errorf("%d packages passed, %d tests of live cgroups; want %d and some", ok, live, len(packages))
	}
	t.Logf("%d tests passed on a unified hierarchy, %d of them of its live cgroups", passed, live)
}

// withoutPassed returns what a verbose test binary printed, without what it printed of the
// tests that passed: what is wanted of some thousand lines when one failed. What has
// neither passed nor failed, like a test that panicked, stays.
func withoutPassed(output string) string {
	var rest, test strings.Builder
	for line := range strings.Lines(output) {
		if strings.HasPrefix(line, "=== RUN ") && !strings.Contains(line, "/") {
			rest.WriteString(test.String())
			test.Reset()
		}
		if strings.HasPrefix(line, "--- PASS: ") {
			test.Reset()
		} else if !strings.HasPrefix(strings.TrimLeft(line, " "), "--- PASS: ") {
			test.WriteString(line)
		}
	}
	return rest.String() + test.String()
}

func TestWithoutPassed(t *testing.T) {
	const output = "=== RUN   TestA\n=== RUN   TestA/b\n    a_test.go:1: well\n--- PASS: TestA (0.01s)\n    --- PASS: TestA/b (0.01s)\n" +
		"=== RUN   TestC\n    c_test.go:7: 1, want 2\n--- FAIL: TestC (0.00s)\n" +
		"=== RUN   TestD\n--- PASS: TestD (0.00s)\nFAIL\n=== RUN   TestE\npanic: index out of range\n"
	const want = "=== RUN   TestC\n    c_test.go:7: 1, want 2\n--- FAIL: TestC (0.00s)\n" +
		"FAIL\n=== RUN   TestE\npanic: index out of range\n"
	if got := withoutPassed(output); got != want {
		t.Errorf("%q, want %q", got, want)
	}
}

// TestUnifiedKernelBare measures cgroups that no engine made.
func TestUnifiedKernelBare(t *testing.T) {
	lab.Need(t, lab.Initramfs)
	t.Parallel() // most of the time one of its processors has something to do
	result, err := lab.RunInitramfs(t.Context(), lab.VM{
		Files:  append(programs(t), kernelModule(t, "drivers/net/veth")),
		Script: workload() + bareScript,
		Disk:   emptyDisk(t),
	})
	if err != nil {
		t.Fatal(err)
	}
	r := newReport(t, result)
	documents := r.documents(t, "documents")
	r.quiet(t, "log")
	of := func(cgroup string) measured {
		return measured{cgroup, r.kernel, r.later, selected(documents, func(d document) bool {
			return d.text("event.dataset") == "swarmgauge.container" && d.text("container_Name") == "/lab/"+cgroup
		})}
	}
	cpu, disk, oom, pids := of("cpu"), of("disk"), of("oom"), of("pids")
	for _, m := range []measured{of("idle"), of("memory"), disk, oom, pids, cpu} {
		m.matchesKernel(t)
	}
	for _, m := range []measured{disk, oom, cpu} {
		if ended := m.last(t)["sample.ended"]; ended != true {
			t.Errorf("%s: the last document of a removed cgroup has sample.ended %v", m.name, ended)
		}
	}
	cpu.usesItsQuota(t, r)
	of("memory").holds(t, of("idle"))
	disk.transferred(t)
	disk.isOnDevice(t, documents)

	network := of(bareContainer)
	network.matchesKernel(t)
	network.communicated(t, 0)
	if last := network.last(t); last.text("container.id") != bareContainer || last.text("container.unidentified") == "" {
		t.Errorf("a container that no engine knows: id %q, unidentified because %q", last.text("container.id"), last.text("container.unidentified"))
	}

	if kills := sum(oom.documents, "container.memory.oom_kills"); kills < 1 || kills != r.kernel.number(t, "oom/memory.events", "oom_kill") {
		t.Errorf("%v kills for want of memory", kills)
	}
	if hits := sum(pids.documents, "container.pids.limit_hits"); hits < 1 || hits != r.kernel.number(t, "pids/pids.events", "max") {
		t.Errorf("%v forks refused", hits)
	}
	nodes := selected(documents, func(d document) bool { return d.dataset() == "node" })
	node := measured{name: "/", documents: nodes}.last(t)
	used, _ := node.number("host.memory.usage_bytes")
	total, _ := node.number("host.memory.total_bytes")
	if working, _ := node.number("host.memory.working_set_bytes"); working <= 0 || used <= working || used >= total {
		t.Errorf("the node uses %v bytes, %v of them not given back, of %v", used, working, total)
	}
	oom.shows(t, "container.memory.limit_bytes", oomLimit)
	pids.shows(t, "container.pids.limit", pidsLimit)
	pids.shows(t, "container.pids.current", r.kernel.number(t, "pids/pids.current", ""))
	t.Run("clock", func(t *testing.T) { checkClock(t, r) })
}

// checkClock checks what an agent said while the clock was set forward and back. With
// injected clocks, package collector's TestC08 does more of it.
func checkClock(t *testing.T, r report) {
	documents := r.documents(t, "clock documents")
	var steps []float64
	for _, d := range selected(documents, func(d document) bool { return d.text("event.action") == "clock_step" }) {
		by, _ := d.number("clock.step_seconds")
		steps = append(steps, by)
	}
	if len(steps) != 2 || math.Abs(steps[0]-clockStep) > 5 || math.Abs(steps[1]+clockStep) > 5 {
		t.Errorf("the clock was set by %d s and back; told is %v", clockStep, steps)
	}
	var windows, seconds float64
	for _, d := range selected(documents, func(d document) bool { return d.dataset() == "node" }) {
		long, ok := d.number("sample.interval_seconds")
		if !ok || long > 10 {
			t.Errorf("a window of %v seconds (%v)", long, ok)
		}
		windows, seconds = windows+1, seconds+long
	}
	t.Logf("steps of %v s, %.0f windows of %.1f s together", steps, windows, seconds)
}

// TestUnifiedKernelSystemdDocker measures Docker's containers on the platform that most
// nodes of a Swarm are: systemd, which makes a scope of each. The agent in a container
// has to come to the same numbers as the one outside.
func TestUnifiedKernelSystemdDocker(t *testing.T) {
	lab.Need(t, lab.Systemd, lab.Elasticsearch)
	t.Parallel() // most of the time one of its processors has something to do
	result, err := lab.RunSystemd(t.Context(), lab.Bookworm, lab.VM{
		Files:  append(programs(t), conformanceFiles(t)...),
		Script: conformanceScript + workload() + dockerScript,
		Disk:   emptyDisk(t),
	})
	if err != nil {
		t.Fatal(err)
	}
	r := newReport(t, result)
	checkDocker(t, r)
	t.Run("conformance", func(t *testing.T) { checkConformance(t, r) })
	t.Run("panels", func(t *testing.T) { checkPanelsOfV2(t, r, "process documents") })
}

// checkDocker checks what both agents said of Docker's containers.
func checkDocker(t *testing.T, r report) {
	if seen := r.section(t, "seen"); !strings.HasPrefix(seen, "0::/../docker-") {
		t.Errorf("a container's cgroup seen from another one is %q, without the way out of its namespace: the test has lost its point", seen)
	}
	if health := r.section(t, "health"); !strings.Contains(health, "well\n") {
		t.Errorf("the health check in the container failed: %q", health)
	}
	var containers []inspected
	if err := json.Unmarshal([]byte(r.section(t, "inspect")), &containers); err != nil {
		t.Fatalf("docker inspect: %v", err)
	}
	t.Run("units", func(t *testing.T) { checkUnits(t, r) })
	_, burned := r.burning(t)
	for _, where := range []string{"process", "container"} {
		t.Run(where, func(t *testing.T) {
			documents := r.documents(t, where+" documents")
			r.quiet(t, where+" log")
			all := map[string]measured{}
			for _, c := range containers {
				m := measured{strings.TrimPrefix(c.Name, "/"), r.kernel, r.later, selected(documents, func(d document) bool {
					return d.text("event.dataset") == "swarmgauge.container" && d.text("container.id") == c.ID
				})}
				all[m.name] = m
				if err := identityOf(m.before(t, burned), c); err != nil {
					t.Error(err)
				}
				if m.name != "gauge" { // it goes on working
					m.matchesKernel(t)
				}
			}
			all["cpu"].usesItsQuota(t, r)
			all["memory"].holds(t, all["idle"])
			all["disk"].transferred(t)
			all["disk"].isOnDevice(t, documents)
			// ARP, and IPv6 that finds out who is there.
			const strangers = 40
			all["server"].communicated(t, strangers)
			if received := sum(all["gauge"].documents, "container.network.ingress.packets"); received == 0 {
				t.Error("the agent's own container has no network numbers")
			}
		})
	}
}

// checkUnits checks that systemd's units are measured where they are asked for, as all
// cgroups are unless -docker_only is given, and nowhere else.
func checkUnits(t *testing.T, r report) {
	of := func(where, unit string) []document {
		return selected(r.documents(t, where+" documents"), func(d document) bool { return d.text("container_Name") == unit })
	}
	r.quiet(t, "units log")
	for _, unit := range []string{"/system.slice", "/system.slice/docker.service", "/system.slice/systemd-journald.service"} {
		found := of("units", unit)
		if len(found) != 1 {
			t.Errorf("%d documents of %s, want one", len(found), unit)
			continue
		}
		d := found[0]
		if memory, _ := d.number("container.memory.usage_bytes"); memory < megabyte {
			t.Errorf("%s uses %v bytes of memory", unit, memory)
		}
		if id, runtime := d.text("container.id"), d.text("container.runtime"); id != "" || runtime != "" {
			t.Errorf("%s is the container %q of %q, want none", unit, id, runtime)
		}
		if others := of("process", unit); len(others) != 0 {
			t.Errorf("%d documents of %s in spite of -docker_only", len(others), unit)
		}
	}
}

// compile builds a static program or test binary and returns its path. The arguments are
// those of the go command, without an output.
func compile(t *testing.T, command string, args ...string) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), "binary")
	cmd := exec.Command("go", append([]string{command, "-trimpath", "-ldflags", "-s -w", "-o", path}, args...)...)
	cmd.Env = append(os.Environ(), "CGO_ENABLED=0")
	if out, err := cmd.CombinedOutput(); err != nil {
		t.Fatalf("%v: %v\n%s", cmd.Args, err, out)
	}
	return path
}

// programs are the agent and the load.
func programs(t *testing.T) []lab.File {
	t.Helper()
	return []lab.File{
		{Name: "agent", Source: buildAgent(t)},
		{Name: "load", Source: compile(t, "build", "./vm/load")},
	}
}

// kernelModule returns a module, by its path below the kernel's own, as a file for virtual
// machines that have none with them.
func kernelModule(t *testing.T, path string) lab.File {
	t.Helper()
	if err := lab.Prepare(t.Context(), lab.Initramfs); err != nil {
		t.Fatal(err)
	}
	cache, err := lab.CacheDir()
	if err != nil {
		t.Fatal(err)
	}
	found, err := filepath.Glob(filepath.Join(cache, "kernel-*/lib/modules/*/kernel", path+".ko"))
	if err != nil || len(found) != 1 {
		t.Fatalf("the cache %s has the modules %q, want one (%v); an old kernel there can be deleted", cache, found, err)
	}
	return lab.File{Name: filepath.Base(found[0]), Source: found[0]}
}

// emptyDisk makes the image of a disk on which the work has room.
func emptyDisk(t *testing.T) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), "disk")
	if err := os.WriteFile(path, nil, 0o644); err != nil {
		t.Fatal(err)
	}
	if err := os.Truncate(path, 2*diskWrites*diskWriteSize); err != nil {
		t.Fatal(err)
	}
	return path
}

// report is what a script printed, in sections.
type report struct {
	sections map[string]string
	// kernel is what the kernel said when all work was done, later what it said of the
	// network after the agents had ended.
	kernel, later kernelFiles
}

func newReport(t *testing.T, result lab.VMResult) report {
	t.Helper()
	r := newSections(t, result)
	r.kernel, r.later = r.kernelFiles(t, "kernel"), r.kernelFiles(t, "later")
	return r
}

// newSections is newReport of a script that has nothing from the kernel.
func newSections(t *testing.T, result lab.VMResult) report {
	t.Helper()
	r := report{sections: map[string]string{}}
	for part := range strings.SplitSeq("\n"+result.Output, "\n== ") {
		name, text, _ := strings.Cut(part, "\n")
		if _, word, ok := strings.Cut(name, "status "); ok {
			name, text = "status", word
		}
		r.sections[name] = text + "\n"
	}
	if result.Status != 0 || r.sections["status"] != "0\n" {
		for name, text := range r.sections { // without the documents, which nobody can read
			if !strings.HasSuffix(name, "documents") {
				t.Logf("== %s\n%s", name, text)
			}
		}
		t.Fatalf("the script ended with status %d, the agent with %q", result.Status, r.sections["status"])
	}
	return r
}

// kernelFiles returns a section whose lines begin with the name of a file and a colon.
func (r report) kernelFiles(t *testing.T, section string) kernelFiles {
	t.Helper()
	files := kernelFiles{}
	for line := range strings.Lines(r.section(t, section)) {
		if strings.TrimSpace(line) == "" {
			continue
		}
		file, text, ok := strings.Cut(line, ":")
		if !ok {
			t.Fatalf("%s: %q", section, line)
		}
		files[file] += text
	}
	return files
}

func (r report) section(t *testing.T, name string) string {
	t.Helper()
	text, ok := r.sections[name]
	if !ok {
		t.Fatalf("the script printed no section %q, but %q", name, slices.Sorted(maps.Keys(r.sections)))
	}
	return text
}

// unpacked returns a section that was compressed and encoded.
func (r report) unpacked(t *testing.T, section string) []byte {
	t.Helper()
	packed := base64.NewDecoder(base64.StdEncoding, strings.NewReader(r.section(t, section)))
	unpacked, err := gzip.NewReader(packed)
	if err != nil {
		t.Fatal(err)
	}
	text, err := io.ReadAll(unpacked)
	if err != nil {
		t.Fatal(err)
	}
	return text
}

// documents returns what an agent printed to its standard output.
func (r report) documents(t *testing.T, section string) []document {
	t.Helper()
	var documents []document
	for line := range bytes.Lines(r.unpacked(t, section)) {
		var d document
		if err := json.Unmarshal(line, &d); err != nil {
			t.Fatalf("%v: %.2000q", err, line)
		}
		documents = append(documents, d)
	}
	return documents
}

// quiet checks that an agent has nothing to complain about.
func (r report) quiet(t *testing.T, section string) {
	t.Helper()
	log := r.section(t, section)
	for _, word := range []string{`"log.level":"warn"`, `"log.level":"error"`, "panic"} {
		if strings.Contains(log, word) {
			t.Errorf("%s has %s:\n%s", section, word, log)
			return
		}
	}
}

// burning returns the seconds between which the load of the CPU was the only work.
func (r report) burning(t *testing.T) (from, to time.Time) {
	t.Helper()
	var seconds [2]int64
	if n, err := fmt.Sscan(r.section(t, "burning"), &seconds[0], &seconds[1]); n != 2 {
		t.Fatalf("burning: %q: %v", r.section(t, "burning"), err)
	}
	return time.Unix(seconds[0], 0), time.Unix(seconds[1], 0)
}

// kernelFiles are the kernel's files about cgroups, by "<cgroup>/<file>".
type kernelFiles map[string]string

// number returns the number behind a key. The forms of files are (kernel:
// Documentation/admin-guide/cgroup-v2.rst, "Format"):
//
//	42                             the key is ""
//	usage_usec 42                  the key is "usage_usec"
//	259:0 rbytes=42 wbytes=0       the key is "wbytes", summed over lines
//	some avg10=0.00 total=42       the key is "some total"
func (k kernelFiles) number(t *testing.T, file, key string) (total float64) {
	t.Helper()
	text, ok := k[file]
	if !ok {
		t.Fatalf("the kernel has no %s", file)
	}
	line, pair, nested := strings.Cut(key, " ")
	if !nested {
		line, pair = "", key
	}
	found := false
	for words := range strings.Lines(text) {
		words := strings.Fields(words)
		value := ""
		switch {
		case key == "" && len(words) == 1:
			value = words[0]
		case !nested && len(words) == 2 && words[0] == key:
			value = words[1]
		case line == "" || words[0] == line:
			for _, word := range words[1:] {
				if name, number, ok := strings.Cut(word, "="); ok && name == pair {
					value = number
				}
			}
		}
		if value == "" {
			continue
		}
		n, err := strconv.ParseFloat(value, 64)
		if err != nil {
			t.Fatalf("%s: %v", file, err)
		}
		total, found = total+n, true
	}
	if !found {
		t.Fatalf("%s has no %q:\n%s", file, key, text)
	}
	return total
}

// measured is one cgroup: what the kernel says of it in the end (report), and the agent's
// documents. The work began after the agent had started.
type measured struct {
	name          string
	kernel, later kernelFiles
	documents     []document
}

func (m measured) last(t *testing.T) document {
	t.Helper()
	if len(m.documents) == 0 {
		t.Fatalf("%s: no documents", m.name)
	}
	return m.documents[len(m.documents)-1]
}

// before returns the last document about what was before at.
func (m measured) before(t *testing.T, at time.Time) document {
	t.Helper()
	for _, d := range slices.Backward(m.documents) {
		if d.time().Before(at) {
			return d
		}
	}
	t.Fatalf("%s: none of %d documents is of before %v", m.name, len(m.documents), at)
	return nil
}

// shows checks a gauge of the last document.
func (m measured) shows(t *testing.T, field string, want float64) {
	t.Helper()
	if got, ok := m.last(t).number(field); !ok || got != want {
		t.Errorf("%s: %s is %v (%v), want %v", m.name, field, got, ok, want)
	}
}

// matchesKernel checks that flows add up to the kernel's counters, and that gauges are
// what the kernel says in the end.
func (m measured) matchesKernel(t *testing.T) {
	t.Helper()
	const microseconds = 1e-6
	for _, c := range []struct {
		field, file, key string
		scale            float64
	}{
		{"container.cpu.core_seconds", "cpu.stat", "usage_usec", microseconds},
		{"container.cpu.user_core_seconds", "cpu.stat", "user_usec", microseconds},
		{"container.cpu.system_core_seconds", "cpu.stat", "system_usec", microseconds},
		{"container.cpu.periods", "cpu.stat", "nr_periods", 1},
		{"container.cpu.throttled_periods", "cpu.stat", "nr_throttled", 1},
		{"container.cpu.throttled_seconds", "cpu.stat", "throttled_usec", microseconds},
		{"container.memory.page_faults", "memory.stat", "pgfault", 1},
		{"container.pressure.cpu.some_seconds", "cpu.pressure", "some total", microseconds},
		{"container.pressure.cpu.full_seconds", "cpu.pressure", "full total", microseconds},
		{"container.pressure.memory.some_seconds", "memory.pressure", "some total", microseconds},
		{"container.pressure.io.some_seconds", "io.pressure", "some total", microseconds},
	} {
		want := m.kernel.number(t, m.name+"/"+c.file, c.key) * c.scale
		if got := sum(m.documents, c.field); math.Abs(got-want) > microseconds/2 {
			t.Errorf("%s: %s adds up to %v, the kernel counted %v", m.name, c.field, got, want)
		}
	}
	last := m.last(t)
	if last["sample.ended"] != true { // what a removed cgroup held is no more
		m.shows(t, "container.memory.rss_bytes", m.kernel.number(t, m.name+"/memory.stat", "anon"))
		m.shows(t, "container.pids.current", m.kernel.number(t, m.name+"/pids.current", ""))
	}
}

// usesItsQuota checks the use of CPU time while the load was all that there was.
func (m measured) usesItsQuota(t *testing.T, r report) {
	t.Helper()
	steady := whileBurning(t, r, m.documents)
	seconds := sum(steady, "sample.interval_seconds")
	if seconds < cpuSeconds/2 {
		t.Fatalf("%s: %d documents cover %v s of %d s", m.name, len(steady), seconds, cpuSeconds)
	}
	const tolerance = 0.02
	if cores := sum(steady, "container.cpu.core_seconds") / seconds; math.Abs(cores-cpuCores) > tolerance {
		t.Errorf("%s: %.4f cores over %.1f s, want %v ± %v", m.name, cores, seconds, cpuCores, tolerance)
	} else {
		t.Logf("%s: %.4f cores over %.1f s", m.name, cores, seconds)
	}
	for _, d := range steady {
		for _, field := range []string{"container.cpu.throttled_periods", "container.cpu.throttled_seconds", "container.pressure.cpu.some_seconds"} {
			if v, ok := d.number(field); !ok || v <= 0 {
				t.Errorf("%s: %s is %v (%v) in a document of %v", m.name, field, v, ok, d.time())
			}
		}
	}
	m.shows(t, "container.cpu.limit_cores", cpuCores)
}

// whileBurning returns the documents of the time in which the load of the CPU was the only work.
func whileBurning(t *testing.T, r report, documents []document) []document {
	t.Helper()
	from, to := r.burning(t)
	return selected(documents, func(d document) bool {
		seconds, _ := d.number("sample.interval_seconds")
		begin := d.time().Add(-time.Duration(seconds * float64(time.Second)))
		return begin.After(from) && d.time().Before(to)
	})
}

// holds checks anonymous memory against that of the same program holding nothing.
func (m measured) holds(t *testing.T, idle measured) {
	t.Helper()
	got, _ := m.last(t).number("container.memory.rss_bytes")
	own, ok := idle.last(t).number("container.memory.rss_bytes")
	if math.Abs(got-own-heldMemory) > megabyte || !ok {
		t.Errorf("%s: anonymous memory of %v bytes, with nothing held %v; want %d more", m.name, got, own, heldMemory)
	}
	m.shows(t, "container.memory.limit_bytes", memoryLimit)
}

// transferred checks what was read and written, to the byte and the operation. Programs may
// have been read from another disk.
func (m measured) transferred(t *testing.T) {
	t.Helper()
	device := ""
	for line := range strings.Lines(m.kernel[m.name+"/io.stat"]) {
		if words := strings.Fields(line); slices.Contains(words, fmt.Sprintf("wbytes=%d", diskWrites*diskWriteSize)) {
			device = words[0]
		}
	}
	for _, c := range []struct {
		field, key string
		want       float64
	}{
		{"container.disk.write.bytes", "wbytes", diskWrites * diskWriteSize},
		{"container.disk.write.operations", "wios", diskWrites},
		{"container.disk.read.bytes", "rbytes", diskReads * diskReadSize},
		{"container.disk.read.operations", "rios", diskReads},
	} {
		if kernel := m.kernel.number(t, m.name+"/io.stat", device+" "+c.key); kernel != c.want {
			t.Errorf("%s: the kernel counted %s=%v on %q, want %v", m.name, c.key, kernel, device, c.want)
		}
		if got, all := sum(m.documents, c.field), m.kernel.number(t, m.name+"/io.stat", c.key); got != all {
			t.Errorf("%s: %s adds up to %v, want %v", m.name, c.field, got, all)
		}
	}
}

// isOnDevice checks that container and node agree on where it was written.
func (m measured) isOnDevice(t *testing.T, documents []document) {
	t.Helper()
	const bytes = diskWrites * diskWriteSize
	type disk struct {
		Device       string
		Major, Minor float64
		Stats        map[string]float64
	}
	var disks []disk
	stats, _ := m.last(t)["container_stats"].(map[string]any)
	diskio, _ := stats["diskio"].(map[string]any)
	text, err := json.Marshal(diskio["io_service_bytes"])
	if err == nil {
		err = json.Unmarshal(text, &disks)
	}
	i := slices.IndexFunc(disks, func(d disk) bool { return d.Stats["Write"] == bytes && d.Stats["Read"] == diskReads*diskReadSize })
	if err != nil || i < 0 {
		t.Fatalf("%s: container_stats.diskio.io_service_bytes is %s (%v)", m.name, text, err)
	}
	written := disks[i]
	name, found := strings.CutPrefix(written.Device, "/dev/")
	if !found || !regexp.MustCompile(`^nvme\dn1$`).MatchString(name) {
		t.Errorf("%s: device %q", m.name, written.Device)
	}
	onDevice := selected(documents, func(d document) bool { return d.dataset() == "device" && d.text("device.name") == name })
	if got := sum(onDevice, "device.disk.write.bytes"); got != bytes {
		t.Errorf("%d documents of the device %s add up to %v bytes written, want %d", len(onDevice), name, got, bytes)
	}
	for _, d := range onDevice {
		if d["device.major"] != written.Major || d["device.minor"] != written.Minor {
			t.Errorf("device %s is %v:%v, in the container %v:%v", name, d["device.major"], d["device.minor"], written.Major, written.Minor)
		}
	}
}

// communicated checks what went over the network, of which so many packets may be others
// than those of the load.
func (m measured) communicated(t *testing.T, strangers float64) {
	t.Helper()
	const columns = 17 // the name is one
	before := strings.Fields(lineOf(m.kernel[m.name+"/net/dev"], "eth0:"))
	after := strings.Fields(lineOf(m.later[m.name+"/net/dev"], "eth0:"))
	if len(before) != columns || len(after) != columns {
		t.Fatalf("%s: net/dev has %q, and later %q", m.name, before, after)
	}
	const frame = 1514
	for _, c := range []struct {
		field  string
		column int
		want   float64
		stray  float64 // of one packet, at most
	}{
		{"container.network.ingress.bytes", 1, questions * (questionSize + frameHeaders), frame},
		{"container.network.ingress.packets", 2, questions, 1},
		{"container.network.egress.bytes", 9, questions * (answerSize + frameHeaders), frame},
		{"container.network.egress.packets", 10, questions, 1},
	} {
		got := sum(m.documents, c.field)
		least, err1 := strconv.ParseFloat(before[c.column], 64)
		most, err2 := strconv.ParseFloat(after[c.column], 64)
		if err1 != nil || err2 != nil || got < least || got > most {
			t.Errorf("%s: %s adds up to %v, the kernel counted %v before and %v after (%v, %v)", m.name, c.field, got, least, most, err1, err2)
		}
		if got < c.want || got > c.want+strangers*c.stray {
			t.Errorf("%s: %s adds up to %v, want %v and at most %v packets more", m.name, c.field, got, c.want, strangers)
		}
	}
}

// selected returns the documents that keep accepts, in their order.
func selected(documents []document, keep func(document) bool) (found []document) {
	for _, d := range documents {
		if keep(d) {
			found = append(found, d)
		}
	}
	return found
}

// lineOf returns the line that begins with a word.
func lineOf(text, word string) string {
	for line := range strings.Lines(text) {
		if strings.HasPrefix(strings.TrimSpace(line), word) {
			return line
		}
	}
	return ""
}
