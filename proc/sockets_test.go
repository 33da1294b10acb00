package proc

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"os"
	"reflect"
	"strings"
	"testing"

	"github.com/prometheus/procfs"
	"golang.org/x/sys/unix"

	"github.com/swarmgauge/swarmgauge/metric"
	"github.com/swarmgauge/swarmgauge/test/lab"
)

const udpHeading = "   sl  local_address rem_address   st tx_queue rx_queue tr tm->when retrnsmt   uid  timeout inode ref pointer drops            \n"

func TestParseSocketsTCP(t *testing.T) {
	f := func(text string, want map[int]uint64, wantBad string) {
		t.Helper()
		var c sockets
		if bad := parseSockets([]byte(text), true, &c); string(bad) != wantBad {
			t.Errorf("%q: bad line %q, want %q", text, bad, wantBad)
		}
		for state, n := range c.states {
			if n != want[state] {
				t.Errorf("%q: %d in state %d, want %d", text, n, state, want[state])
			}
		}
	}
	const heading = "  sl  local_address rem_address   st tx_queue rx_queue tr tm->when retrnsmt   uid  timeout inode\n"
	const listening = "   0: 00000000:07E8 00000000:0000 0A 00000000:00000000 00:00000000 00000000     0        0 1582 1 000000002d6c10ed 100 0 0 10 0\n"
	f(string(fixture(t, v1Machine+"/28949/net/tcp")), map[int]uint64{1: 2, 5: 1, 8: 1, 10: 2}, "")
	f(string(fixture(t, v1Machine+"/28949/net/tcp6")), map[int]uint64{1: 2, 10: 2}, "")
	f(heading, nil, "")
	f(heading+listening+listening, map[int]uint64{10: 2}, "")
	f(strings.Replace(listening, " 0A ", " 0B ", 1)+strings.Replace(listening, " 0A ", " 01 ", 1), map[int]uint64{11: 1, 1: 1}, "")
	f(strings.Replace(listening, " 0A ", " 0C ", 1), nil, "") // no state that is counted
	bad := strings.Replace(listening, " 0A ", " XX ", 1)
	f(bad+listening, map[int]uint64{10: 1}, strings.TrimSuffix(bad, "\n"))
	f("0: 1 2\n", nil, "0: 1 2")
	f(listening+"   1: 00000000:07E8 00000000:0000 0A", map[int]uint64{10: 1}, "   1: 00000000:07E8 00000000:0000 0A")
}

func TestParseSocketsUDP(t *testing.T) {
	f := func(text string, all, dropped, receive, transmit uint64, wantBad string) {
		t.Helper()
		var c sockets
		if bad := parseSockets([]byte(text), false, &c); string(bad) != wantBad {
			t.Errorf("%q: bad line %q, want %q", text, bad, wantBad)
		}
		if c.all != all || c.dropped != dropped || c.receiveQueue != receive || c.transmitQueue != transmit {
			t.Errorf("%q: %d sockets, %d dropped, queued %d and %d", text, c.all, c.dropped, c.receiveQueue, c.transmitQueue)
		}
	}
	const line = "  331: 0100007F:0143 00000000:0000 07 00000010:0000A000 00:00000000 00000000     0        0 21470 2 0000000074fba9ac 12\n"
	f(string(fixture(t, v1Machine+"/28949/net/udp")), 2, 37, 0xf00, 0, "")
	f(string(fixture(t, v1Machine+"/28949/net/udp6")), 2, 37, 0xf00, 0, "")
	f(udpHeading, 0, 0, 0, 0, "")
	f(udpHeading+line+line, 2, 24, 2*0xa000, 32, "")
	cut := strings.TrimSuffix(line, " 12\n")
	f(cut+"\n"+line, 1, 12, 0xa000, 16, cut)
	f(line[:len(line)-1], 0, 0, 0, 0, line[:len(line)-1])
}

