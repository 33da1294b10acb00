package cadvisor

import (
	"fmt"
	"time"

	"github.com/swarmgauge/swarmgauge/metric"
)

// ProcessInfo is cAdvisor's v2 description of a process: columns of ps. RSS and VirtualSize
// are in bytes.
type ProcessInfo struct {
	User          string  `json:"user"`
	PID           int     `json:"pid"`
	Parent        int     `json:"parent_pid"`
	StartTime     string  `json:"start_time"`
	PercentCPU    float64 `json:"percent_cpu"`
	PercentMemory float64 `json:"percent_mem"`
	RSS           uint64  `json:"rss"`
	VirtualSize   uint64  `json:"virtual_size"`
	Status        string  `json:"status"`
	RunningTime   string  `json:"running_time"`
	CgroupPath    string  `json:"cgroup_path"`
	Cmd           string  `json:"cmd"`
	FDCount       int     `json:"fd_count"`
	PSR           int     `json:"psr"`
}

// NewProcesses returns those of the processes that are in the cgroup at path itself, without
// the path. For the root they are all, each with its own. The node has memoryBytes; now, in
// its zone, is when the processes were listed. It is never nil.
func NewProcesses(all []metric.Process, path string, memoryBytes uint64, now time.Time) []ProcessInfo {
	list := []ProcessInfo{}
	for i := range all {
		p := &all[i]
		if path != metric.Root && p.Cgroup != path {
			continue
		}
		info := ProcessInfo{
			User: p.User, PID: p.PID, Parent: p.Parent, Status: p.State, Cmd: p.Command,
			StartTime:     startTime(p.Started.In(now.Location()), now),
			RunningTime:   runningTime(p.CPUTime),
			PercentCPU:    percent(uint64(p.CPUTime/time.Millisecond), uint64(p.Elapsed/time.Second*1000)),
			PercentMemory: percent(p.RSSBytes, memoryBytes),
			RSS:           p.RSSBytes,
			VirtualSize:   p.VirtualBytes,
			FDCount:       max(p.FDs, 0),
			PSR:           p.CPU,
		}
		if path == metric.Root {
			info.CgroupPath = p.Cgroup
		}
		list = append(list, info)
	}
	return list
}

// startTime returns ps's STIME: the time of today, the day of this year, or the year.
func startTime(started, now time.Time) string {
	switch {
	case started.Year() != now.Year():
		return started.Format("2006")
	case started.YearDay() != now.YearDay():
		return started.Format("Jan02")
	}
	return started.Format("15:04")
}

// runningTime returns ps's TIME, "[days-]hh:mm:ss".
func runningTime(d time.Duration) string {
	const day = 24 * time.Hour
	clock := fmt.Sprintf("%02d:%02d:%02d", d%day/time.Hour, d%time.Hour/time.Minute, d%time.Minute/time.Second)
	if d < day {
		return clock
	}
	return fmt.Sprintf("%d-%s", d/day, clock)
}

// percent returns part in percent of whole as ps does, cut off behind one decimal; 0 where
// the whole is nothing.
func percent(part, whole uint64) float64 {
	if whole == 0 {
		return 0
	}
	const perCent, tenths = 100, 10
	return float64(part*perCent*tenths/whole) / tenths
}
