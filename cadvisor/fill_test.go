package cadvisor

import (
	"bytes"
	"encoding/json"
	"flag"
	"os"
	"testing"

	"github.com/swarmgauge/swarmgauge/metric"
)

var update = flag.Bool("update", false, "rewrite testdata/filled.json")

// sampleOf returns a sample in which each number of one row is its ID plus 1, times
// 1,000,000 (so that each is recognized, in any unit), with two rows where there can be more.
func sampleOf() *metric.Sample {
	s := &metric.Sample{Time: 1795348190381142059}
	for _, cpu := range []string{"0", "1"} {
		s.AddRow(metric.PerCPU, metric.Key{Name: cpu})
	}
	s.AddRow(metric.PerInterface, metric.Key{Name: "eth0"})
	s.AddRow(metric.PerInterface, metric.Key{Name: "eth1"})
	s.AddRow(metric.PerDevice, metric.Key{Name: "nvme0n1", Major: 259, Minor: 0})
	s.AddRow(metric.PerDevice, metric.Key{Name: "253:7", Major: 253, Minor: 7})
	s.AddRow(metric.PerFilesystem, metric.Key{Name: "/dev/nvme0n1", Major: 259, Minor: 0, Mountpoint: "/", Type: "ext4"})
	for _, kind := range []string{"tcp", "tcp6", "udp", "udp6"} {
		s.AddRow(metric.PerSocket, metric.Key{Name: kind})
	}
	s.AddRow(metric.PerFilesystem, metric.Key{Name: "tank/data", Mountpoint: "/tank", Type: "zfs"})
	s.AddRow(metric.PerHugePage, metric.Key{Name: "2MB"})
	s.AddRow(metric.PerNUMANode, metric.Key{Name: "0"})
	s.AddRow(metric.PerNUMANode, metric.Key{Name: "1"})
	s.AddRow(metric.PerCache, metric.Key{Name: "0"})
	s.AddRow(metric.PerCache, metric.Key{Name: "1"})
	for id := range metric.ID(metric.NumIDs) {
		for row := range max(1, s.Rows(id.Per())) {
			v := (uint64(id) + 1) * 1e6
			if s.Rows(id.Per()) > 0 {
				s.PutRow(id, row, v+uint64(row))
			} else {
				s.Put(id, v)
			}
		}
	}
	return s
}