func TestParseSockstat(t *testing.T) {
	f := func(text string, want inUse) {
		t.Helper()
		var got inUse
		if got.parse([]byte(text)); got != want {
			t.Errorf("%q: %+v, want %+v", text, got, want)
		}
	}
	f(string(fixture(t, v1Machine+"/28949/net/sockstat")), inUse{tcp: 6, udp: 2})
	f(string(fixture(t, v1Machine+"/28949/net/sockstat6")), inUse{tcp: 4, udp: 2})
	f("TCP: inuse 4 orphan 9 tw 7 alloc 5 mem 171\nUDP: inuse 3 mem 8\nTCP6: inuse 1\nUDPLITE: inuse 9\n", inUse{tcp: 12, udp: 3})
	f("TCP: inuse x tw 7\nTCP\nTCP:\n", inUse{})
	f("", inUse{})
}

func TestParseTCPCounters(t *testing.T) {
	f := func(prefix, text string, want map[string]int64, wantBad string) {
		t.Helper()
		var s metric.Sample
		if bad := parseTCPCounters([]byte(text), prefix, tcpCounters(), &s); string(bad) != wantBad {
			t.Errorf("%q: bad line %q, want %q", text, bad, wantBad)
		}
		for i, name := range metric.TCPCounters {
			v, read := s.Get(metric.TCPCounter + metric.ID(i))
			if n, wanted := want[name]; wanted != read || int64(v) != n {
				t.Errorf("%q: %s is %d (read: %v), want %d", text, name, int64(v), read, n)
			}
		}
	}
	f("Tcp:", "Ip: A B\nIp: 1 2\nTcp: RtoAlgorithm MaxConn news InSegs\nTcp: 1 -1 9 7\nUdp: InDatagrams\nUdp: 3\n",
		map[string]int64{"RtoAlgorithm": 1, "MaxConn": -1, "InSegs": 7}, "")
	f("TcpExt:", "TcpExt: tw TCPSackShifted\nTcpExt: 4 18446744073709551615\n", map[string]int64{"TW": 4, "TCPSackShifted": -1}, "")
	f("Tcp:", "Tcp: RtoAlgorithm MaxConn\nTcp: 1\n", map[string]int64{"RtoAlgorithm": 1}, "Tcp: 1")
	f("Tcp:", "Tcp: RtoAlgorithm\nTcp: 1 2\n", map[string]int64{"RtoAlgorithm": 1}, "Tcp: 1 2")
	f("Tcp:", "Tcp: RtoAlgorithm\nTcp: one\n", nil, "Tcp: one")
	f("Tcp:", "Tcp: InSegs\nTcp: 12", nil, "Tcp: 12")
	f("Tcp:", "", nil, "")
}

// What is read of a tree that was captured; only files can be, of which there is none where
// a namespace is.
func TestReadSocketsFixture(t *testing.T) {
	d := open(t, copyMachine(t, v1Machine)).NewDetails(Wanted{TCP: true, UDP: true, TCPCounters: true})
	s := new(metric.Sample)
	for range 2 { // what was there before makes no difference
		d.ReadSockets(28949, "", s)
	}
	if rows := s.Rows(metric.PerSocket); rows != 4 {
		t.Fatalf("%d kinds of sockets", rows)
	}
	tcp, udp6 := rowNamed(t, s, metric.PerSocket, "tcp"), rowNamed(t, s, metric.PerSocket, "udp6")
	check(t, s, metric.TCPEstablished, tcp, 2)
	check(t, s, metric.TCPFinWait2, tcp, 1)
	check(t, s, metric.TCPCloseWait, tcp, 1)
	check(t, s, metric.TCPListen, tcp, 2)
	check(t, s, metric.TCPClosing, tcp, 0)
	check(t, s, metric.UDPListen, tcp, -1)
	check(t, s, metric.UDPListen, udp6, 2)
	check(t, s, metric.UDPDropped, udp6, 37)
	check(t, s, metric.UDPReceiveQueued, udp6, 0xf00)
	check(t, s, metric.UDPTransmitQueued, udp6, 0)
	check(t, s, metric.TCPListen, udp6, -1)
	// Of cAdvisor's counters this kernel has all but one.
	for i, name := range metric.TCPCounters {
		if _, read := s.Get(metric.TCPCounter + metric.ID(i)); read == (name == "TCPFACKReorder") {
			t.Errorf("%s read: %v", name, read)
		}
	}
	if v, _ := s.Get(metric.TCPCounter + 3); int64(v) != -1 {
		t.Errorf("MaxConn is %d, want -1", int64(v))
	}
	d.ReadSockets(99999, "", s) // a process that isn't there
	if s.Read(metric.PerSocket) || s.Read(metric.PerTCP) {
		t.Error("sockets of a process that has ended are left")
	}
}

