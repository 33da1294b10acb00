package main

import (
	"bufio"
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/swarmgauge/swarmgauge/cgroup"
	"github.com/swarmgauge/swarmgauge/proc"
	"github.com/swarmgauge/swarmgauge/web"
)

// cadvisorFlag is a row of the list of cAdvisor's flags: its name, default, and kind.
type cadvisorFlag struct{ name, value, kind string }

func cadvisorFlags(t *testing.T) (list []cadvisorFlag) {
	t.Helper()
	f, err := os.Open("testdata/cadvisor-flags.txt")
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	for lines := bufio.NewScanner(f); lines.Scan(); {
		if text := lines.Text(); text != "" && !strings.HasPrefix(text, "#") {
			fields := strings.Split(text, "\t")
			list = append(list, cadvisorFlag{fields[0], fields[2], fields[1]})
		}
	}
	return list
}

// Every flag of cAdvisor is taken, in all the ways in which one can be written, and has its
// default, or the reason why not is here.
func TestEveryFlagOfCAdvisor(t *testing.T) {
	list := cadvisorFlags(t)
	if len(list) < 85 {
		t.Fatalf("%d flags", len(list))
	}
	others := map[string]string{
		"allow_dynamic_housekeeping": "false", // a short spike is worth more than the CPU time that this saves
		"v":                          "0",     // klog's other words for the level don't count
		"boot_id_file":               "",      // it is below -proc-root
	}
	fs := new(options).flags(io.Discard)
	for _, f := range list {
		declared := fs.Lookup(f.name)
		if declared == nil {
			t.Errorf("-%s is not known", f.name)
			continue
		}
		want, is := others[f.name]
		if !is {
			want = f.value
		}
		_, ignored := declared.Value.(*ignoredFlag)
		if !ignored && declared.DefValue != want {
			t.Errorf("-%s is %q if it isn't given, with cAdvisor %q", f.name, declared.DefValue, want)
		}
		if ignored && whyIgnored(f.name) == "it isn't needed" {
			t.Errorf("-%s is ignored without a reason", f.name)
		}
		value := map[string]string{"bool": "true", "int": "5", "float": "0.5", "duration": "1m0s"}[f.kind]
		if f.kind == "string" {
			value = f.value
		}
		ways := [][]string{{"-" + f.name + "=" + value}, {"--" + f.name + "=" + value}, {"-" + f.name, value}}
		if f.kind == "bool" {
			ways[2] = []string{"-" + f.name}
		}
		for _, args := range ways {
			_, _, err := parseOptions(args, nil, io.Discard)
			if f.name == versionFlag {
				if !errors.Is(err, flag.ErrHelp) {
					t.Errorf("%q: %v", args, err)
				}
			} else if err != nil {
				t.Errorf("%q: %v", args, err)
			}
		}
	}
}

// No reason is left over from a flag that has come to mean something.
func TestReasonsAreOfIgnoredFlags(t *testing.T) {
	for _, reason := range ignoredReasons() {
		prefix, many := strings.CutSuffix(reason.name, "*")
		found := false
		for name := range ignoredFlags() {
			found = found || name == reason.name || many && strings.HasPrefix(name, prefix)
		}
		if !found {
			t.Errorf("-%s is not ignored: take its row out of ignoredReasons", reason.name)
		}
	}
}

func TestVersionFlag(t *testing.T) {
	for _, arg := range []string{"-version", "--version", "--version=true"} {
		code, stdout, stderr := invoke(t, []string{"SWARMGAUGE_VERSION=1.2.3"}, "-port=1", arg)
		if code != exitOK || stdout != "cAdvisor version "+versionString()+" (swarmgauge)\n" || stderr != "" {
			t.Errorf("%s: exit %d, %q, %q", arg, code, stdout, stderr)
		}
	}
}

func TestDerivedOptions(t *testing.T) {
	f := func(args, want string) {
		t.Helper()
		if o, _, err := parseOptions(strings.Fields(args), nil, io.Discard); err != nil || o.LogLevel != want {
			t.Errorf("%s: %v, %v", args, o, err)
		}
	}
	f("", "info")
	f("-v=2", "info")
	f("-v=3", "debug")
	f("-v 5", "debug")
	f("-v=5 -log-level=warn", "warn")
	if o, _, err := parseOptions([]string{"-housekeeping_interval=30s"}, nil, io.Discard); err != nil || o.ShipInterval != 30*time.Second {
		t.Errorf("each 30 s: %v, %v", o, err)
	}
	if o, _, err := parseOptions([]string{"-housekeeping_interval=3s"}, nil, io.Discard); err != nil || o.ShipInterval != 12*time.Second {
		t.Errorf("each 3 s: %v, %v", o, err)
	}
	if _, _, err := parseOptions([]string{"-v=loud"}, nil, io.Discard); err == nil {
		t.Error("-v=loud is taken")
	}
}

