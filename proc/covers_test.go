package proc

import (
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/swarmgauge/swarmgauge/metric"
)

// Each number of the metric table is read by somebody: by this package, of files that were
// captured, or by another one. What is left to package cgroup here is what
// TestTablesCoverMetrics demands there.
func TestReadersCoverMetrics(t *testing.T) {
	cgroups := func(id metric.ID) bool {
		return id < metric.Processes || id == metric.CPUSetMemoryMigrate || id.Per() == metric.PerHugePage || id.Per() == metric.PerNUMANode
	}
	elsewhere := []metric.ID{
		// Counted by who knows the runtime's folders (Options.Storage of package collector).
		metric.StorageLayer, metric.StorageLayerInodes, metric.StorageLogs, metric.StorageVolumes, metric.StorageAsOf,
		// Read by nobody: which tasks wait for IO is known from inside the kernel only. cAdvisor
		// has the number, so that its name is kept.
		metric.TasksIOWait,
	}
	var s metric.Sample
	readEverything(t, &s)
	for id := metric.ID(0); int(id) < metric.NumIDs; id++ {
		read := false
		for row := range s.Rows(id.Per()) {
			_, ok := s.GetRow(id, row)
			read = read || ok
		}
		named := slices.Contains(elsewhere, id)
		if !read && !named && !cgroups(id) {
			t.Errorf("%v %v is read by nobody", id.Per(), id)
		}
		if read && named {
			t.Errorf("%v %v is read here, and is said not to be", id.Per(), id)
		}
	}
}

// readEverything reads all that this package does into s.
func readEverything(t *testing.T, s *metric.Sample) {
	t.Helper()
	root := copyMachine(t, v1Machine)
	if err := openNode(t, root).Read(s, true); err != nil {
		t.Fatal(err)
	}

	// A file can be captured, and a descriptor can't.
	const process = 28949
	fd := filepath.Join(root, "28949", "fd")
	if err := os.Mkdir(fd, 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.Symlink("socket:[1]", filepath.Join(fd, "3")); err != nil {
		t.Fatal(err)
	}
	wanted := allOfProcesses
	wanted.TCP, wanted.UDP, wanted.TCPCounters = true, true, true
	d := open(t, root).NewDetails(wanted)
	d.NewProcesses("").Read([]int{process}, time.Now(), s)

	// No kernel has all of TCP's counters: some came, and some went.
	counters := func(file, line string, names []string) {
		write(t, root, "28949/net/"+file, line+" "+strings.Join(names, " ")+"\n"+line+strings.Repeat(" 1", len(names))+"\n")
	}
	counters("snmp", "Tcp:", metric.TCPCounters[:metric.NumTCPStandard])
	counters("netstat", "TcpExt:", metric.TCPCounters[metric.NumTCPStandard:])
	d.ReadSockets(process, "", s)

	groups := newResctrl(t)
	groups.FindGroups(true)
	groups.ReadNodeGroups(s)

	synctest.Test(t, func(t *testing.T) {
		used := uint64(0)
		f, _ := fakeFilesystems(t, func(string) (usage, error) {
			return usage{capacity: 10000, used: used, available: 10000 - used, inodes: 7, inodesFree: 3}, nil
		})
		for range 60 { // until it is seen how fast it fills
			if err := f.Read(s); err != nil {
				t.Fatal(err)
			}
			time.Sleep(time.Minute)
			used += 10
		}
	})
}
