package proc

import (
	"bytes"
	"encoding/binary"
	"errors"
	"runtime"
	"strconv"

	"golang.org/x/sys/unix"

	"github.com/swarmgauge/swarmgauge/metric"
)

// socketKinds are the rows of sockets: their name, which is that of the file in net/, too.
var socketKinds = [...]struct {
	name string
	tcp  bool
}{{"tcp", true}, {"tcp6", true}, {"udp", false}, {"udp6", false}}

// numStates is one more than the highest state that is counted.
const numStates = int(metric.TCPClosing-metric.TCPEstablished) + 2

// sockets counts the sockets of one kind.
type sockets struct {
	states                               [numStates]uint64 // TCP's, by the kernel's number
	all                                  uint64
	dropped, receiveQueue, transmitQueue uint64
}

// ReadSockets puts what is wanted of the sockets in the network namespace of the process
// pid of the container with that id, "" for any process, into s, and forgets what s has of
// that.
//
// The kernel tells sockets one by one, and looks for those of TCP through the connections
// of all namespaces, in a table that is as large as the machine. Its socket diagnosis
// (sock_diag(7)) does so once, and answers in numbers; the files net/tcp and net/tcp6 take
// five to eight times as long (BenchmarkSockets). But the diagnosis is of the namespace
// that asks, and so needs the right to go there; where that isn't given, the files are
// read. A namespace that has no sockets of TCP says so in a file that costs next to nothing.
func (d *Details) ReadSockets(pid int, id string, s *metric.Sample) {
	s.Forget(&d.forget)
	dir, err := d.fs.openProcess(pid, id)
	if err != nil {
		return // it has ended
	}
	defer unix.Close(dir)
	if d.wanted.TCP || d.wanted.UDP {
		if used, err := d.socketsInUse(dir); err == nil {
			d.countSockets(dir, &used, s)
		}
	}
	if d.wanted.TCPCounters {
		for _, file := range [...]struct{ name, line string }{{"net/snmp", "Tcp:"}, {"net/netstat", "TcpExt:"}} {
			if text, err := d.text(dir, file.name); err == nil {
				parseTCPCounters(text, file.line, d.counters, s)
			}
		}
	}
}

// countSockets counts the sockets of all kinds that are wanted.
func (d *Details) countSockets(dir int, used *inUse, s *metric.Sample) {
	tcp, udp := d.wanted.TCP && used.tcp > 0, d.wanted.UDP && used.udp > 0
	var counts [len(socketKinds)]sockets
	tcpKnown, udpKnown := !tcp, !udp
	if tcp || udp {
		fd, err := openDiagnosis(dir)
		switch {
		case err == nil:
			// A kernel may lack the diagnosis of a protocol.
			if tcp {
				tcpKnown = d.diagnoseTCP(fd, &counts[0], &counts[1]) == nil
			}
			if udp {
				udpKnown = d.diagnoseUDP(fd, &counts[2], &counts[3]) == nil
			}
			unix.Close(fd)
			if !tcpKnown || !udpKnown {
				d.note("sockets are counted the slow way, from /proc/<pid>/net: for the fast one the kernel needs its modules tcp_diag and udp_diag")
			}
		case !gone(err):
			d.note("sockets are counted the slow way, from /proc/<pid>/net: for the fast one give the agent the capabilities SYS_ADMIN and SYS_PTRACE")
		}
	}
	for i, kind := range socketKinds {
		known, wanted := udpKnown, d.wanted.UDP
		if kind.tcp {
			known, wanted = tcpKnown, d.wanted.TCP
		}
		if !wanted {
			continue
		}
		if !known {
			counts[i] = sockets{}
			known = d.readSockets(dir, "net/"+kind.name, kind.tcp, &counts[i]) == nil
		}
		if known {
			counts[i].put(kind.name, kind.tcp, s)
		}
	}
}

// inUse is how many sockets a namespace has, of both IP versions; those in the state
// TIME_WAIT, which have no process, are among TCP's.
type inUse struct{ tcp, udp uint64 }

