package test

import (
	"encoding/json"
	"errors"
	"fmt"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/swarmgauge/swarmgauge/test/lab"
)

// writer is what a container does that writes a known amount into its layer, a volume and
// its log: 32 MiB, 5 MiB and 1 MiB, and leaves links to what is none of it.
const writer = `dd if=/dev/zero of=/32MiB bs=1048576 count=32 &&
dd if=/dev/zero of=/data/5MiB bs=1048576 count=5 &&
ln -s / /node && ln -s / /data/node && mkdir /made && ln -s /data /made/data && ln /32MiB /made/again && ln /32MiB "/made/and again" &&
dd if=/dev/zero of=/bound/file bs=1048576 count=3 &&
yes 0123456789012345678901234567890123456789012345678901234567890 | head -c 1048576 && sync && echo >/done
exec sleep 1000`

const mebibyte = 1 << 20

// write starts the writer in a container with a named volume, an anonymous one and a bind
// mount, and waits until it has written.
func write(t testing.TB, e engine, name, bound string) (id string) {
	t.Helper()
	id = docker(t, e, "run", "--detach", "--name", name, "--volume", name+":/data", "--volume", "/anonymous", "--volume", bound+":/bound",
		lab.BusyboxImage, "sh", "-c", writer)
	waitFor(t, time.Minute, "the container to write", func() error {
		_, err := e.Docker(t.Context(), "exec", id, "test", "-e", "/done")
		return err
	})
	return id
}

// usage is what du says of directories, with the command that runs it where they are.
func usage(t testing.TB, run func(args ...string) (string, error), what string, dirs ...string) (sum float64) {
	t.Helper()
	for _, dir := range dirs {
		out, err := run("du", "-sx", what, dir)
		if err != nil {
			t.Fatalf("%v: %s", err, out)
		}
		number, err := strconv.ParseFloat(strings.Fields(out)[0], 64)
		if err != nil {
			t.Fatal(err)
		}
		sum += number
	}
	return sum
}

// checkStorage compares a container's numbers with what du says of its directories, and
// with what it has written.
func checkStorage(t *testing.T, d document, run func(args ...string) (string, error), layer, logs string, volumes []string) {
	t.Helper()
	const bytes, block = "--block-size=1", 4096
	f := func(field string, want, written, files float64) {
		t.Helper()
		got, ok := d.number("container.storage." + field)
		if !ok || got != want {
			t.Errorf("%s is %.0f (%v), du says %.0f", field, got, ok, want)
		}
		if written > 0 && (got < written || got > written+files*block) {
			t.Errorf("%s is %.0f, want %.0f and at most a block for each of %.0f files", field, got, written, files)
		}
	}
	inodes := usage(t, run, "--inodes", layer)
	f("layer_bytes", usage(t, run, bytes, layer), 32*mebibyte, inodes)
	f("layer_inodes", inodes, 0, 0)
	// Each line of 62 bytes has some 60 more of JSON around it in the log.
	f("log_bytes", usage(t, run, bytes, logs), mebibyte, mebibyte/block*1.5)
	f("volume_bytes", usage(t, run, bytes, volumes...), 5*mebibyte, usage(t, run, "--inodes", volumes...))
	asOf, ok := d.number("container.storage.as_of_seconds")
	if age := float64(d.time().UnixNano())/1e9 - asOf; !ok || age < 0 || age > 70 {
		t.Errorf("as of %f (%v), %f s before the document", asOf, ok, age)
	}
}

// awaitStorage waits for a document with all numbers of a container's files.
func awaitStorage(t testing.TB, p *printer, id string) (found document) {
	t.Helper()
	waitFor(t, 30*time.Second, "the numbers of the container's files", func() error {
		d := p.after(t, id, time.Now().Add(-2*time.Second))
		if fields := d.fieldsBelow("container.storage."); len(fields) != 5 {
			return fmt.Errorf("there is %q", fields)
		}
		if list, _ := d["container_stats"].(map[string]any)["filesystem"].([]any); len(list) == 0 {
			return errors.New("the node's filesystems aren't measured yet")
		}
		found = d
		return nil
	})
	return found
}

