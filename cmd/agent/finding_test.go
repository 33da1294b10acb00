package main

import (
	"bytes"
	"encoding/json"
	"strings"
	"testing"

	"github.com/moby/sys/mountinfo"
	"golang.org/x/sys/unix"

	"github.com/swarmgauge/swarmgauge/shipper"
)

func TestMendLines(t *testing.T) {
	service, container, host := &place{kind: inService, service: "gauge"}, &place{kind: inContainer}, &place{}
	f := func(m mend, stack, run, here string) {
		t.Helper()
		for where, want := range map[*place]string{service: stack, container: run, host: here} {
			got := ""
			if line := m.line(where); line != nil {
				got = line.String()
			}
			if got != want {
				t.Errorf("%v:\n got %s\nwant %s", where.kind, got, want)
			}
		}
	}
	f(mend{}, "", "", "")
	f(mountAt("proc-root", "/proc", "/proc", "/proc"),
		`stack file: {version: "3.8", services: {gauge: {volumes: ["/proc:/host/proc:ro"], environment: {SWARMGAUGE_PROC_ROOT: "/host/proc"}}}}`,
		"docker run: -v /proc:/host/proc:ro -e SWARMGAUGE_PROC_ROOT=/host/proc",
		"agent: -proc-root=/proc")
	f(mountAt("proc-root", "/elsewhere", "/proc", "/proc"),
		`stack file: {version: "3.8", services: {gauge: {volumes: ["/proc:/elsewhere:ro"]}}}`,
		"docker run: -v /proc:/elsewhere:ro", "agent: -proc-root=/proc")
	f(mend{capabilities: []string{"SYS_PTRACE", "SYS_ADMIN"}, onHost: "run it as root"},
		`stack file: {version: "3.8", services: {gauge: {cap_add: [SYS_PTRACE, SYS_ADMIN]}}}`,
		"docker run: --cap-add SYS_PTRACE --cap-add SYS_ADMIN", "agent: run it as root")
	f(mend{mounts: []bind{{source: "spool", target: "/s", writable: true}}, user: "0", memory: "128M", descriptors: 2048, hostname: "{{.Node.Hostname}}"},
		`stack file: {version: "3.8", services: {gauge: {hostname: "{{.Node.Hostname}}", volumes: ["spool:/s"], user: "0", ulimits: {nofile: {soft: 2048, hard: 2048}}, deploy: {resources: {limits: {memory: 128M}}}}}, volumes: {spool: {}}}`,
		`docker run: --hostname "$(hostname)" -v spool:/s --user 0 --ulimit nofile=2048:2048 --memory 128M`, "")
	f(mend{settings: []option{{"es-user", "it's $me"}}, secrets: []swarmSecret{{name: "key"}}},
		`stack file: {version: "3.8", services: {gauge: {environment: {SWARMGAUGE_ES_USER: "it's $$me"}, secrets: [key]}}, secrets: {key: {external: true}}}`,
		`docker run: -e 'SWARMGAUGE_ES_USER=it'\''s $me'`, `agent: '-es-user=it'\''s $me'`)
	f(mend{settings: []option{{"es-ca-file", "/run/secrets/ca"}}, secrets: []swarmSecret{{"ca", "docker secret create ca CA"}, {"key", "docker secret create key KEY"}}},
		`stack file: {version: "3.8", services: {gauge: {environment: {SWARMGAUGE_ES_CA_FILE: "/run/secrets/ca"}, secrets: [ca, key]}}, secrets: {ca: {external: true}, key: {external: true}}} # first, on a manager: docker secret create ca CA && docker secret create key KEY`,
		"docker run: -e SWARMGAUGE_ES_CA_FILE=/run/secrets/ca", "agent: -es-ca-file=/run/secrets/ca")
	f(mend{elsewhere: "chown 0 /s", at: onNode}, "on the node: chown 0 /s", "on the node: chown 0 /s", "on the node: chown 0 /s")

	together := mountAt("proc-root", "/proc", "/proc", "/proc")
	together.add(&mend{elsewhere: "chown 0 /s", at: onNode})
	together.add(&mend{mounts: []bind{{source: "/a", target: "/b"}, {source: "/proc", target: "/host/proc"}}, memory: "128M"})
	if got, want := together.flags(), "-v /proc:/host/proc:ro -v /a:/b:ro -e SWARMGAUGE_PROC_ROOT=/host/proc --memory 128M"; got != want {
		t.Errorf("got %s, want %s", got, want)
	}
}