// socketsInUse reads how many there are. A kernel without IPv6 has no sockstat6.
func (d *Details) socketsInUse(dir int) (used inUse, err error) {
	text, err := d.text(dir, "net/sockstat")
	if err != nil {
		return used, err
	}
	used.parse(text)
	if text, err = d.text(dir, "net/sockstat6"); err == nil {
		used.parse(text)
	}
	return used, nil
}

// parse adds what net/sockstat or net/sockstat6 (net/ipv4/proc.c) says: names and numbers
// by turns. Of TCP, what is orphaned and what takes memory is that of all namespaces.
//
//	TCP: inuse 4 orphan 0 tw 7 alloc 5 mem 171
//	UDP6: inuse 0
func (u *inUse) parse(b []byte) {
	for len(b) > 0 {
		line, rest, _ := cutLine(b)
		b = rest
		protocol, fields := cutField(line)
		var to *uint64
		switch string(protocol) {
		case "TCP:", "TCP6:":
			to = &u.tcp
		case "UDP:", "UDP6:":
			to = &u.udp
		default:
			continue
		}
		for len(fields) > 0 {
			var name []byte
			var v uint64
			var ok bool
			name, fields = cutField(fields)
			if v, fields, ok = cutNumber(fields); !ok {
				break
			}
			if string(name) == "inuse" || string(name) == "tw" {
				*to += v
			}
		}
	}
}

// put puts the numbers into the row of that name.
func (c *sockets) put(name string, tcp bool, s *metric.Sample) {
	row := s.RowByName(metric.PerSocket, []byte(name))
	if row < 0 {
		row = s.AddRow(metric.PerSocket, metric.Key{Name: name})
	}
	if tcp {
		for state := 1; state < numStates; state++ {
			s.PutRow(metric.TCPEstablished+metric.ID(state-1), row, c.states[state])
		}
		return
	}
	s.PutRow(metric.UDPListen, row, c.all)
	s.PutRow(metric.UDPDropped, row, c.dropped)
	s.PutRow(metric.UDPReceiveQueued, row, c.receiveQueue)
	s.PutRow(metric.UDPTransmitQueued, row, c.transmitQueue)
}

// maxSocketText bounds what is read of one file: about 100,000 sockets.
const maxSocketText = 16 << 20

// readSockets counts the sockets in a file of net/, by pieces of d.buf.
func (d *Details) readSockets(dir int, name string, tcp bool, c *sockets) error {
	fd, err := openat(dir, name, unix.O_RDONLY)
	if err != nil {
		return err // tcp6 of a kernel without IPv6
	}
	defer unix.Close(fd)
	buf := d.buf[:cap(d.buf)]
	have, total := 0, 0
	for {
		n, err := unix.Read(fd, buf[have:])
		switch {
		case err == unix.EINTR:
			continue
		case err != nil:
			return err
		case n == 0:
			return nil
		}
		have += n
		if total += n; total > maxSocketText {
			d.note("sockets are more than can be counted from text: give the agent the capabilities SYS_ADMIN and SYS_PTRACE")
			return unix.EFBIG
		}
		whole := bytes.LastIndexByte(buf[:have], '\n') + 1
		if whole == 0 && have == len(buf) {
			return unix.EFBIG // no line is that long
		}
		parseSockets(buf[:whole], tcp, c)
		have = copy(buf, buf[whole:have])
	}
}

// Columns of net/tcp and net/udp, divided by blanks (net/ipv4/tcp_ipv4.c, net/ipv4/udp.c).
const (
	columnState = 3
	columnQueue = 4
	columnDrops = 12
)