// checkFilesystem checks cAdvisor's object of the filesystem that the layer lies on.
func checkFilesystem(t *testing.T, d document, device string, size, inodes uint64) {
	t.Helper()
	text, err := json.Marshal(d["container_stats"].(map[string]any)["filesystem"])
	if err != nil {
		t.Fatal(err)
	}
	var got []struct {
		Device, Type               string
		Capacity, Usage, Available uint64
		BaseUsage                  uint64 `json:"base_usage"`
		HasInodes                  bool   `json:"has_inodes"`
		Inodes                     uint64
		InodesFree                 uint64 `json:"inodes_free"`
	}
	if err := json.Unmarshal(text, &got); err != nil || len(got) != 1 {
		t.Fatalf("%v: %s", err, text)
	}
	layer, _ := d.number("container.storage.layer_bytes")
	logs, _ := d.number("container.storage.log_bytes")
	g := got[0]
	if g.Device != device || g.Type != "vfs" || g.Capacity != size || g.Available == 0 || g.Available >= size ||
		g.BaseUsage != uint64(layer) || g.Usage != uint64(layer+logs) || !g.HasInodes || g.Inodes != inodes || g.InodesFree == 0 || g.InodesFree >= inodes {
		t.Errorf("%s; want %s with %d bytes and %d inodes, layer %.0f, logs %.0f", text, device, size, inodes, layer, logs)
	}
}

func onHost(t testing.TB) func(args ...string) (string, error) {
	return func(args ...string) (string, error) {
		out, err := exec.CommandContext(t.Context(), args[0], args[1:]...).CombinedOutput()
		return string(out), err
	}
}

// What a container wrote is what its files take, byte for byte as du counts them: with the
// driver overlay2, from documents and from /metrics.
func TestStorage(t *testing.T) {
	e := lab.EngineFor(t)
	id := write(t, e, "writer", t.TempDir())
	p := startPrinter(t, agentFor(t, e, "-docker="))
	d := awaitStorage(t, p, id)
	layer := docker(t, e, "inspect", "--format", "{{.GraphDriver.Data.UpperDir}}", id)
	volumes := strings.Fields(docker(t, e, "inspect", "--format", `{{range .Mounts}}{{if eq .Type "volume"}}{{.Source}} {{end}}{{end}}`, id))
	if len(volumes) != 2 {
		t.Fatalf("volumes %q", volumes)
	}
	checkStorage(t, d, onHost(t), layer, filepath.Join(e.DataRoot(), "containers", id), volumes)

	var st unix.Statfs_t
	if err := unix.Statfs(layer, &st); err != nil {
		t.Fatal(err)
	}
	device, err := onHost(t)("findmnt", "--noheadings", "--output", "SOURCE", "--target", layer)
	if err != nil {
		t.Fatal(err)
	}
	device, _, _ = strings.Cut(strings.TrimSpace(device), "[") // a bind mount's folder
	checkFilesystem(t, d, device, st.Blocks*uint64(st.Frsize), st.Files)

	// Documents of filesystems are the node's alone: a place each.
	seen := map[string]int{}
	for _, f := range p.find(func(f document) bool { return f.text("event.dataset") == "swarmgauge.filesystem" }) {
		seen[f.text("@timestamp")+f.text("filesystem.mount_point")]++
	}
	for at, n := range seen {
		if n != 1 {
			t.Errorf("%d documents of the filesystem %s", n, at)
		}
	}

	a := startAgent(t, "-docker=", "-docker_root="+e.DataRoot(), "-docker_only", "-spool-dir="+t.TempDir())
	var s scrape
	waitFor(t, 20*time.Second, "the container's filesystem on /metrics", func() error {
		s = a.scrape(t)
		if _, _, ok := s.sum("container_fs_inodes_free", "name", "writer"); !ok {
			return errNotYet
		}
		return nil
	})
	total, _ := d.number("container.storage.layer_bytes")
	logs, _ := d.number("container.storage.log_bytes")
	for family, want := range map[string]float64{
		"container_fs_usage_bytes":  total + logs,
		"container_fs_limit_bytes":  float64(st.Blocks * uint64(st.Frsize)),
		"container_fs_inodes_total": float64(st.Files),
	} {
		if got, _, ok := s.sum(family, "name", "writer"); !ok || got != want {
			t.Errorf("%s is %.0f (%v), want %.0f", family, got, ok, want)
		}
	}
	if free, _, _ := s.sum("container_fs_inodes_free", "name", "writer"); free == 0 || free > float64(st.Files) {
		t.Errorf("%.0f of %d inodes are free", free, st.Files)
	}

	// Nothing of it without the group.
	off := startPrinter(t, agentFor(t, e, "-docker=", "-disable_metrics=disk"))
	off.after(t, id, time.Now().Add(4*time.Second))
	for _, d := range off.container(id) {
		if fields := d.fieldsBelow("container.storage."); len(fields) > 0 {
			t.Errorf("without the group disk there is %q", fields)
			break
		}
	}
}

