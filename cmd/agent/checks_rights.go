package main

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"

	"golang.org/x/sys/unix"

	"github.com/swarmgauge/swarmgauge/cgroup"
	"github.com/swarmgauge/swarmgauge/shipper"
)

// ofCapabilities compares what options make use of with what there is.
func (c *checks) ofCapabilities() (all []finding) {
	has, err := effective()
	if err != nil {
		return []finding{{Check: "capabilities", Status: shipper.Degraded, Text: sentence(err.Error()) + "."}}
	}
	for _, use := range c.o.capabilityUses() {
		missing := (use.needs &^ has).names()
		if len(missing) == 0 {
			continue
		}
		f := finding{Check: "capabilities", Status: shipper.Degraded, mend: mend{capabilities: missing, onHost: "run it as root, or with AmbientCapabilities=CAP_" + strings.Join(missing, " CAP_")}}
		if use.essential {
			f.Status = shipper.Fault
		}
		f.Text = fmt.Sprintf("%s is on, and the agent lacks %s: %s.", use.option, strings.Join(missing, " and "), use.without)
		all = append(all, f)
	}
	if len(all) == 0 {
		text := "No capability is needed."
		if needs := c.o.capabilityUses(); len(needs) > 0 {
			text = "The capabilities that the groups of metrics need are there."
		}
		all = []finding{{Check: "capabilities", Status: shipper.OK, Text: text}}
	}
	return all
}

const (
	// leastMemory is what the agent takes with a hundred containers, and what waits in
	// memory while the disk fails; enoughMemory leaves room for a crowd of containers and
	// the kernel's buffers. The stack gives twice as much.
	leastMemory  = 40 << 20
	enoughMemory = 64 << 20
	memoryToGive = "128M"
)

// ofMemory looks at the agent's own limit.
func (c *checks) ofMemory() finding {
	f := finding{Check: "memory", Status: shipper.OK, Text: "The agent has no memory limit."}
	limit, limited, err := cgroup.OwnMemoryLimit("/proc")
	if limited {
		f.Text = fmt.Sprintf("The agent's memory limit is %s.", size(limit))
	}
	switch {
	case err != nil:
		f.Status, f.Text = shipper.Degraded, sentence(err.Error())+"."
	case limited && limit < enoughMemory:
		f.Status, f.mend = shipper.Degraded, mend{memory: memoryToGive, onHost: "MemoryMax=" + memoryToGive}
		f.Text = fmt.Sprintf("The agent's memory limit is %s: many containers, or a disk that fails, take more.", size(limit))
		if limit < leastMemory {
			f.Status = shipper.Fault
			f.Text = fmt.Sprintf("The agent's memory limit is %s: it takes 20 MiB with a hundred containers, and 16 MiB while the disk fails, so that the kernel will kill it.", size(limit))
		}
	}
	return f
}

// descriptorsToGive is the limit of open files that is proposed.
const descriptorsToGive = 16384

// ofDescriptors looks at the limit of open files.
func (c *checks) ofDescriptors() finding {
	d := c.descriptors
	f := finding{Check: "open files", Status: shipper.OK, Text: fmt.Sprintf("The limit of open files is enough: %d of %d are kept for cgroups.", d.Kept, max(d.Max, 0))}
	room := max(descriptorsToGive, roundUp(4*max(d.Max, 0), 1024))
	more := mend{descriptors: room, onHost: fmt.Sprintf("ulimit -n %d", room)}
	switch {
	case c.cgroups == nil:
		f.Text = "Cgroups aren't there to be opened."
	case c.refused:
		f.Status, f.mend = shipper.Fault, more
		f.Text = "Some containers have no network numbers, because the limit of open files is too low."
	case d.Reopening > 0:
		f.Status, f.mend = shipper.Degraded, more
		f.Text = fmt.Sprintf("%d cgroups have their files opened at each reading, because %d may be kept open: they cost four times the CPU time.", d.Reopening, max(d.Max, 0))
	}
	return f
}

func roundUp(n, to int) int { return (n + to - 1) / to * to }

// ofSpool looks at the directory where documents wait.
func (c *checks) ofSpool() finding {
	f := finding{Check: "spool", Status: shipper.OK}
	if c.o.StorageDriver == "stdout" {
		f.Text = "No spool is needed: documents go to standard output."
		return f
	}
	dir := c.o.SpoolDir
	volume := mend{mounts: []bind{{source: "swarmgauge-spool", target: dir, writable: true}}}
	site, err := shipper.LookAtSpool(dir)
	source, known := c.where.source(dir)
	switch {
	case err != nil:
		f.Status = shipper.Fault
		f.Text = fmt.Sprintf("Documents wait in memory (16 MiB), and not in %s: %s.", dir, firstOf(err))
		f.mend = volume
		f.mend.onHost = fmt.Sprintf("mkdir -p %[1]s && chown %[2]d %[1]s && chmod 700 %[1]s", dir, os.Geteuid())
		if known && !errors.Is(err, unix.EROFS) {
			// What is there may be worth something.
			f.mend = mend{elsewhere: fmt.Sprintf("chown %d %[2]s && chmod 700 %[2]s", os.Geteuid(), shellWord(source)), at: onNode}
		} else if known {
			f.mend.mounts[0].source = mountSource(source)
		}
	case len(site.Doubts) > 0:
		f.Status, f.Text = shipper.Degraded, sentence(strings.Join(site.Doubts, "; "))+"."
		if c.where.kind != onHost && !known {
			f.mend = volume
		}
	default:
		f.Text = fmt.Sprintf("%s can be written to, and %s are free.", dir, size(uint64(site.FreeBytes)))
		if site.FreeBytes == 0 {
			f.Text = dir + " is made when the agent starts."
		}
	}
	if site.InUse {
		f.Text += " An agent that runs has it, which is as it should be."
	}
	return f
}

// mountSource returns a volume's name for its directory, and another directory as it is.
func mountSource(dir string) string {
	if volumeMount.MatchString(dir) {
		return filepath.Base(strings.TrimSuffix(dir, "/_data"))
	}
	return dir
}
