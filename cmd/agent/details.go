package main

import (
	"path/filepath"
	"time"

	"go.uber.org/zap"

	"github.com/swarmgauge/swarmgauge/proc"
)

// detailsInterval is the shortest time between two looks at the processes and sockets of a
// container.
const detailsInterval = 5 * time.Second

// details returns what reads processes, sockets and groups of resctrl, nil if no group of
// metrics that is on needs it.
func (o *options) details(fs *proc.FS, log *zap.Logger) *proc.Details {
	wanted := o.wanted()
	if !wanted.OfProcesses() && !wanted.OfSockets() && !wanted.OfGroups() {
		return nil
	}
	if wanted.Referenced {
		log.Warn("referenced memory is measured: the kernel looks at every page of every process for it, each time; leave referenced_memory in -disable_metrics if you don't need it")
	}
	return fs.NewDetails(wanted)
}

// wanted says what is to be read of processes, sockets and groups of resctrl.
func (o *options) wanted() proc.Wanted {
	groups, _ := o.groups() // was checked with the options
	wanted := proc.Wanted{
		Processes:   groups.Has("process"),
		Sched:       groups.Has("sched"),
		Tasks:       o.EnableLoadReader && groups.Has("cpuLoad"),
		Referenced:  groups.Has("referenced_memory"),
		TCP:         groups.Has("tcp"),
		UDP:         groups.Has("udp"),
		TCPCounters: groups.Has("advtcp"),
	}
	if groups.Has("resctrl") {
		wanted.Resctrl = filepath.Join(o.SysRoot, "fs/resctrl")
	}
	return wanted
}