// Sockets that the test opens in a namespace of its own are counted, by either way, exactly.
func TestSocketsLive(t *testing.T) {
	needRoot(t)
	onThreadOfItsOwn(func() {
		if err := unix.Unshare(unix.CLONE_NEWNET); err != nil {
			t.Error(err)
			return
		}
		bringUpLoopback(t)
		testSocketsLive(t)
	})
}

func testSocketsLive(t *testing.T) {
	var opened []int
	defer func() {
		for _, fd := range opened {
			unix.Close(fd)
		}
	}()
	socket := func(family, kind int) int {
		fd, err := unix.Socket(family, kind|unix.SOCK_CLOEXEC, 0)
		if err != nil {
			t.Fatal(err)
		}
		opened = append(opened, fd)
		return fd
	}
	address := func(port int, six bool) unix.Sockaddr {
		if six {
			return &unix.SockaddrInet6{Port: port, Addr: [16]byte{15: 1}}
		}
		return &unix.SockaddrInet4{Port: port, Addr: [4]byte{127, 0, 0, 1}}
	}
	const listeners, connections, datagrams = 3, 5, 4
	for _, six := range []bool{false, true} {
		family := unix.AF_INET
		if six {
			family = unix.AF_INET6
		}
		for i := range listeners {
			fd := socket(family, unix.SOCK_STREAM)
			if err := unix.Bind(fd, address(7000+i, six)); err != nil {
				t.Fatal(err)
			}
			if err := unix.Listen(fd, 100); err != nil {
				t.Fatal(err)
			}
		}
		for range connections { // accepted by nobody, which makes no difference
			if err := unix.Connect(socket(family, unix.SOCK_STREAM), address(7000, six)); err != nil {
				t.Fatal(err)
			}
		}
		for i := range datagrams {
			if err := unix.Bind(socket(family, unix.SOCK_DGRAM), address(7000+i, six)); err != nil {
				t.Fatal(err)
			}
		}
		sender := socket(family, unix.SOCK_DGRAM)
		for range 3 {
			if err := unix.Sendto(sender, make([]byte, 100), 0, address(7000, six)); err != nil {
				t.Fatal(err)
			}
		}
	}
	// The thread's own folder, as the process's shows its first thread's namespaces.
	dir, err := unix.Open("/proc/thread-self", unix.O_PATH|unix.O_DIRECTORY|unix.O_CLOEXEC, 0)
	if err != nil {
		t.Fatal(err)
	}
	defer unix.Close(dir)
	d := open(t, "/proc").NewDetails(Wanted{})
	var queues [2][2]uint64
	for way, name := range []string{"text", "diagnosis"} {
		var counts [len(socketKinds)]sockets
		if err := countBy(d, dir, name == "text", &counts); err != nil {
			t.Fatal(err)
		}
		for i, kind := range socketKinds {
			c := &counts[i]
			if kind.tcp {
				// Both ends of a connection are here.
				if c.states[1] != 2*connections || c.states[10] != listeners || c.all != 2*connections+listeners {
					t.Errorf("%s, %s: %v of %d", name, kind.name, c.states, c.all)
				}
				continue
			}
			if c.all != datagrams+1 || c.receiveQueue < 300 || c.dropped != 0 {
				t.Errorf("%s, %s: %+v", name, kind.name, c)
			}
			queues[way][i-2] = c.receiveQueue
		}
	}
	if used, err := d.socketsInUse(dir); err != nil || used != (inUse{2 * (2*connections + listeners), 2 * (datagrams + 1)}) {
		t.Errorf("in use are %+v (%v)", used, err)
	}
	if queues[0] != queues[1] {
		t.Errorf("queues by text %v, by diagnosis %v", queues[0], queues[1])
	}
}

