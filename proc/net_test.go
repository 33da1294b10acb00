package proc

import (
	"errors"
	"os"
	"strings"
	"testing"

	"github.com/prometheus/procfs"
	"golang.org/x/sys/unix"

	"github.com/swarmgauge/swarmgauge/metric"
)

func TestNetFixtures(t *testing.T) {
	f := func(machine string, pid int, interfaces string, counters ...int64) {
		t.Helper()
		n, err := open(t, copyMachine(t, machine)).OpenNet(pid, "", new(NetBuffer))
		if err != nil {
			t.Fatal(err)
		}
		defer n.Close()
		var s metric.Sample
		if err := n.Read(&s); err != nil {
			t.Error(err)
		}
		var names []string
		for row := range s.Rows(metric.PerInterface) {
			names = append(names, s.Key(metric.PerInterface, row).Name)
		}
		if got := strings.Join(names, " "); got != interfaces {
			t.Errorf("interfaces %s, want %s", got, interfaces)
		}
		row := rowNamed(t, &s, metric.PerInterface, "eth0")
		for i, want := range counters {
			check(t, &s, interfaceIDs[i].id, row, want)
		}
	}
	f(v2Machine, 2417, "eth0", 1322, 15, 0, 0, 0, 0, 0, 0)
	f(v1Machine, 1, "ifb0 ifb1 eth0")
}

const netDevHeading = "Inter-|   Receive                                                |  Transmit\n" +
	" face |bytes    packets errs drop fifo frame compressed multicast|bytes    packets errs drop fifo colls carrier compressed\n"

func TestParseNetDev(t *testing.T) {
	const counters = " 1 2 3 4 5 6 7 8 9 10 11 12 13 14 15 16\n"
	f := func(lines, want, wantBad string) {
		t.Helper()
		var s metric.Sample
		bad := parseNetDev([]byte(netDevHeading+lines), &s)
		if string(bad) != wantBad || (bad != nil) != (wantBad != "") {
			t.Errorf("%q: bad line %q, want %q", lines, bad, wantBad)
		}
		var names []string
		for row := range s.Rows(metric.PerInterface) {
			names = append(names, s.Key(metric.PerInterface, row).Name)
			for i, want := range []int64{1, 2, 3, 4, 9, 10, 11, 12} {
				check(t, &s, interfaceIDs[i].id, row, want)
			}
		}
		if got := strings.Join(names, " "); got != want {
			t.Errorf("%q: interfaces %q, want %q", lines, got, want)
		}
	}
	f("", "", "")
	f("eth0:"+counters, "eth0", "")
	// Kernels before 2.6.38 left no blank after a long name.
	f("  eth0:"+counters[1:], "eth0", "")
	f("lo:"+counters+"veth1a2b:"+counters+"docker0:"+counters+"docker_gwbridge:"+counters+"nerdctl0:"+counters, "", "")
	f("LO:"+counters+"Veth1:"+counters+"DockerX:"+counters, "", "")
	f("br-5f0e:"+counters+"cni0:"+counters+"l:"+counters+"vet:"+counters, "br-5f0e cni0 l vet", "")
	f("eth0: 1 2 3\neth1:"+counters, "eth1", "eth0: 1 2 3")
	f("eth0:"+strings.Replace(counters, "4", "-4", 1)+"eth1:"+counters, "eth1", "eth0: 1 2 3 -4 5 6 7 8 9 10 11 12 13 14 15 16")
	// The last number was cut off: none of the line is right.
	f("eth1:"+counters+"eth0: 1 2 3 4 5 6 7 8 9 10 11 1", "eth1", "eth0: 1 2 3 4 5 6 7 8 9 10 11 1")
	f("no colon\n", "", "no colon")
	f(":"+counters, "", ":"+strings.TrimSuffix(counters, "\n"))
}