func TestFill(t *testing.T) {
	var v ContainerStats
	v.Fill(&metric.Container{Health: "healthy"}, sampleOf())
	var got bytes.Buffer
	if err := json.Indent(&got, v.AppendJSON(nil), "", " "); err != nil {
		t.Fatal(err)
	}
	got.WriteByte('\n')
	if *update {
		if err := os.WriteFile("testdata/filled.json", got.Bytes(), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile("testdata/filled.json")
	if err != nil {
		t.Fatal(err)
	}
	if !bytes.Equal(got.Bytes(), want) {
		t.Errorf("Fill differs from testdata/filled.json: got\n%s", got.Bytes())
	}
}

// The four numbers of a pressure line must follow each other in the table.
func TestPressureOrder(t *testing.T) {
	for _, total := range []metric.ID{
		metric.PressureCPUSome, metric.PressureCPUFull, metric.PressureMemorySome,
		metric.PressureMemoryFull, metric.PressureIOSome, metric.PressureIOFull,
	} {
		base := total.String()
		base = base[:len(base)-len("_seconds")]
		for i, suffix := range []string{"_seconds", "_avg10", "_avg60", "_avg300"} {
			if got := (total + metric.ID(i)).String(); got != base+suffix {
				t.Errorf("%s + %d is %s", total, i, got)
			}
		}
	}
}

func TestFillUnread(t *testing.T) {
	const zeros = `{"timestamp":"1970-01-01T00:00:00Z",` +
		`"cpu":{"usage":{"total":0,"user":0,"system":0},` +
		`"cfs":{"periods":0,"throttled_periods":0,"throttled_time":0,"bursts_periods":0,"burst_time":0},` +
		`"schedstat":{"run_time":0,"runqueue_time":0,"run_periods":0},"load_average":0,"load_d_average":0,` +
		`"psi":{"full":{"total":0,"avg10":0,"avg60":0,"avg300":0},"some":{"total":0,"avg10":0,"avg60":0,"avg300":0}}},` +
		`"diskio":{"psi":{"full":{"total":0,"avg10":0,"avg60":0,"avg300":0},"some":{"total":0,"avg10":0,"avg60":0,"avg300":0}}},` +
		`"memory":{"usage":0,"max_usage":0,"cache":0,"rss":0,"swap":0,"mapped_file":0,"working_set":0,` +
		`"total_active_file":0,"total_inactive_file":0,"file_dirty":0,"file_writeback":0,"pgscan":0,"pgsteal":0,` +
		`"workingset_refault_file":0,"workingset_refault_anon":0,"failcnt":0,"kernel":0,` +
		`"container_data":{"pgfault":0,"pgmajfault":0,"numa_stats":{}},"hierarchical_data":{"pgfault":0,"pgmajfault":0,"numa_stats":{}},` +
		`"psi":{"full":{"total":0,"avg10":0,"avg60":0,"avg300":0},"some":{"total":0,"avg10":0,"avg60":0,"avg300":0}},` +
		`"events":{"high":0,"max":0}},` +
		`"task_stats":{"nr_sleeping":0,"nr_running":0,"nr_stopped":0,"nr_uninterruptible":0,"nr_io_wait":0},` +
		`"resctrl":{},"cpuset":{"memory_migrate":0},"health":{"status":""}}`

	var fresh ContainerStats
	fresh.Fill(&metric.Container{}, &metric.Sample{})
	if got := fresh.AppendJSON(nil); string(got) != zeros {
		t.Errorf("fresh: got %s", got)
	}

	// Nothing of an earlier container may be left in a value that is used again.
	var used ContainerStats
	used.Fill(&metric.Container{Health: "healthy"}, sampleOf())
	used.Fill(&metric.Container{}, &metric.Sample{})
	if got := used.AppendJSON(nil); string(got) != zeros {
		t.Errorf("used: got %s", got)
	}
}

// Where cAdvisor is wrong about a container's filesystem. Its own answer for the same
// container (an overlay2 layer with one file of 4 MiB) was: usage and base_usage as here,
// available 0, has_inodes false, inodes 2 (those that the layer uses), inodes_free 0,
// reads_completed 295773 (the disk's since boot).
func TestFillFilesystemOfContainer(t *testing.T) {
	var s metric.Sample
	s.Put(metric.StorageLayer, 4198400)
	s.Put(metric.StorageLayerInodes, 2)
	s.Put(metric.StorageLogs, 40960)
	disk := s.AddRow(metric.PerDevice, metric.Key{Name: "vda", Major: 254})
	s.PutRow(metric.DiskReadOperations, disk, 3)
	s.PutRow(metric.DiskReadBytes, disk, 3*4096)
	row := s.AddRow(metric.PerFilesystem, metric.Key{Name: "/dev/vda", Major: 254, Mountpoint: "/", Type: "ext4"})
	s.PutRow(metric.FilesystemUsed, row, 4198400+40960)
	s.PutRow(metric.FilesystemCapacity, row, 270553174016)
	s.PutRow(metric.FilesystemAvailable, row, 250000000000)
	s.PutRow(metric.FilesystemInodes, row, 16777216)
	s.PutRow(metric.FilesystemInodesFree, row, 16152777)
	var v ContainerStats
	v.Fill(&metric.Container{Path: "/docker/x", ID: "x"}, &s)
	want := Filesystem{
		Device: "/dev/vda", Type: "vfs", Capacity: 270553174016, Usage: 4239360, BaseUsage: 4198400,
		Available: 250000000000, HasInodes: true, Inodes: 16777216, InodesFree: 16152777,
		ReadsCompleted: 3, SectorsRead: 24, // the container's own
	}
	if len(v.Filesystem) != 1 || v.Filesystem[0] != want {
		t.Errorf("%+v, want %+v", v.Filesystem, want)
	}
}

// Elasticsearch's long is signed; what doesn't fit would cost the whole document.
func TestFillNumberTooLarge(t *testing.T) {
	var s metric.Sample
	s.Put(metric.MemorySwap, 1<<63)
	s.Put(metric.MemoryCache, 1<<63-1)
	var v ContainerStats
	v.Fill(&metric.Container{}, &s)
	if v.Memory.Swap != 0 || v.Memory.Cache != 1<<63-1 {
		t.Errorf("swap %d, cache %d", v.Memory.Swap, v.Memory.Cache)
	}
}

// Sockets are there without any interface, and no limit is -1.
func TestFillSockets(t *testing.T) {
	var s metric.Sample
	s.Put(metric.TCPCounter+3, ^uint64(0))
	s.Put(metric.Processes, 1)
	s.Put(metric.OpenFilesLimit, 1024)
	s.PutRow(metric.TCPListen, s.AddRow(metric.PerSocket, metric.Key{Name: "tcp6"}), 2)
	var v ContainerStats
	v.Fill(&metric.Container{}, &s)
	if n := v.Network; n == nil || n.TCPAdvanced[3] != -1 || n.TCP6.Listen != 2 || n.TCP.Listen != 0 || n.Name != "" {
		t.Errorf("network is %+v", n)
	}
	if p := v.Processes; p == nil || len(p.Ulimits) != 1 || p.Ulimits[0] != (Ulimit{"max_open_files", 1024, -1}) {
		t.Errorf("processes are %+v", p)
	}
}

func TestFillDiskRowsWithoutIO(t *testing.T) {
	var s metric.Sample
	s.PutRow(metric.DiskInFlight, s.AddRow(metric.PerDevice, metric.Key{Name: "sda", Major: 8}), 1)
	s.PutRow(metric.DiskWriteBytes, s.AddRow(metric.PerDevice, metric.Key{Name: "sdb", Major: 8, Minor: 16}), 4096)
	var v ContainerStats
	v.Fill(&metric.Container{}, &s)
	want := PerDisk{Device: "/dev/sdb", Major: 8, Minor: 16, Stats: DiskStats{Write: 4096}}
	if got := v.DiskIO.IOServiceBytes; len(got) != 1 || got[0] != want {
		t.Errorf("io_service_bytes is %v", got)
	}
	if got := v.DiskIO.IOServiced; len(got) != 0 {
		t.Errorf("io_serviced is %v", got)
	}
}

func TestFillAndAppendAllocs(t *testing.T) {
	c, s := &metric.Container{Health: "healthy"}, sampleOf()
	var v ContainerStats
	var dst []byte
	if n := testing.AllocsPerRun(100, func() {
		v.Fill(c, s)
		dst = v.AppendJSON(dst[:0])
	}); n != 0 {
		t.Errorf("%v allocations per document", n)
	}
}

func BenchmarkFill(b *testing.B) {
	c, s := &metric.Container{Health: "healthy"}, sampleOf()
	var v ContainerStats
	b.ReportAllocs()
	for b.Loop() {
		v.Fill(c, s)
	}
}

func BenchmarkAppendJSON(b *testing.B) {
	var v ContainerStats
	if err := json.Unmarshal(goldenStats(b)[0], &v); err != nil {
		b.Fatal(err)
	}
	var dst []byte
	b.ReportAllocs()
	for b.Loop() {
		dst = v.AppendJSON(dst[:0])
	}
}

// The yardstick of BenchmarkAppendJSON.
func BenchmarkMarshal(b *testing.B) {
	var v ContainerStats
	if err := json.Unmarshal(goldenStats(b)[0], &v); err != nil {
		b.Fatal(err)
	}
	b.ReportAllocs()
	for b.Loop() {
		if _, err := json.Marshal(&v); err != nil {
			b.Fatal(err)
		}
	}
}