// The same with the containerd image store, whose layers only the kernel names.
func TestStorageContainerd(t *testing.T) {
	lab.Need(t, lab.Nodes)
	e := lab.EngineFor(t)
	n := startNodes(t, e, lab.NodeConfig{Name: "snapshots", Suite: lab.Sid, Args: []string{lab.ContainerdStore}})[0]
	inNode := func(args ...string) (string, error) { return n.Exec(t.Context(), args...) }
	id := write(t, n, "writer", "/tmp")
	if driver := docker(t, n, "info", "--format", "{{.Driver}}"); driver != "overlayfs" {
		t.Fatalf("the driver is %q", driver)
	}
	p := startPrinter(t, agentIn(e, n, "-docker="))
	d := awaitStorage(t, p, id)
	found, err := inNode("find", "/var/lib/docker/containerd", "-path", "*/fs/32MiB")
	layers := slices.DeleteFunc(strings.Fields(found), func(path string) bool { return !strings.Contains(path, "/snapshots/") })
	if err != nil || len(layers) != 1 {
		t.Fatalf("%q, %v", found, err)
	}
	volumes := strings.Fields(docker(t, n, "inspect", "--format", `{{range .Mounts}}{{if eq .Type "volume"}}{{.Source}} {{end}}{{end}}`, id))
	checkStorage(t, d, inNode, filepath.Dir(layers[0]), "/var/lib/docker/containers/"+id, volumes)
	size, err1 := inNode("stat", "--file-system", "--format", "%b %S %c", "/var/lib/docker")
	device, err2 := inNode("findmnt", "--noheadings", "--output", "SOURCE", "--target", "/var/lib/docker")
	if err := errors.Join(err1, err2); err != nil {
		t.Fatal(err)
	}
	var blocks, block, inodes uint64
	if _, err := fmt.Sscan(size, &blocks, &block, &inodes); err != nil {
		t.Fatal(err)
	}
	device, _, _ = strings.Cut(strings.TrimSpace(device), "[")
	checkFilesystem(t, d, device, blocks*block, inodes)

	agent := []string{"--volume", "/var/lib/docker/containers:/var/lib/docker/containers:ro", "--volume", filepath.Dir(agentInNode) + ":" + filepath.Dir(agentInNode) + ":ro"}
	const snapshots = "/var/lib/docker/containerd/daemon/io.containerd.snapshotter.v1.overlayfs/snapshots"
	checkStorageIn(t, n, id, agent, []string{
		"layers of 2 containers take on disk isn't known: mount the node's " + snapshots + " read-only into the agent, at the same path",
		"volumes of 1 containers take on disk isn't known: mount the node's /var/lib/docker/volumes read-only",
	}, []string{"as_of_seconds", "log_bytes"})
	checkStorageIn(t, n, id, append(agent, "--volume", snapshots+":"+snapshots+":ro", "--volume", "/var/lib/docker/volumes:/var/lib/docker/volumes:ro"), nil,
		[]string{"as_of_seconds", "layer_bytes", "layer_inodes", "log_bytes", "volume_bytes"})
}