// parseSockets counts the sockets in whole lines of net/tcp or net/udp, or their sisters
// of IPv6. The heading may be among them. Numbers are hexadecimal but for the drops.
//
//	 sl  local_address rem_address   st tx_queue rx_queue tr tm->when retrnsmt   uid  timeout inode ref pointer drops
//	0: 0100007F:1F90 00000000:0000 0A 00000000:00000000 00:00000000 00000000     0        0 1582 2 000000002d6c10ed 0
func parseSockets(b []byte, tcp bool, c *sockets) (bad []byte) {
	for len(b) > 0 {
		line, rest, whole := cutLine(b)
		b = rest
		column, fields := cutField(line)
		if string(column) == "sl" {
			continue
		}
		if !whole || !c.addLine(fields, tcp) {
			bad = firstOf(bad, line)
		}
	}
	return bad
}

// addLine counts the socket of a line, without its first column.
func (c *sockets) addLine(fields []byte, tcp bool) bool {
	var field, drops, queues []byte
	var state uint64
	last := columnDrops
	if tcp {
		last = columnState
	}
	for i := 1; i <= last; i++ {
		field, fields = cutField(fields)
		switch i {
		case columnState:
			var ok bool
			if state, ok = hexadecimal(field); !ok || state == 0 {
				return false
			}
		case columnQueue:
			queues = field
		case columnDrops:
			drops = field
		}
	}
	if tcp {
		c.addState(state)
		return true
	}
	transmit, receive, _ := bytes.Cut(queues, []byte(":"))
	t, ok1 := hexadecimal(transmit)
	r, ok2 := hexadecimal(receive)
	dropped, ok3 := number(drops)
	if !ok1 || !ok2 || !ok3 {
		return false
	}
	c.all++
	c.transmitQueue += t
	c.receiveQueue += r
	c.dropped += dropped
	return true
}

// addState counts a socket of TCP. The kernel's numbers of what is no state of RFC 9293
// (of a request that isn't accepted yet, of a socket that is bound and no more) are not
// shown by the files, and asked for by nobody.
func (c *sockets) addState(state uint64) {
	if state < uint64(numStates) {
		c.states[state]++
	}
	c.all++
}

// hexadecimal parses a number of at most 32 bits, as the files have them.
func hexadecimal(b []byte) (v uint64, ok bool) {
	if len(b) > 8 {
		return 0, false
	}
	for _, c := range b {
		switch {
		case '0' <= c && c <= '9':
			c -= '0'
		case 'A' <= c && c <= 'F':
			c -= 'A' - 10
		case 'a' <= c && c <= 'f':
			c -= 'a' - 10
		default:
			return 0, false
		}
		v = v<<4 | uint64(c)
	}
	return v, len(b) > 0
}

// openDiagnosis returns a socket that asks about the network namespace of the process whose
// folder dir is, and belongs to the caller.
//
// The folder ns has links that lead into the kernel and nowhere else, so this one may be
// followed. The socket keeps the namespace alive, and therefore is closed after each use.
func openDiagnosis(dir int) (fd int, err error) {
	folder, err := openat(dir, "ns", unix.O_PATH|unix.O_DIRECTORY)
	if err != nil {
		return -1, err
	}
	defer unix.Close(folder)
	namespace, err := unix.Openat(folder, "net", unix.O_RDONLY|unix.O_CLOEXEC, 0)
	if err != nil {
		return -1, err
	}
	defer unix.Close(namespace)
	fd = -1
	onThreadOfItsOwn(func() {
		if err = unix.Setns(namespace, unix.CLONE_NEWNET); err == nil {
			fd, err = unix.Socket(unix.AF_NETLINK, unix.SOCK_DGRAM|unix.SOCK_CLOEXEC, unix.NETLINK_SOCK_DIAG)
		}
	})
	if err != nil {
		return -1, err
	}
	// The kernel answers while it is asked; but if it doesn't, this must not hang.
	limit := unix.Timeval{Sec: 2}
	if err := unix.SetsockoptTimeval(fd, unix.SOL_SOCKET, unix.SO_RCVTIMEO, &limit); err != nil {
		unix.Close(fd)
		return -1, err
	}
	return fd, nil
}

