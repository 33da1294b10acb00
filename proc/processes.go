package proc

import (
	"bufio"
	"bytes"
	"context"
	"fmt"
	"io"
	"os"
	"path"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/prometheus/procfs"
	"golang.org/x/sys/unix"

	"github.com/swarmgauge/swarmgauge/metric"
)

// ProcessesOptions say what helps to name what processes have as numbers.
type ProcessesOptions struct {
	// HostRoot is where the node's root filesystem is mounted, whose etc/passwd names users;
	// "" where it isn't.
	HostRoot string
	// Cgroups are paths of cgroups that are known. An agent with a cgroup namespace of its own
	// sees only the end of the paths of processes that are near to its own cgroup.
	Cgroups []string
}

// Processes returns all processes of the node, sorted by their ids: what ps shows. It reads
// three files of each (BenchmarkProcesses), so it is for who asks, not for a loop. It ends
// early, with the context's error, when ctx does; a process that ends meanwhile is left out.
func (fs *FS) Processes(ctx context.Context, o ProcessesOptions) ([]metric.Process, error) {
	table, err := procfs.NewFS(fs.root)
	if err != nil {
		return nil, err
	}
	all, err := table.AllProcs()
	if err != nil {
		return nil, err
	}
	uptime, err := fs.uptime()
	if err != nil {
		return nil, err
	}
	now, users := time.Now(), userNames(o.HostRoot)
	list := make([]metric.Process, 0, len(all))
	for _, of := range all {
		if err := ctx.Err(); err != nil {
			return nil, err
		}
		stat, err := of.Stat()
		if err != nil {
			continue // it ended
		}
		status, err := of.NewStatus()
		if err != nil {
			continue
		}
		p := metric.Process{
			PID: of.PID, Parent: stat.PPID, Command: stat.Comm, State: state(&stat, status.VmLck),
			User:    strconv.FormatUint(status.UIDs[effective], 10),
			Elapsed: max(uptime-time.Duration(stat.Starttime)*nsPerTick, 0),
			CPUTime: time.Duration(stat.UTime+stat.STime) * nsPerTick,
			// The same numbers in stat may be behind, by some pages for each thread.
			RSSBytes: status.VmRSS, VirtualBytes: status.VmSize,
			FDs: fs.countFDs(of.PID), CPU: int(stat.Processor),
		}
		p.Started = now.Add(-p.Elapsed)
		if name, known := users[p.User]; known {
			p.User = name
		}
		if text, err := fs.read(pidDir(of.PID) + "/cgroup"); err == nil {
			p.Cgroup = cgroupOf(text)
		}
		list = append(list, p)
	}
	slices.SortFunc(list, func(a, b metric.Process) int { return a.PID - b.PID })
	completeCgroups(list, o.Cgroups)
	return list, nil
}

// effective is the place of the effective user among the four of a process.
const effective = 1

// uptime returns the time since boot, in which the kernel says when a process began.
func (fs *FS) uptime() (time.Duration, error) {
	text, err := fs.read("uptime")
	if err != nil {
		return 0, err
	}
	field, _ := cutField(text)
	v, ok := hundredths(field)
	if !ok {
		return 0, fmt.Errorf("%s: can't make sense of %q", fs.path("uptime"), clip(text))
	}
	return time.Duration(v) * (time.Second / 100), nil
}

// state returns ps's STAT (ps(1), "PROCESS STATE CODES").
func state(stat *procfs.ProcStat, locked uint64) string {
	s := []byte(stat.State)
	add := func(is bool, flag byte) {
		if is {
			s = append(s, flag)
		}
	}
	add(stat.Nice < 0, '<')
	add(stat.Nice > 0, 'N')
	add(locked > 0, 'L')
	add(stat.Session == stat.PID, 's')
	add(stat.NumThreads > 1, 'l')
	add(stat.PGRP == stat.TPGID, '+')
	return string(s)
}