func TestNetInterfaceGoes(t *testing.T) {
	root := copyMachine(t, v1Machine)
	n, err := open(t, root).OpenNet(1, "", new(NetBuffer))
	if err != nil {
		t.Fatal(err)
	}
	defer n.Close()
	var s metric.Sample
	if err := n.Read(&s); err != nil {
		t.Fatal(err)
	}
	eth0 := rowNamed(t, &s, metric.PerInterface, "eth0")
	write(t, root, "1/net/dev", netDevHeading+"  ifb1: 1 2 3 4 5 6 7 8 9 10 11 12 13 14 15 16\n")
	if err := n.Read(&s); err != nil {
		t.Fatal(err)
	}
	for _, column := range interfaceIDs {
		check(t, &s, column.id, eth0, -1)
	}
	check(t, &s, metric.NetworkReceiveBytes, rowNamed(t, &s, metric.PerInterface, "ifb1"), 1)
	if s.DropEmptyRows(); s.Rows(metric.PerInterface) != 1 {
		t.Errorf("%d interfaces are left, want ifb1 alone", s.Rows(metric.PerInterface))
	}
}

func TestNetErrorNamesFileAndText(t *testing.T) {
	root := copyMachine(t, v1Machine)
	write(t, root, "1/net/dev", netDevHeading+"eth0: 12 banana\n")
	n, err := open(t, root).OpenNet(1, "", new(NetBuffer))
	if err != nil {
		t.Fatal(err)
	}
	defer n.Close()
	want := root + `/1/net/dev: can't make sense of "eth0: 12 banana"`
	if err := n.Read(new(metric.Sample)); err == nil || err.Error() != want {
		t.Errorf("error %v, want %s", err, want)
	}
}

// between checks that a counter lies between two readings of it.
func between(t *testing.T, what string, low, got, high uint64) {
	t.Helper()
	if got < low || got > high {
		t.Errorf("%s: %d isn't between %d and %d", what, got, low, high)
	}
}

func TestNetAgainstProcfs(t *testing.T) {
	self, err := procfs.Self()
	if err != nil {
		t.Fatal(err)
	}
	n, err := open(t, "/proc").OpenNet(os.Getpid(), "", new(NetBuffer))
	if err != nil {
		t.Fatal(err)
	}
	defer n.Close()
	var s metric.Sample
	before, err1 := self.NetDev()
	if err := n.Read(&s); err != nil {
		t.Fatal(err)
	}
	after, err2 := self.NetDev()
	if err := errors.Join(err1, err2); err != nil {
		t.Fatal(err)
	}
	listed := 0
	for name, low := range before {
		if ignoredInterface([]byte(name)) {
			continue
		}
		listed++
		high := after[name]
		row := rowNamed(t, &s, metric.PerInterface, name)
		f := func(id metric.ID, low, high uint64) {
			t.Helper()
			v, read := s.GetRow(id, row)
			if !read {
				t.Errorf("%s: %v wasn't read", name, id)
			}
			between(t, name+" "+id.String(), low, v, high)
		}
		f(metric.NetworkReceiveBytes, low.RxBytes, high.RxBytes)
		f(metric.NetworkReceivePackets, low.RxPackets, high.RxPackets)
		f(metric.NetworkReceiveErrors, low.RxErrors, high.RxErrors)
		f(metric.NetworkReceiveDropped, low.RxDropped, high.RxDropped)
		f(metric.NetworkTransmitBytes, low.TxBytes, high.TxBytes)
		f(metric.NetworkTransmitPackets, low.TxPackets, high.TxPackets)
		f(metric.NetworkTransmitErrors, low.TxErrors, high.TxErrors)
		f(metric.NetworkTransmitDropped, low.TxDropped, high.TxDropped)
	}
	if listed != s.Rows(metric.PerInterface) {
		t.Errorf("%d interfaces, procfs has %d", s.Rows(metric.PerInterface), listed)
	}
}

