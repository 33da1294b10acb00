package cadvisor

import (
	"fmt"
	"slices"
	"strings"
)

// groups are the words by which cAdvisor's flags -enable_metrics and -disable_metrics name
// families of metrics.
var groups = [...]string{
	"advtcp", "app", "cpu", "cpuLoad", "cpu_topology", "cpuset", "disk", "diskIO", "hugetlb", "memory",
	"memory_numa", "network", "oom_event", "percpu", "perf_event", "pressure", "process",
	"referenced_memory", "resctrl", "sched", "tcp", "udp",
}

// retiredGroups are words of older cAdvisors, which have no families any more.
var retiredGroups = [...]string{"accelerator"}

// DisabledByDefault is the value that cAdvisor's -disable_metrics has if it isn't given.
const DisabledByDefault = "advtcp,cpu_topology,cpuset,hugetlb,memory_numa,process,referenced_memory,resctrl,sched,tcp,udp"

// Groups is a set of groups of metrics.
type Groups uint32

// UnknownGroupError is a word in a list of groups that names none.
type UnknownGroupError struct {
	Name   string
	Groups []string // all that there are; nobody may change them
}

func (e *UnknownGroupError) Error() string {
	return fmt.Sprintf("there is no group of metrics %q; the groups are %s", e.Name, strings.Join(e.Groups, ", "))
}

// ParseGroups returns the groups that are on: those of enable if there are any, else all
// but those of disable. Both are lists with commas, as cAdvisor's flags are. The error is an
// UnknownGroupError.
func ParseGroups(enable, disable string) (Groups, error) {
	if enable != "" {
		return parseGroups(enable)
	}
	off, err := parseGroups(disable)
	return (1<<len(groups) - 1) &^ off, err
}

func parseGroups(list string) (set Groups, err error) {
	for name := range strings.SplitSeq(list, ",") {
		if name == "" {
			continue
		}
		if slices.Contains(retiredGroups[:], name) {
			continue
		}
		i := slices.Index(groups[:], name)
		if i < 0 {
			return 0, &UnknownGroupError{Name: name, Groups: groups[:]}
		}
		set |= 1 << i
	}
	return set, nil
}

// Retired returns the groups in a list that cAdvisor itself has given up: nothing belongs to
// them.
func Retired(list string) (names []string) {
	for name := range strings.SplitSeq(list, ",") {
		if slices.Contains(retiredGroups[:], name) {
			names = append(names, name)
		}
	}
	return names
}

// Has tells whether the group called name is on; "" always is.
func (s Groups) Has(name string) bool {
	return name == "" || s&(1<<slices.Index(groups[:], name)) != 0
}