func TestPlaceByMounts(t *testing.T) {
	id := strings.Repeat("0a", 32)
	f := func(root, mountpoint string, kind placeKind, wantID, dataRoot string) {
		t.Helper()
		p := placeOf([]*mountinfo.Info{{Root: "/", Mountpoint: "/"}, {Root: root, Mountpoint: mountpoint}})
		if p.kind != kind || p.id != wantID || p.dataRoot != dataRoot {
			t.Errorf("%s: %v %q %q", root, p.kind, p.id, p.dataRoot)
		}
	}
	f("/var/lib/docker/containers/"+id+"/hostname", "/etc/hostname", inContainer, id, "/var/lib/docker")
	f("/data/docker/containers/"+id+"/resolv.conf", "/etc/resolv.conf", inContainer, id, "/data/docker")
	f("/containers/"+id+"/hosts", "/etc/hosts", inContainer, id, "") // a filesystem of its own
	f("/var/lib/docker/volumes/0b/_data/containers/"+id+"/hosts", "/etc/hosts", inContainer, id, "")
	f("/var/lib/containers/storage/overlay-containers/"+id+"/userdata/hosts", "/etc/hosts", inContainer, "", "")
	f("/var/lib/docker/containers", "/var/lib/docker/containers", onHost, "", "")
	f("/x/containers/"+id+"/hostname", "/mnt/hostname", onHost, "", "")

	p := placeOf([]*mountinfo.Info{
		{Root: "/srv/spool", Mountpoint: "/bound"}, {Root: "/volumes/gauge_spool/_data", Mountpoint: "/apart"},
		{Root: "/var/lib/docker/volumes/gauge_spool/_data", Mountpoint: "/volume"}, {Root: "/", Mountpoint: "/disk"},
		{Root: "/0mm4qz1c6x2q0e1h6m2vnkq0f", Mountpoint: "/run/secrets/password", FSType: "tmpfs"},
	})
	for path, want := range map[string]string{
		"/bound": "/srv/spool", "/apart": "/var/lib/docker/volumes/gauge_spool/_data", "/volume": "/var/lib/docker/volumes/gauge_spool/_data", "/disk": "", "/none": "", "/run/secrets/password": "",
	} {
		if source, ok := p.source(path); source != want || ok != (want != "") {
			t.Errorf("%s comes from %q, %v", path, source, ok)
		}
	}
	if got := mountSource("/var/lib/docker/volumes/gauge_spool/_data"); got != "gauge_spool" {
		t.Errorf("the volume is %q", got)
	}
}

// The shape of the JSON is what programs rely on.
func TestReportShape(t *testing.T) {
	r := report{Version: "v1", Place: "container", Node: "node1", Kernel: "6.1"}
	r.add(finding{Check: "proc", Status: shipper.OK, Text: "It is there."},
		finding{Check: "memory", Status: shipper.Fault, Text: "Too little.", mend: mend{memory: "128M"}},
		finding{Check: "spool", Status: shipper.Fault, Text: "None.", mend: mend{mounts: []bind{{source: "a", target: "/b", writable: true}}}},
		finding{Check: "sys", Status: shipper.Degraded, Text: "None.", mend: mend{elsewhere: "mend it", at: onNode}})
	r.finish(&place{kind: inContainer})
	got, err := json.Marshal(r)
	if err != nil {
		t.Fatal(err)
	}
	want := `{"version":"v1","place":"container","node":"node1","kernel":"6.1","faults":2,"degraded":1,"findings":[` +
		`{"check":"proc","status":"ok","text":"It is there."},` +
		`{"check":"memory","status":"fault","text":"Too little.","mend":{"at":"docker run","line":"--memory 128M"}},` +
		`{"check":"spool","status":"fault","text":"None.","mend":{"at":"docker run","line":"-v a:/b"}},` +
		`{"check":"sys","status":"degraded","text":"None.","mend":{"at":"on the node","line":"mend it"}}],` +
		`"together":{"at":"docker run","line":"-v a:/b --memory 128M"}}`
	if string(got) != want {
		t.Errorf("got %s\nwant %s", got, want)
	}
	var out bytes.Buffer
	r.print(&out, false)
	if text := out.String(); strings.Contains(text, "\x1b") || !strings.Contains(text, "✓ proc    It is there.\n") ||
		!strings.Contains(text, "✗ memory  Too little.\n          docker run: --memory 128M\n") || !strings.Contains(text, "✗: 2, !: 1") {
		t.Errorf("got\n%s", text)
	}
	out.Reset()
	r.print(&out, true)
	if !strings.Contains(out.String(), "\x1b[31m✗\x1b[0m memory") {
		t.Errorf("without colours:\n%s", out.String())
	}
}