func TestBadHTTPOptions(t *testing.T) {
	dir := t.TempDir()
	write := func(name, content string) string {
		t.Helper()
		path := filepath.Join(dir, name)
		if err := os.WriteFile(path, []byte(content), 0o600); err != nil {
			t.Fatal(err)
		}
		return path
	}
	f := func(want string, args ...string) {
		t.Helper()
		code, _, stderr := invoke(t, nil, append(args, "-port=0", "-log-level=error", "-spool-dir="+dir+"/spool")...)
		if code != exitUsage || !strings.Contains(stderr, want) || strings.Count(stderr, "\n") != 1 {
			t.Errorf("%q: exit %d, %q, want one line with %q", args, code, stderr, want)
		}
	}
	f("-http_auth_file: open "+dir+"/nowhere: no such file", "-http_auth_file="+dir+"/nowhere")
	f("line 1, user \"ann\": its hash is neither", "-http_auth_file="+write("crypt", "ann:ab/G8gtZdMwak"))
	f("-http_digest_file: open "+dir+"/nowhere", "-http_digest_file="+dir+"/nowhere")
	f(`no user of the realm "localhost"`, "-http_digest_file="+write("digest", "ann:x:a4976818f661948f4327d64d60239ac1"))
	f("-http-auth-pages-only needs -http_auth_file", "-http-auth-pages-only")
	f(`-http_auth_realm can't be "a:b"`, "-http_auth_realm=a:b")
	f("-http_digest_realm can't be", "-http_digest_realm=\n")
	f(`-allowed-hosts can't have "http://x"`, "-allowed-hosts=a,http://x")
	f("which is taken", "-prometheus_endpoint=/docker")
	f("which is taken", "-prometheus_endpoint=/api/v1.3/x")
}