// countFDs returns the number of open files of a process, -1 where it may not be known.
// Since Linux 6.2 the kernel tells it as the directory's size, which needs no right to look
// into it.
func (fs *FS) countFDs(pid int) int {
	name := pidDir(pid) + "/fd"
	fd, err := fs.open(name, unix.O_PATH|unix.O_DIRECTORY)
	if err != nil {
		return -1
	}
	var st unix.Stat_t
	err = unix.Fstat(fd, &st)
	unix.Close(fd)
	if err == nil && st.Size > 0 {
		return int(st.Size)
	}
	if fd, err = fs.open(name, unix.O_RDONLY|unix.O_DIRECTORY); err != nil {
		return -1
	}
	dir := os.NewFile(uintptr(fd), name)
	defer dir.Close()
	names, err := dir.Readdirnames(-1)
	if err != nil {
		return -1
	}
	return len(names)
}

// userNames returns the names of users by their numbers, from etc/passwd of the system at
// root; nil if there is none. Symbolic links there lead nowhere outside of it.
func userNames(root string) map[string]string {
	if root == "" {
		return nil
	}
	dir, err := os.OpenRoot(root)
	if err != nil {
		return nil
	}
	defer dir.Close()
	// A name that waits for somebody to write into it must not be waited for.
	file, err := dir.OpenFile("etc/passwd", os.O_RDONLY|unix.O_NONBLOCK, 0)
	if err != nil {
		return nil
	}
	defer file.Close()
	const most = 4 << 20
	return parsePasswd(io.LimitReader(file, most))
}

// parsePasswd returns the names by numbers of the lines of a passwd(5):
//
//	www-data:x:33:33:www-data:/var/www:/usr/sbin/nologin
//
// Of several names of a number the first one counts, as for the C library.
func parsePasswd(r io.Reader) map[string]string {
	names := map[string]string{}
	for lines := bufio.NewScanner(r); lines.Scan(); {
		fields := strings.SplitN(lines.Text(), ":", 4)
		if len(fields) < 4 || fields[0] == "" {
			continue
		}
		if _, err := strconv.ParseUint(fields[2], 10, 32); err != nil {
			continue
		}
		if _, known := names[fields[2]]; !known {
			names[fields[2]] = fields[0]
		}
	}
	return names
}

// cgroupOf returns the path of the cpu controller in a process's cgroup file, cgroup v2's
// where there is none.
func cgroupOf(text []byte) string {
	unified := ""
	for controllers, path := range cgroupPaths(text) {
		if len(controllers) == 0 {
			unified = string(path)
		}
		for name := range bytes.SplitSeq(controllers, []byte(",")) {
			if string(name) == "cpu" {
				return string(path)
			}
		}
	}
	return unified
}

// completeCgroups makes the paths of processes absolute where they are seen from a cgroup
// namespace, whose root is "/" (cgroup_namespaces(7)). With the root at /docker/a,
//
//	/            is in the agent's own cgroup
//	/../b        is /docker/b
//	/../..       is the root
//	/../../init  is /init
//
// Some process is in a cgroup that has nothing in common with the agent's: it tells how deep
// the root of the namespace is. What is missing of a path comes from the cgroups that are
// known: the only one that is as deep, and ends alike.
func completeCgroups(list []metric.Process, known []string) {
	deep := 0
	for i := range list {
		up, _ := cutParents(list[i].Cgroup)
		deep = max(deep, up)
	}
	if deep == 0 {
		return // no namespace, or one whose root is the root
	}
	complete := map[string]string{"": ""}
	for i := range list {
		seen := list[i].Cgroup
		whole, done := complete[seen]
		if !done {
			whole = completeCgroup(seen, deep, known)
			complete[seen] = whole
		}
		list[i].Cgroup = whole
	}
}

func completeCgroup(seen string, deep int, known []string) string {
	up, rest := cutParents(seen)
	if up == deep {
		return path.Join("/", rest)
	}
	if rest == "" {
		return "" // it may be any that is as deep
	}
	found := ""
	for _, one := range known {
		if strings.HasSuffix(one, "/"+rest) && strings.Count(one, "/") == deep-up+strings.Count(rest, "/")+1 {
			if found != "" {
				return seen
			}
			found = one
		}
	}
	if found == "" {
		return seen
	}
	return found
}

// cutParents returns how many times a path begins with "/..", and what comes behind, without
// a slash before it.
func cutParents(seen string) (up int, rest string) {
	rest = strings.TrimPrefix(seen, "/")
	for {
		after, ok := strings.CutPrefix(rest, "..")
		if !ok || after != "" && after[0] != '/' {
			return up, rest
		}
		up, rest = up+1, strings.TrimPrefix(after, "/")
	}
}