// countBy counts the sockets of all kinds by one of the two ways.
func countBy(d *Details, dir int, text bool, counts *[len(socketKinds)]sockets) error {
	if text {
		for i, kind := range socketKinds {
			if err := d.readSockets(dir, "net/"+kind.name, kind.tcp, &counts[i]); err != nil {
				return err
			}
		}
		return nil
	}
	fd, err := openDiagnosis(dir)
	if err != nil {
		return err
	}
	defer unix.Close(fd)
	return errors.Join(d.diagnoseTCP(fd, &counts[0], &counts[1]), d.diagnoseUDP(fd, &counts[2], &counts[3]))
}

// bringUpLoopback makes lo of a new namespace usable.
func bringUpLoopback(t testing.TB) {
	fd, err := unix.Socket(unix.AF_INET, unix.SOCK_DGRAM|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		t.Fatal(err)
	}
	defer unix.Close(fd)
	request, err := unix.NewIfreq("lo")
	if err != nil {
		t.Fatal(err)
	}
	request.SetUint16(unix.IFF_UP)
	if err := unix.IoctlIfreq(fd, unix.SIOCSIFFLAGS, request); err != nil {
		t.Fatal(err)
	}
}

// A thread that went elsewhere is not seen by anybody: not by the test's own thread, and not
// by who looks at the process.
func TestOpenDiagnosisLeavesNothingBehind(t *testing.T) {
	needRoot(t)
	fs := open(t, "/proc")
	namespace := func() (own, shown string) {
		own, err1 := os.Readlink("/proc/thread-self/ns/net")
		shown, err2 := os.Readlink("/proc/self/ns/net")
		if err := errors.Join(err1, err2); err != nil {
			t.Fatal(err)
		}
		return own, shown
	}
	own, shown := namespace()
	p := startProcess(t, unix.CLONE_NEWNET)
	d := fs.NewDetails(Wanted{TCP: true, UDP: true})
	for range 50 {
		var s metric.Sample
		d.ReadSockets(p.pid, "", &s)
		check(t, &s, metric.TCPListen, rowNamed(t, &s, metric.PerSocket, "tcp"), 0)
		if a, b := namespace(); a != own || b != shown {
			t.Fatalf("namespaces %s and %s, were %s and %s", a, b, own, shown)
		}
	}
	if notes := d.Notes(); len(notes) > 0 {
		t.Errorf("notes %q", notes)
	}
}

// What TCP has counted is what procfs reads.
func TestTCPCountersAgainstProcfs(t *testing.T) {
	self, err := procfs.Self()
	if err != nil {
		t.Fatal(err)
	}
	d := open(t, "/proc").NewDetails(Wanted{TCPCounters: true})
	for range 100 { // until nothing happens meanwhile
		var s metric.Sample
		before, err1 := self.Snmp()
		beforeExt, err2 := self.Netstat()
		d.ReadSockets(os.Getpid(), "", &s)
		after, err3 := self.Snmp()
		afterExt, err4 := self.Netstat()
		if err := errors.Join(err1, err2, err3, err4); err != nil {
			t.Fatal(err)
		}
		if !reflect.DeepEqual(before.Tcp, after.Tcp) || !reflect.DeepEqual(beforeExt.TcpExt, afterExt.TcpExt) {
			continue
		}
		compared := 0
		for i, name := range metric.TCPCounters {
			field := reflect.ValueOf(before.Tcp).FieldByName(name)
			if !field.IsValid() {
				field = reflect.ValueOf(beforeExt.TcpExt).FieldByName(name)
			}
			v, read := s.Get(metric.TCPCounter + metric.ID(i))
			if !field.IsValid() || field.IsNil() {
				continue
			}
			if compared++; !read || float64(int64(v)) != field.Elem().Float() {
				t.Errorf("%s is %d (read: %v), procfs has %v", name, int64(v), read, field.Elem().Float())
			}
		}
		if compared < 75 {
			t.Errorf("%d counters compared", compared)
		}
		return
	}
	t.Fatal("TCP never rests on this machine")
}