// onThreadOfItsOwn runs f on a thread that ends with it: what f does to the thread, as to
// enter a namespace, nobody else sees. It must not be the process's first thread, which
// doesn't end, and whose namespaces procfs shows as those of the process.
func onThreadOfItsOwn(f func()) {
	done := make(chan struct{})
	go func() {
		defer close(done)
		runtime.LockOSThread()
		if unix.Gettid() == unix.Getpid() {
			defer runtime.UnlockOSThread()
			onThreadOfItsOwn(f) // another one, as this one is taken
			return
		}
		f() // the thread stays locked, so that it ends with the goroutine
	}()
	<-done
}

// The messages of the diagnosis (linux/inet_diag.h, linux/sock_diag.h), after a header of
// netlink each.
const (
	diagTCP          = 18 // TCPDIAG_GETSOCK
	diagByFamily     = 20 // SOCK_DIAG_BY_FAMILY
	diagRequestSize  = 56 // inet_diag_req_v2
	diagTCPSize      = 60 // inet_diag_req
	diagAnswerSize   = 72 // inet_diag_msg
	diagAnswerState  = 1
	diagAnswerQueues = 56
	diagMemory       = 7 // INET_DIAG_SKMEMINFO
	memoryDrops      = 8 // SK_MEMINFO_DROPS

	allStates = 1<<numStates - 1
)

var errDiagnosis = errors.New("an answer of the socket diagnosis makes no sense")

// diagnoseTCP counts the sockets of TCP. It asks by the older of two messages, which is
// answered for both IP versions together, so that the connections are gone through once.
func (d *Details) diagnoseTCP(fd int, four, six *sockets) error {
	request := newDiagnosis(diagTCP, diagTCPSize)
	body := request[unix.SizeofNlMsghdr:]
	body[0] = unix.AF_INET
	binary.NativeEndian.PutUint32(body[diagTCPSize-8:], allStates)
	return d.diagnose(fd, request, func(answer []byte) {
		of := four
		if answer[0] == unix.AF_INET6 {
			of = six
		}
		of.addState(uint64(answer[diagAnswerState]))
	})
}

// diagnoseUDP counts the sockets of UDP.
func (d *Details) diagnoseUDP(fd int, four, six *sockets) error {
	for _, of := range [...]struct {
		family uint8
		count  *sockets
	}{{unix.AF_INET, four}, {unix.AF_INET6, six}} {
		request := newDiagnosis(diagByFamily, diagRequestSize)
		body := request[unix.SizeofNlMsghdr:]
		body[0], body[1], body[2] = of.family, unix.IPPROTO_UDP, 1<<(diagMemory-1)
		binary.NativeEndian.PutUint32(body[4:], allStates)
		if err := d.diagnose(fd, request, of.count.addUDP); err != nil {
			return err
		}
	}
	return nil
}

// newDiagnosis returns a request for everything, with room for size bytes after its header.
func newDiagnosis(kind uint16, size int) []byte {
	request := make([]byte, unix.SizeofNlMsghdr+size)
	binary.NativeEndian.PutUint32(request[0:], uint32(len(request)))
	binary.NativeEndian.PutUint16(request[4:], kind)
	binary.NativeEndian.PutUint16(request[6:], unix.NLM_F_REQUEST|unix.NLM_F_DUMP)
	return request
}

// diagnose asks, and calls f with each socket's inet_diag_msg and its attributes.
func (d *Details) diagnose(fd int, request []byte, f func(answer []byte)) error {
	if err := unix.Sendto(fd, request, 0, &unix.SockaddrNetlink{Family: unix.AF_NETLINK}); err != nil {
		return err
	}
	for {
		n, _, err := unix.Recvfrom(fd, d.buf[:cap(d.buf)], 0)
		if err == unix.EINTR {
			continue
		}
		if err != nil {
			return err
		}
		if done, err := parseDiagnosis(d.buf[:n], f); done || err != nil {
			return err
		}
	}
}

