package cadvisor

import (
	"time"

	"github.com/swarmgauge/swarmgauge/metric"
)

// DerivedStats is cAdvisor's summary of a container.
type DerivedStats struct {
	Timestamp   time.Time        `json:"timestamp"`
	LatestUsage InstantUsage     `json:"latest_usage"`
	MinuteUsage PercentilesUsage `json:"minute_usage"`
	HourUsage   PercentilesUsage `json:"hour_usage"`
	DayUsage    PercentilesUsage `json:"day_usage"`
}

// InstantUsage is CPU in thousandths of a core and the working set in bytes.
type InstantUsage struct {
	CPU    uint64 `json:"cpu"`
	Memory uint64 `json:"memory"`
}

// PercentilesUsage tells how much of a time was measured, in percent, and what there was.
type PercentilesUsage struct {
	PercentComplete int         `json:"percent_complete"`
	CPU             Percentiles `json:"cpu"`
	Memory          Percentiles `json:"memory"`
}

// Percentiles are of CPU in thousandths of a core or of memory in bytes.
type Percentiles struct {
	Present    bool   `json:"present"`
	Mean       uint64 `json:"mean"`
	Std        uint64 `json:"std"`
	Max        uint64 `json:"max"`
	Fifty      uint64 `json:"fifty"`
	Ninety     uint64 `json:"ninety"`
	NinetyFive uint64 `json:"ninetyfive"`
	Count      uint64 `json:"count"`
}

// FsInfo is one filesystem of the machine in API v2's storage.
type FsInfo struct {
	Timestamp  time.Time `json:"timestamp"`
	Device     string    `json:"device"`
	Mountpoint string    `json:"mountpoint"`
	Capacity   uint64    `json:"capacity"`
	Available  uint64    `json:"available"`
	Usage      uint64    `json:"usage"`
	Labels     []string  `json:"labels"`
	Inodes     *uint64   `json:"inodes,omitempty"`
	InodesFree *uint64   `json:"inodes_free,omitempty"`
}

// Event is one thing that happened to a container.
type Event struct {
	ContainerName string    `json:"container_name"`
	Timestamp     time.Time `json:"timestamp"`
	EventType     string    `json:"event_type"`
	EventData     EventData `json:"event_data"`
}

// EventData depends on the type of an Event.
type EventData struct {
	OOM      *OOMData      `json:"oom,omitempty"`
	Deletion *DeletionData `json:"container_deletion,omitempty"`
}

// OOMData is of an oomKill. The process isn't known without the kernel's log: PID is 0 and
// ProcessName empty.
type OOMData struct {
	PID         int    `json:"pid"`
	ProcessName string `json:"process_name"`
	Constraint  string `json:"constraint"`
}

// DeletionData is of a containerDeletion; ExitCode is -1 where it isn't known.
type DeletionData struct {
	ExitCode int `json:"exit_code"`
}

// EventActions returns what can happen to a cgroup.
func EventActions() [4]metric.Action {
	return [...]metric.Action{metric.Create, metric.Destroy, metric.OOM, metric.OOMKill}
}

// EventType returns cAdvisor's word for one of the EventActions.
func EventType(a metric.Action) string {
	switch a {
	case metric.Create:
		return "containerCreation"
	case metric.Destroy:
		return "containerDeletion"
	case metric.OOM:
		return "oom"
	case metric.OOMKill:
		return "oomKill"
	}
	return ""
}
