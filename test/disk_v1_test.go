package test

import (
	"context"
	"fmt"
	"testing"
	"time"

	"github.com/swarmgauge/swarmgauge/test/lab"
)

// cgroup v1 counts disk IO where a throttling policy looks at it. With a limit that is far
// away, every byte and operation of direct IO is in the documents, and none twice.
func TestDiskV1(t *testing.T) {
	needV1(t)
	e := lab.EngineFor(t)
	a := startAgent(t, "-docker="+e.Host(), "-docker_root="+e.DataRoot(), "-docker_only", "-spool-dir="+t.TempDir(), "-podman=", "-containerd=")

	const size, writes, reads = 64 << 10, 64, 32
	device := lab.LoopDeviceFor(t, 24)
	id := docker(t, e, "run", "--detach", "--device", device,
		"--device-write-bps", device+":1gb", "--device-read-bps", device+":1gb", lab.BusyboxImage, "sh", "-c", fmt.Sprintf(`
sleep 2
dd if=/dev/zero of=%[1]s bs=%[2]d count=%[3]d oflag=direct conv=notrunc &&
dd if=%[1]s of=/dev/null bs=%[2]d count=%[4]d iflag=direct && echo done
exec sleep 1000`, device, size, writes, reads))
	t.Cleanup(func() {
		if _, err := e.Docker(context.Background(), "container", "rm", "--force", id); err != nil {
			t.Error(err)
		}
	})
	waitFor(t, 20*time.Second, "the container to have written and read", func() error {
		if docker(t, e, "logs", id) != "done" {
			return errNotYet
		}
		return nil
	})
	// Not the documents' sums: where something has set a limit for the disk below as well, they
	// are of that one, and what a loop device hands down is counted for nobody there.
	value := func(family, operation string) float64 {
		labels := map[string]string{"id": "/docker/" + id, "device": device}
		if operation != "" {
			labels["operation"] = operation
		}
		v, _ := a.scrape(t).series(family, labels)
		return v
	}
	waitFor(t, 5*time.Second, "the next sample", func() error {
		if value("container_fs_reads_total", "") < reads {
			return errNotYet
		}
		return nil
	})
	for _, number := range []struct {
		family, operation string
		want              float64
	}{
		{"container_fs_writes_bytes_total", "", writes * size},
		{"container_fs_writes_total", "", writes},
		{"container_fs_reads_bytes_total", "", reads * size},
		{"container_fs_reads_total", "", reads},
		{"container_blkio_device_usage_total", "Write", writes * size},
		{"container_blkio_device_usage_total", "Read", reads * size},
	} {
		if got := value(number.family, number.operation); got != number.want {
			t.Errorf("%s %s: %v, want %v", number.family, number.operation, got, number.want)
		}
	}
}
