package proc

import (
	"slices"
	"sync"
	"time"

	"golang.org/x/sys/unix"

	"github.com/swarmgauge/swarmgauge/metric"
)

// Wanted says what Details reads.
type Wanted struct {
	// Processes are their number, their descriptors and sockets, and the first one's
	// limit of open files.
	Processes bool
	// Sched is what the scheduler counts of each task.
	Sched bool
	// Tasks are the states of tasks, and the load that follows from them.
	Tasks bool
	// Referenced is the memory that was referenced. It makes the kernel look at every
	// page of every process.
	Referenced bool
	// TCP and UDP are sockets by their states, TCPCounters what TCP has counted.
	TCP, UDP, TCPCounters bool
	// Resctrl is the folder of resctrl, whose groups are read; "" for none of it.
	Resctrl string
}

// OfProcesses tells whether anything is wanted that Processes.Read reads.
func (w *Wanted) OfProcesses() bool { return w.Processes || w.Sched || w.Tasks || w.Referenced }

// OfSockets tells whether anything is wanted that Details.ReadSockets reads.
func (w *Wanted) OfSockets() bool { return w.TCP || w.UDP || w.TCPCounters }

// OfGroups tells whether what groups of resctrl have counted is wanted.
func (w *Wanted) OfGroups() bool { return w.Resctrl != "" }

// Details reads what has to be looked at process by process and socket by socket: for the
// background, because it takes a thousand times as long as a cgroup's files. It belongs to
// one goroutine at a time, Notes excepted.
type Details struct {
	fs     *FS
	wanted Wanted
	// sizedFD tells that the size of a process's folder fd is the number of its
	// descriptors (Linux 6.2).
	sizedFD bool
	// counters finds a counter of TCP by its name in lower case.
	counters map[string]metric.ID
	// forget are the numbers of a namespace's sockets.
	forget  metric.Set
	resctrl resctrl

	buf     []byte
	dirents []byte

	mu    sync.Mutex
	notes []string // guarded by mu
}

// NewDetails returns what reads the wanted.
func (fs *FS) NewDetails(wanted Wanted) *Details {
	d := &Details{
		fs: fs, wanted: wanted, counters: tcpCounters(),
		buf: make([]byte, detailsBuffer), dirents: make([]byte, direntsBuffer),
	}
	for _, per := range [...]metric.Per{metric.PerSocket, metric.PerTCP} {
		for id := per.First(); id.Per() == per; id++ {
			d.forget.Add(id)
		}
	}
	var st unix.Stat_t
	d.sizedFD = unix.Fstatat(fs.dir, "self/fd", &st, 0) == nil && st.Size > 0
	return d
}

const (
	// detailsBuffer holds what the kernel gives of a socket dump at once.
	detailsBuffer = 64 << 10
	// direntsBuffer holds about 500 names.
	direntsBuffer = 16 << 10
)

// Wanted returns what d reads.
func (d *Details) Wanted() Wanted { return d.wanted }

// Notes returns what could not be read, and what would help, one sentence each. They grow
// while d is used. Any goroutine may ask; the slice is the caller's.
func (d *Details) Notes() []string {
	d.mu.Lock()
	defer d.mu.Unlock()
	return slices.Clone(d.notes)
}

func (d *Details) note(text string) {
	d.mu.Lock()
	defer d.mu.Unlock()
	if !slices.Contains(d.notes, text) {
		d.notes = append(d.notes, text)
	}
}

// openat opens a file or folder below dir.
func openat(dir int, name string, flags int) (int, error) {
	for {
		fd, err := unix.Openat(dir, name, flags|unix.O_NOFOLLOW|unix.O_CLOEXEC, 0)
		if err != unix.EINTR {
			return fd, err
		}
	}
}

// text reads a file below dir. It is valid until d reads the next one.
func (d *Details) text(dir int, name string) ([]byte, error) {
	fd, err := openat(dir, name, unix.O_RDONLY)
	if err != nil {
		return nil, err
	}
	defer unix.Close(fd)
	text, err := readAll(fd, d.buf)
	d.buf = text // which may have grown
	return text, err
}

// list calls f with each name in the folder called name below dir, until f returns false.
func (d *Details) list(dir int, name string, f func(folder int, name string) bool) error {
	fd, err := openat(dir, name, unix.O_RDONLY|unix.O_DIRECTORY)
	if err != nil {
		return err
	}
	defer unix.Close(fd)
	var names []string
	for {
		n, err := unix.ReadDirent(fd, d.dirents)
		switch {
		case err == unix.EINTR:
			continue
		case err != nil:
			return err
		case n == 0:
			return nil
		}
		_, _, names = unix.ParseDirent(d.dirents[:n], -1, names[:0])
		for _, entry := range names {
			if !f(fd, entry) {
				return nil
			}
		}
	}
}

// Processes reads the processes of one container, and keeps what has to be known from one
// reading to the next: what tasks that ended have used, and the load. It belongs to its
// Details' goroutine.
type Processes struct {
	d     *Details
	id    string
	sched schedule
	load  load
}

// NewProcesses returns a reader of the processes of the container with that id, or of others
// if it is "".
func (d *Details) NewProcesses(id string) *Processes {
	return &Processes{d: d, id: id, sched: schedule{tasks: map[int]schedTask{}}}
}

// Read puts what is wanted of the processes pids, the first of them first, into s; now is
// the time. The pids are of the PID namespace of the procfs. A process that has ended, also
// if another one has got its number, or can't be read, takes nothing away from the others.
// What can't be known is absent.
func (p *Processes) Read(pids []int, now time.Time, s *metric.Sample) {
	d, w := p.d, &p.d.wanted
	var files descriptors
	var states taskStates
	var referenced referencedMemory
	p.sched.begin()
	for i, pid := range pids {
		dir, err := d.fs.openProcess(pid, p.id)
		if err != nil {
			continue // it has ended
		}
		if w.Processes {
			if i == 0 {
				d.putLimits(dir, s)
			}
			files.count(d, dir)
		}
		if w.Sched || w.Tasks {
			d.readTasks(dir, &p.sched, &states)
		}
		if w.Referenced {
			referenced.add(d, dir)
		}
		unix.Close(dir)
	}
	if w.Processes {
		s.Put(metric.Processes, uint64(len(pids)))
		files.put(d, s)
	}
	if w.Sched {
		p.sched.end(s)
	}
	if w.Tasks {
		states.put(s)
		p.load.add(&states, now)
		p.load.put(s)
	}
	if w.Referenced {
		referenced.put(d, s)
	}
}