// parseDiagnosis calls f with each socket of one datagram, and tells whether it was the last.
func parseDiagnosis(b []byte, f func(answer []byte)) (done bool, err error) {
	for len(b) >= unix.SizeofNlMsghdr {
		length := int(binary.NativeEndian.Uint32(b))
		if length < unix.SizeofNlMsghdr || length > len(b) {
			return false, errDiagnosis
		}
		body := b[unix.SizeofNlMsghdr:length]
		switch binary.NativeEndian.Uint16(b[4:]) {
		case unix.NLMSG_DONE:
			return true, nil
		case unix.NLMSG_ERROR:
			if len(body) < 4 {
				return false, errDiagnosis
			}
			return false, unix.Errno(-int32(binary.NativeEndian.Uint32(body)))
		case diagTCP, diagByFamily:
			if len(body) < diagAnswerSize {
				return false, errDiagnosis
			}
			f(body)
		}
		b = b[min(len(b), align4(length)):]
	}
	return false, nil
}

// addUDP counts a socket of UDP.
func (c *sockets) addUDP(b []byte) {
	c.all++
	c.receiveQueue += uint64(binary.NativeEndian.Uint32(b[diagAnswerQueues:]))
	c.transmitQueue += uint64(binary.NativeEndian.Uint32(b[diagAnswerQueues+4:]))
	const head = 4 // of an attribute: length and type
	for b = b[diagAnswerSize:]; len(b) >= head; {
		length := int(binary.NativeEndian.Uint16(b))
		if length < head || length > len(b) {
			return
		}
		if memory := b[head:length]; binary.NativeEndian.Uint16(b[2:]) == diagMemory && len(memory) >= 4*(memoryDrops+1) {
			c.dropped += uint64(binary.NativeEndian.Uint32(memory[4*memoryDrops:]))
		}
		b = b[min(len(b), align4(length)):]
	}
}

func align4(n int) int { return (n + 3) &^ 3 }

// tcpCounters returns the counters of TCP by their names in lower case, in which the
// kernel's and cAdvisor's names are the same.
func tcpCounters() map[string]metric.ID {
	byName := make(map[string]metric.ID, metric.NumTCPCounters)
	for i, name := range metric.TCPCounters {
		byName[string(bytes.ToLower([]byte(name)))] = metric.TCPCounter + metric.ID(i)
	}
	return byName
}

// parseTCPCounters parses the lines of net/snmp or net/netstat (net/ipv4/proc.c) that begin
// with prefix: one with names, then one with as many numbers. Names that aren't known are
// passed over. MaxConn is -1 where there is no limit, and is put as the same bits.
//
//	Tcp: RtoAlgorithm RtoMin RtoMax MaxConn ActiveOpens …
//	Tcp: 1 200 120000 -1 4023 …
func parseTCPCounters(b []byte, prefix string, byName map[string]metric.ID, s *metric.Sample) (bad []byte) {
	var lower [64]byte
	var names []byte
	for len(b) > 0 {
		line, rest, whole := cutLine(b)
		b = rest
		fields, ok := bytes.CutPrefix(line, []byte(prefix))
		switch {
		case !whole:
			bad = firstOf(bad, line)
			continue
		case !ok:
			continue
		case names == nil:
			names = fields
			continue
		}
		values := fields
		for {
			var name, value []byte
			name, names = cutField(names)
			value, values = cutField(values)
			if len(name) == 0 && len(value) == 0 {
				break
			}
			v, ok := signed(value)
			if !ok || len(name) == 0 {
				bad = firstOf(bad, line)
				break
			}
			if id, known := byName[string(appendLower(lower[:0], name))]; known {
				s.Put(id, v)
			}
		}
		names = nil
	}
	return bad
}

func appendLower(dst, name []byte) []byte {
	for _, c := range name {
		if 'A' <= c && c <= 'Z' {
			c += 'a' - 'A'
		}
		dst = append(dst, c)
	}
	return dst
}

// signed parses a decimal number that may be below zero, and returns its bits.
func signed(b []byte) (v uint64, ok bool) {
	if digits, minus := bytes.CutPrefix(b, []byte("-")); minus {
		v, err := strconv.ParseInt(string(b), 10, 64)
		return uint64(v), err == nil && len(digits) > 0
	}
	return number(b)
}