func TestNamespace(t *testing.T) {
	fs := open(t, "/proc")
	netOf := func(pid int) *Net {
		t.Helper()
		n, err := fs.OpenNet(pid, "", new(NetBuffer))
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { n.Close() })
		return n
	}
	own := netOf(os.Getpid())
	sharing := startProcess(t, 0)
	if n := netOf(sharing.pid); n.Namespace() != own.Namespace() {
		t.Errorf("namespace %d of a child in the same one, want %d", n.Namespace(), own.Namespace())
	}
	needRoot(t)
	first, second := startProcess(t, unix.CLONE_NEWNET), startProcess(t, unix.CLONE_NEWNET)
	firstNet, secondNet := netOf(first.pid), netOf(second.pid)
	if a, b, c := own.Namespace(), firstNet.Namespace(), secondNet.Namespace(); a == b || b == c || a == c || a == 0 || b == 0 || c == 0 {
		t.Errorf("three namespaces have the numbers %d, %d, %d", a, b, c)
	}
	if again := netOf(first.pid); again.Namespace() != firstNet.Namespace() {
		t.Errorf("namespace %d at second sight, was %d", again.Namespace(), firstNet.Namespace())
	}
	var s metric.Sample
	if err := firstNet.Read(&s); err != nil {
		t.Error(err)
	}
	// A new namespace has nothing but lo, and what modules put into each (as tunl0).
	if row := s.RowByName(metric.PerInterface, []byte("eth0")); row >= 0 {
		t.Error("a new namespace shows eth0")
	}
}

// TestNetOutlivesItsProcess states what whoever keeps a Net has to know.
func TestNetOutlivesItsProcess(t *testing.T) {
	fs := open(t, "/proc")
	p := startProcess(t, 0)
	n, err := fs.OpenNet(p.pid, "", new(NetBuffer))
	if err != nil {
		t.Fatal(err)
	}
	defer n.Close()
	p.kill()
	p.wait()
	if err := n.Read(new(metric.Sample)); err != nil {
		t.Errorf("after the end: error %v; the namespace is kept alive", err)
	}
	if _, err := fs.OpenNet(p.pid, "", new(NetBuffer)); err != ErrGone {
		t.Errorf("open after the end: error %v, want ErrGone", err)
	}
}

func TestNetReadAllocs(t *testing.T) {
	n, s := ownNet(t)
	if allocs := testing.AllocsPerRun(100, func() {
		if err := n.Read(s); err != nil {
			t.Fatal(err)
		}
	}); allocs != 0 {
		t.Errorf("%v allocations a read", allocs)
	}
}

func ownNet(t testing.TB) (*Net, *metric.Sample) {
	n, err := open(t, "/proc").OpenNet(os.Getpid(), "", new(NetBuffer))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { n.Close() })
	return n, new(metric.Sample)
}

func BenchmarkNetRead(b *testing.B) {
	n, s := ownNet(b)
	b.ReportAllocs()
	for b.Loop() {
		if err := n.Read(s); err != nil {
			b.Fatal(err)
		}
	}
}

// BenchmarkNetReadReopened is what Net.Read would cost if it kept no descriptor.
func BenchmarkNetReadReopened(b *testing.B) {
	fs, s := open(b, "/proc"), new(metric.Sample)
	for b.Loop() {
		n, err := fs.OpenNet(os.Getpid(), "", new(NetBuffer))
		if err != nil {
			b.Fatal(err)
		}
		if err := n.Read(s); err != nil {
			b.Fatal(err)
		}
		n.Close()
	}
}

func FuzzNetDev(f *testing.F) {
	for _, name := range []string{v1Machine + "/1/net/dev", v2Machine + "/2417/net/dev"} {
		f.Add(fixture(f, name))
	}
	f.Add([]byte(netDevHeading + "eth0: 18446744073709551616"))
	f.Fuzz(func(t *testing.T, text []byte) {
		var s metric.Sample
		bad := parseNetDev(text, &s)
		checkFuzzed(t, text, bad, &s)
	})
}