// BenchmarkSockets counts as many sockets of TCP by either way, in a namespace of its own.
func BenchmarkSockets(b *testing.B) {
	if os.Geteuid() != 0 {
		lab.Lack(b, "needs root: go test -c ./proc && sudo ./proc.test -test.bench Sockets")
	}
	for _, n := range []int{10, 1000, 10000} {
		for _, way := range []string{"diagnosis", "text"} {
			b.Run(fmt.Sprintf("%d/%s", n, way), func(b *testing.B) {
				onThreadOfItsOwn(func() { benchmarkSockets(b, n, way == "text") })
			})
		}
	}
}

func benchmarkSockets(b *testing.B, n int, text bool) {
	if err := unix.Unshare(unix.CLONE_NEWNET); err != nil {
		b.Error(err)
		return
	}
	bringUpLoopback(b)
	for i := range n {
		fd, err := unix.Socket(unix.AF_INET, unix.SOCK_STREAM|unix.SOCK_CLOEXEC, 0)
		if err != nil {
			b.Error(err)
			return
		}
		defer unix.Close(fd)
		if err := unix.Bind(fd, &unix.SockaddrInet4{Port: 10000 + i, Addr: [4]byte{127, 0, 0, 1}}); err != nil {
			b.Error(err)
			return
		}
		if err := unix.Listen(fd, 1); err != nil {
			b.Error(err)
			return
		}
	}
	dir, err := unix.Open("/proc/thread-self", unix.O_PATH|unix.O_DIRECTORY|unix.O_CLOEXEC, 0)
	if err != nil {
		b.Error(err)
		return
	}
	defer unix.Close(dir)
	d := open(b, "/proc").NewDetails(Wanted{TCP: true})
	for b.Loop() {
		var counts [len(socketKinds)]sockets
		if err := countBy(d, dir, text, &counts); err != nil || counts[0].all != uint64(n) || counts[1].all != 0 {
			b.Errorf("%d and %d sockets, %v", counts[0].all, counts[1].all, err)
			return
		}
	}
}

// BenchmarkSocketsNone reads a namespace without sockets.
func BenchmarkSocketsNone(b *testing.B) {
	if os.Geteuid() != 0 {
		lab.Lack(b, "needs root: go test -c ./proc && sudo ./proc.test -test.bench Sockets")
	}
	onThreadOfItsOwn(func() {
		if err := unix.Unshare(unix.CLONE_NEWNET); err != nil {
			b.Error(err)
			return
		}
		dir, err := unix.Open("/proc/thread-self", unix.O_PATH|unix.O_DIRECTORY|unix.O_CLOEXEC, 0)
		if err != nil {
			b.Error(err)
			return
		}
		defer unix.Close(dir)
		d := open(b, "/proc").NewDetails(Wanted{TCP: true, UDP: true})
		s := new(metric.Sample)
		for b.Loop() {
			used, err := d.socketsInUse(dir)
			if err != nil || used != (inUse{}) {
				b.Error(used, err)
				return
			}
			d.countSockets(dir, &used, s)
		}
	})
}