// The whole agent asks for passwords and reports on this machine.
func TestAgentAroundItsNumbers(t *testing.T) {
	dir := t.TempDir()
	users := filepath.Join(dir, "users")
	if err := os.WriteFile(users, []byte("ann:{SHA}W8r/fyL/UzygmbNAjq2HbA67qac=\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	logs, logWriter := io.Pipe()
	ctx, cancel := context.WithCancel(context.Background())
	ended := make(chan int)
	go func() {
		p := program{stdout: io.Discard, stderr: logWriter, args: []string{
			"-port=0", "-listen_ip=127.0.0.1", "-log-format=json", "-spool-dir=" + dir, "-http_auth_file=" + users,
			"-url_base_prefix=/g", "-allowed-hosts=127.0.0.1", "-docker=unix://" + dir + "/nothing.sock", "-jitter_factor=0.5",
		}}
		ended <- p.run(ctx)
		logWriter.Close()
	}()
	address, reason := "", false
	lines := bufio.NewScanner(logs)
	for address == "" && lines.Scan() {
		reason = reason || strings.Contains(lines.Text(), "-jitter_factor of cAdvisor has no effect here: sweeps start on the same slots")
		if _, rest, ok := strings.Cut(lines.Text(), `"address":"`); ok {
			address, _, _ = strings.Cut(rest, `"`)
		}
	}
	go func() {
		for lines.Scan() {
		}
	}()
	defer func() {
		cancel()
		if code := <-ended; code != exitOK {
			t.Errorf("exit %d", code)
		}
	}()
	if address == "" || !reason {
		t.Fatalf("address %q, the reason of an ignored flag was told: %v", address, reason)
	}
	f := func(password, path string, status int, want ...string) {
		t.Helper()
		r, err := http.NewRequest("GET", "http://"+address+path, nil)
		if err != nil {
			t.Fatal(err)
		}
		if password != "" {
			r.SetBasicAuth("ann", password)
		}
		response, err := http.DefaultClient.Do(r)
		if err != nil {
			t.Fatal(err)
		}
		defer response.Body.Close()
		body, err := io.ReadAll(response.Body)
		if err != nil || response.StatusCode != status {
			t.Errorf("%s: %s %.200q, %v", path, response.Status, body, err)
		}
		for _, text := range want {
			if !strings.Contains(string(body), text) {
				t.Errorf("%s: no %q in\n%s", path, text, body)
			}
		}
	}
	f("", "/g/healthz", 200, "ok")
	f("", "/g/metrics", 401, "401 Unauthorized\n")
	f("wrong", "/g/metrics", 401)
	f("open sesame", "/g/metrics", 200, "machine_cpu_cores")
	time.Sleep(3100 * time.Millisecond) // two samples, and so rates
	f("open sesame", "/g/containers/", 200, "memory installed", "CPU cores busy")
	release, err := os.ReadFile("/proc/sys/kernel/osrelease")
	if err != nil {
		t.Fatal(err)
	}
	f("open sesame", "/g/validate/", 200,
		"cAdvisor version: "+versionString()+" (swarmgauge)\n\nOS version: ", "Kernel version: [Supported and recommended]\n\tKernel version is "+strings.TrimSpace(string(release))+". Versions",
		"\nCgroup setup: [", "Available cgroups: map[", "\nCgroup mount setup: [", "\nDocker version: [Unknown]\n", "\nDocker driver setup: [", "\nBlock device setup: [",
		"\nMounts and rights of the agent: [", "\nManaged containers: \n\t/\n")
}

func TestReportOfMachines(t *testing.T) {
	f := func(s web.Section, verdict web.Verdict, want string) {
		t.Helper()
		if s.Verdict != verdict || !strings.Contains(strings.Join(s.Lines, "\n"), want) {
			t.Errorf("%s: %s %q, want %s %q", s.Title, s.Verdict, s.Lines, verdict, want)
		}
	}
	f(kernelSection("6.1.0-50-cloud-amd64"), web.Recommended, "Kernel version is 6.1.0-50-cloud-amd64. Versions >= 2.6")
	f(kernelSection("2.6.32"), web.NotRecommended, "2.6.32")
	f(kernelSection("2.4.1"), web.Unsupported, "")
	f(kernelSection("4"), web.Unknown, "")
	f(kernelSection(""), web.Unknown, "not known")
	six := []string{"blkio", "cpu", "cpuacct", "cpuset", "memory", "pids"}
	f(cgroupSection(cgroup.V1, cgroup.Setup{Controllers: six, Hierarchical: true, Bandwidth: true, KnowsBandwidth: true}), web.Recommended,
		"Available cgroups: map[blkio:1 cpu:1 cpuacct:1 cpuset:1 memory:1 pids:1]\nFollowing cgroups are required: [cpu cpuacct]")
	f(cgroupSection(cgroup.V1, cgroup.Setup{Controllers: six[:4], Hierarchical: true}), web.NotRecommended, "bandwidth status unknown")
	f(cgroupSection(cgroup.V1, cgroup.Setup{Controllers: six[3:], Hierarchical: true, KnowsBandwidth: true}), web.Unsupported, "bandwidth is disabled")
	f(cgroupSection(cgroup.V2, cgroup.Setup{Controllers: []string{"cpu", "cpuset", "io", "memory", "pids"}, Hierarchical: true}), web.Recommended, "Cgroups are v2.")
	f(cgroupSection(cgroup.V1, cgroup.Setup{Controllers: six}), web.NotRecommended, "does not include usage from child containers")
	f(mountSection("/x", cgroup.Setup{Mounts: []string{"cgroup2 /x"}}, []cgroup.Lack{{Of: cgroup.LackRoot, Name: "/x", What: "the mount /x shows a part of the cgroups only", Mend: "mend it"}}), web.NotRecommended, "cgroup2 /x\nthe mount /x shows")
	f(engineSection("28.5.2"), web.Recommended, "Docker version is 28.5.2.")
	f(engineSection("17.06.0-ce"), web.NotRecommended, "")
	f(engineSection("1.9.1"), web.Unsupported, "")
	f(engineSection(""), web.Unknown, "")
	f(driverSection("overlay2", nil), web.Recommended, "Storage driver is overlay2.")
	f(driverSection("", fmt.Errorf("nobody knows")), web.Unknown, "nobody knows")
	disks := []proc.Scheduler{{Disk: "vda", Name: "mq-deadline"}}
	f(diskSection(cgroup.Hybrid, disks, nil), web.NotRecommended, ` Disk "vda" Scheduler type "mq-deadline".`)
	f(diskSection(cgroup.V1, append(disks, proc.Scheduler{Disk: "sda", Name: "bfq"}), nil), web.Recommended, "'bfq'")
	f(diskSection(cgroup.V2, disks, nil), web.Recommended, "every I/O scheduler")
	f(diskSection(cgroup.V2, nil, os.ErrNotExist), web.Unknown, "not exist")
}