// As in the stack: without any capability, and with what is mounted. What isn't is named;
// another user's private directories need a capability, which is named as well.
func TestStorageInContainer(t *testing.T) {
	e := lab.EngineFor(t)
	id := write(t, e, "writer", t.TempDir())
	docker(t, e, "exec", id, "sh", "-c", "mkdir /data/private && chmod 700 /data/private && echo x >/data/private/file && chown -R 999:999 /data/private")
	mount := func(folder string) []string {
		return []string{"--volume", e.DataRoot() + "/" + folder + ":/var/lib/docker/" + folder + ":ro"}
	}
	containers := slices.Concat(mount("containers"), []string{"--volume", filepath.Dir(buildAgent(t)) + ":" + filepath.Dir(agentInNode) + ":ro"})
	f := func(options []string, notes, fields []string) {
		t.Helper()
		checkStorageIn(t, e, id, slices.Concat(containers, options), notes, fields)
	}
	f(nil, []string{
		"layers of 2 containers take on disk isn't known: mount the node's /var/lib/docker/image/overlay2/layerdb and /var/lib/docker/overlay2 read-only",
		"volumes of 1 containers take on disk isn't known: mount the node's /var/lib/docker/volumes read-only",
	}, []string{"as_of_seconds", "log_bytes"})
	all := slices.Concat(mount("image/overlay2/layerdb"), mount("overlay2"), mount("volumes"))
	f(all, []string{"volumes of 1 containers take on disk isn't known: a directory is another user's: give the agent the capability DAC_READ_SEARCH"},
		[]string{"as_of_seconds", "layer_bytes", "layer_inodes", "log_bytes"})
	f(append([]string{"--cap-add", "DAC_READ_SEARCH"}, all...), nil,
		[]string{"as_of_seconds", "layer_bytes", "layer_inodes", "log_bytes", "volume_bytes"})
}

// checkStorageIn starts an agent in a container and waits until its notes on files are
// those that are wanted, and the numbers that it has of a container's files.
func checkStorageIn(t testing.TB, e engine, id string, options, notes, fields []string) {
	t.Helper()
	args := slices.Concat([]string{"run", "--detach", "--cap-drop", "ALL", "--read-only", "--security-opt", "no-new-privileges",
		"--volume", "/proc:/host/proc:ro", "--volume", "/sys/fs/cgroup:/host/sys/fs/cgroup:ro"}, options, []string{
		lab.BusyboxImage, agentInNode, "-docker=", "-docker_only", "-storage_driver=stdout", "-ship-interval=1s",
		"-proc-root=/host/proc", "-cgroup-root=/host/sys/fs/cgroup"})
	agent := docker(t, e, args...)
	waitFor(t, 30*time.Second, "the agent in a container to count", func() error {
		text, err := e.Docker(t.Context(), "exec", agent, "wget", "-q", "-O", "-", "http://127.0.0.1:8080/healthz?details")
		if err != nil {
			return err
		}
		var health struct{ Notes []string }
		if err := json.Unmarshal([]byte(text), &health); err != nil {
			return err
		}
		about := slices.DeleteFunc(health.Notes, func(note string) bool { return !strings.Contains(note, "take on disk") })
		if !slices.EqualFunc(about, notes, strings.Contains) {
			return fmt.Errorf("notes %q, want %q", about, notes)
		}
		lines := strings.Split(docker(t, e, "logs", "--tail", "50", agent), "\n")
		slices.Reverse(lines)
		for _, line := range lines {
			var d document
			if json.Unmarshal([]byte(line), &d) != nil || d.text("container.id") != id {
				continue
			}
			var have []string
			for _, field := range d.fieldsBelow("container.storage.") {
				have = append(have, strings.TrimPrefix(field, "container.storage."))
			}
			if !slices.Equal(have, fields) {
				return fmt.Errorf("there is %q, want %q", have, fields)
			}
			return nil
		}
		return errNotYet
	})
	docker(t, e, "rm", "--force", agent)
}