func TestColours(t *testing.T) {
	for _, environ := range [][]string{{"NO_COLOR=1"}, {"TERM=dumb"}, nil} {
		if (program{environ: environ, stdout: new(bytes.Buffer)}).colours() {
			t.Errorf("%q: colours in a file", environ)
		}
	}
}

func TestKernelFinding(t *testing.T) {
	for release, want := range map[string]shipper.Status{"6.18.44-fc": shipper.OK, "4.20.0": shipper.OK, "4.19.1": shipper.Degraded, "3.10.0-1160.el7": shipper.Degraded, "2.6.32": shipper.Fault, "x": shipper.Degraded} {
		if f := kernelFinding(release); f.Status != want {
			t.Errorf("%s: %+v", release, f)
		}
	}
}

// What options make use of, by name, is what is told to be missing.
func TestCapabilityNames(t *testing.T) {
	all := capabilities(1<<unix.CAP_DAC_READ_SEARCH | 1<<unix.CAP_SYS_PTRACE | 1<<unix.CAP_SYS_ADMIN)
	if got := strings.Join(all.names(), " "); got != "DAC_READ_SEARCH SYS_PTRACE SYS_ADMIN" {
		t.Error(got)
	}
	o, _, err := parseOptions([]string{"-enable_metrics=process,tcp,referenced_memory"}, nil, new(bytes.Buffer))
	if err != nil {
		t.Fatal(err)
	}
	var needs capabilities
	for _, use := range o.capabilityUses() {
		if len(use.needs.names()) == 0 || use.without == "" {
			t.Errorf("%+v", use)
		}
		needs |= use.needs
	}
	if needs != all {
		t.Errorf("%#x", needs)
	}
}

func TestDoctorRefusesWhatItCantDo(t *testing.T) {
	for _, args := range [][]string{{"now"}, {"-porrt=1"}, {"-docker=nowhere"}} {
		if code, stdout, stderr := invoke(t, nil, append([]string{"doctor"}, args...)...); code != exitUsage || stdout != "" || strings.Count(stderr, "\n") != 1 {
			t.Errorf("%q: exit %d, %q, %q", args, code, stdout, stderr)
		}
	}
}

// On this machine, whatever it is: each check once, no secret, and the same findings as JSON.
func TestDoctorHere(t *testing.T) {
	args := []string{"doctor", "-json", "-port=1", "-docker=", "-podman=", "-containerd=", "-storage_driver=elasticsearch",
		"-storage_driver_es_host=http://user:Correct-Horse@127.0.0.1:1", "-spool-dir=" + t.TempDir(), "-docker_root=" + t.TempDir()}
	code, stdout, stderr := invoke(t, nil, args...)
	var r report
	if err := json.Unmarshal([]byte(stdout), &r); err != nil {
		t.Fatalf("%v, %q", err, stderr)
	}
	if code != exitFailure || r.Faults == 0 || strings.Contains(stdout, "Correct-Horse") {
		t.Errorf("exit %d, %s", code, stdout)
	}
	checks := map[string]finding{}
	for _, f := range r.Findings {
		if f.Text == "" || !strings.HasSuffix(f.Text, ".") && f.Mend == nil && f.Check != "place" {
			t.Errorf("%+v isn't a sentence", f)
		}
		checks[f.Check] = f
	}
	for _, check := range []string{"place", "kernel", "agent", "proc", "cgroups", "pressure", "containers", "samples", "node", "agents",
		"capabilities", "memory", "open files", "spool", "elasticsearch", "clock", "kibana", "engine socket", "host root", "sys", "machine id", "storage"} {
		if _, ok := checks[check]; !ok {
			t.Errorf("nothing is said of %s", check)
		}
	}
	if f := checks["elasticsearch"]; f.Status != shipper.Fault || f.Mend == nil || !strings.Contains(f.Mend.Line, "http://ELASTICSEARCH:9200") {
		t.Errorf("%+v", f)
	}
}