// BenchmarkOpenDiagnosis is what going into the namespace costs alone.
func BenchmarkOpenDiagnosis(b *testing.B) {
	dir, err := unix.Open("/proc/self", unix.O_PATH|unix.O_DIRECTORY|unix.O_CLOEXEC, 0)
	if err != nil {
		b.Fatal(err)
	}
	defer unix.Close(dir)
	for b.Loop() {
		fd, err := openDiagnosis(dir)
		if err != nil {
			lab.Lack(b, "needs root: "+err.Error()+": go test -c ./proc && sudo ./proc.test -test.bench OpenDiagnosis")
		}
		unix.Close(fd)
	}
}

func FuzzSockets(f *testing.F) {
	for _, name := range []string{"tcp", "tcp6", "udp", "udp6"} {
		f.Add(fixture(f, v1Machine+"/28949/net/"+name), strings.HasPrefix(name, "tcp"))
	}
	f.Fuzz(func(t *testing.T, text []byte, tcp bool) {
		var c sockets
		bad := parseSockets(text, tcp, &c)
		var s metric.Sample
		c.put("x", tcp, &s)
		checkFuzzed(t, text, bad, &s)
		if lines := uint64(bytes.Count(text, []byte("\n"))); c.all > lines {
			t.Errorf("%d sockets in %d lines", c.all, lines)
		}
	})
}

func FuzzTCPCounters(f *testing.F) {
	f.Add(fixture(f, v1Machine+"/28949/net/snmp"), "Tcp:")
	f.Add(fixture(f, v1Machine+"/28949/net/netstat"), "TcpExt:")
	byName := tcpCounters()
	f.Fuzz(func(t *testing.T, text []byte, prefix string) {
		var s metric.Sample
		bad := parseTCPCounters(text, prefix, byName, &s)
		if bad != nil && !bytes.Contains(text, bad) {
			t.Errorf("bad line %q isn't in %q", bad, text)
		}
		if s.Len() > bytes.Count(text, []byte(" "))+bytes.Count(text, []byte("\t")) {
			t.Errorf("%d numbers in %q", s.Len(), text)
		}
	})
}

// The kernel is trusted; still, nothing that a datagram may hold is read beyond its end.
func FuzzDiagnosis(f *testing.F) {
	answer := make([]byte, unix.SizeofNlMsghdr+diagAnswerSize+4+36)
	binary.NativeEndian.PutUint32(answer, uint32(len(answer)))
	binary.NativeEndian.PutUint16(answer[4:], diagByFamily)
	answer[unix.SizeofNlMsghdr+diagAnswerState] = 10
	attribute := answer[unix.SizeofNlMsghdr+diagAnswerSize:]
	binary.NativeEndian.PutUint16(attribute, uint16(len(attribute)))
	binary.NativeEndian.PutUint16(attribute[2:], diagMemory)
	f.Add(answer, false)
	f.Add(append(answer, answer...), true)
	f.Fuzz(func(t *testing.T, b []byte, tcp bool) {
		var c sockets
		f := c.addUDP
		if tcp {
			f = func(answer []byte) { c.addState(uint64(answer[diagAnswerState])) }
		}
		parseDiagnosis(b, f)
		if c.all > uint64(len(b)/diagAnswerSize) {
			t.Errorf("%d sockets in %d bytes", c.all, len(b))
		}
	})
}

func FuzzSocketsInUse(f *testing.F) {
	f.Add(fixture(f, v1Machine+"/28949/net/sockstat"))
	f.Add(fixture(f, v1Machine+"/28949/net/sockstat6"))
	f.Add([]byte("TCP: inuse 18446744073709551615 tw 1\nUDP: inuse\nUDP6: 1 2\nTCP6:"))
	f.Fuzz(func(t *testing.T, text []byte) {
		var once, twice inUse
		once.parse(text)
		twice.parse(text)
		twice.parse(text)
		if twice.tcp != 2*once.tcp || twice.udp != 2*once.udp {
			t.Errorf("%+v, and both times %+v", once, twice)
		}
		if once != (inUse{}) && !bytes.Contains(text, []byte("inuse")) && !bytes.Contains(text, []byte("tw")) {
			t.Errorf("%+v of %q", once, text)
		}
	})
}
