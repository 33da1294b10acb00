package shipper

import (
	"strings"

	"github.com/swarmgauge/swarmgauge/metric"
)

// FieldType is the Elasticsearch type that a field is mapped to.
type FieldType string

// The types that our documents need, all of which plain Elasticsearch has from 7.17 on.
const (
	Keyword   FieldType = "keyword"
	Long      FieldType = "long"
	Float     FieldType = "float"
	Double    FieldType = "double"
	Date      FieldType = "date"
	Boolean   FieldType = "boolean"
	Flattened FieldType = "flattened"
	// Opaque is an object that is stored and neither parsed nor indexed.
	Opaque FieldType = "object"
)

// Field is one field that documents can have.
type Field struct {
	// Name is the full dotted name.
	Name string
	Type FieldType
	// Unit is the unit of a number: "bytes", "seconds", "count", "cores", "ratio" (0 to
	// 1, more where a limit can be exceeded) …; "" for what isn't a quantity.
	Unit string
	// Help is one sentence.
	Help string
	// Unindexed numbers can be aggregated and sorted by, but are not in the search index:
	// Elasticsearch 8 searches them more slowly, 7.17 not at all.
	Unindexed bool
}

// Fields returns every field that a document can have, those below container_stats
// included, in the order of documents and of the metric table.
func Fields() []Field {
	fields := append([]Field(nil), identityFields[:]...)
	for _, scope := range scopes {
		fields = append(fields, scope.fields()...)
	}
	for _, scope := range eachInterface {
		fields = append(fields, scope.fields()...)
	}
	fields = append(fields, derivedFields[:]...)
	fields = append(fields, swarmFields[:]...)
	fields = append(fields, agentFields[:]...)
	return append(fields, cadvisorFields()...)
}

// scope is one prefix under which metrics of the table appear in documents.
type scope struct {
	prefix string
	has    func(metric.ID) bool
}

// The scopes are the kinds of documents that show metrics.
var (
	containerScope  = scope{"container.", inContainer}
	hostScope       = scope{"host.", inHost}
	interfaceScope  = scope{"interface.", func(id metric.ID) bool { return id.Per() == metric.PerInterface }}
	deviceScope     = scope{"device.", func(id metric.ID) bool { return id.Per() == metric.PerDevice }}
	filesystemScope = scope{"filesystem.", func(id metric.ID) bool { return id.Per() == metric.PerFilesystem }}
	// lastMinuteScope has a name of its own, so that no sum over documents counts the
	// minute before a container's end twice.
	lastMinuteScope = scope{"last_minute.", inLastMinute}

	scopes = [...]scope{containerScope, hostScope, interfaceScope, deviceScope, filesystemScope, lastMinuteScope}
)

// inContainer tells whether documents of containers show id; numbers of interfaces,
// devices and kinds of sockets are shown summed.
func inContainer(id metric.ID) bool {
	switch id.Per() {
	case metric.PerContainer:
		return !isAverage(id)
	case metric.PerInterface, metric.PerSocket:
		return true
	case metric.PerDevice:
		return id <= metric.DiskDiscardOperations // the others exist for the node only
	}
	return false
}

// inLastMinute tells whether the minute before a container's end shows id: what is read
// in the background is too old for it.
func inLastMinute(id metric.ID) bool {
	return inContainer(id) && !isSlow(id) && id.Per() != metric.PerSocket
}

// inHost tells whether documents of the node show id.
func inHost(id metric.ID) bool {
	switch id.Per() {
	case metric.PerContainer:
		return !isAverage(id) && !isSlow(id)
	case metric.PerInterface, metric.PerDevice, metric.PerNode:
		return true
	}
	return false
}

// isSlow tells whether id is a number of a container that is read in the background.
func isSlow(id metric.ID) bool { return metric.Processes <= id && id <= metric.StorageAsOf }

// isAverage tells whether id is a moving average that the kernel computes of a pressure
// total which documents show: they would say the same twice, and average an average.
func isAverage(id metric.ID) bool {
	return strings.Contains(metric.Describe(id).Field, "_avg")
}

// fields returns the fields of the scope in the order of the table.
func (s *scope) fields() []Field {
	var fields []Field
	for id := range metric.ID(metric.NumIDs) {
		if !s.has(id) {
			continue
		}
		d := metric.Describe(id)
		typ := Long
		if d.Unit.PerShown() != 1 {
			typ = Double
		}
		fields = append(fields, Field{
			Name: s.prefix + d.Field, Type: typ, Unit: d.Unit.Shown(), Help: d.Help, Unindexed: true,
		})
	}
	return fields
}

// derived names one number that is computed from several of the table.
type derived uint8

const (
	containerCPUShare derived = iota
	containerCPUPeak
	containerCPULimit
	containerCPULimitTime
	containerCPULimitShare
	containerCPUThrottled
	containerMemoryShare
	containerMemoryLimitShare
	containerMemoryPeak
	hostCPUCores
	hostCPUShare
	hostCPUPeak
	hostMemoryShare
	hostMemoryPeak
	engineImages
	engineImageBytes
	engineImageReclaimable
	engineBuildCacheBytes
	engineBuildCacheReclaimable
	deviceBusyShare
	deviceWait
	filesystemShare
	filesystemInodesShare
	lastMinuteSeconds
	lastMinuteCPUPeak
	lastMinuteMemoryPeak

	numDerived
)

// derivedFields has one row per derived number. Where ECS has a field for it, the name
// and the meaning are those of ECS.
var derivedFields = [numDerived]Field{
	containerCPUShare:           {"container.cpu.usage", Float, "ratio", "CPU time used, as a share of all CPUs of the node (ECS).", false},
	containerCPUPeak:            {"container.cpu.peak_cores", Float, "cores", "Highest CPU use between two neighbouring samples of the interval.", false},
	containerCPULimit:           {"container.cpu.limit_cores", Float, "cores", "Quota divided by period; absent without a limit.", false},
	containerCPULimitTime:       {"container.cpu.limit_core_seconds", Double, "seconds", "CPU time that the limit allowed in the interval; absent without a limit.", true},
	containerCPULimitShare:      {"container.cpu.limit_usage", Float, "ratio", "CPU time used, as a share of what the limit allowed; absent without a limit.", false},
	containerCPUThrottled:       {"container.cpu.throttled_ratio", Float, "ratio", "Periods in which the limit held the container back, as a share of those in which it wanted to run; absent without a limit.", false},
	containerMemoryShare:        {"container.memory.usage", Float, "ratio", "Working set as a share of the limit, or of the node's memory without one (ECS).", false},
	containerMemoryLimitShare:   {"container.memory.limit_usage", Float, "ratio", "Working set as a share of the limit; absent without a limit.", false},
	containerMemoryPeak:         {"container.memory.peak_working_set_bytes", Long, "bytes", "Highest working set among the samples of the interval.", true},
	hostCPUCores:                {"host.cpu.cores", Long, "count", "Logical CPUs online.", true},
	hostCPUShare:                {"host.cpu.usage", Float, "ratio", "Share of time in which CPUs were neither idle nor waiting for IO (ECS).", false},
	hostCPUPeak:                 {"host.cpu.peak_cores", Float, "cores", "Highest CPU use between two neighbouring samples of the interval.", false},
	hostMemoryShare:             {"host.memory.usage", Float, "ratio", "Share of the memory that is not available to new work.", false},
	hostMemoryPeak:              {"host.memory.peak_working_set_bytes", Long, "bytes", "Highest working set of the root cgroup among the samples of the interval.", true},
	engineImages:                {"engine.images.count", Long, "count", "Images that the engine has; told by its socket, once an hour, as the numbers of its disk space are.", true},
	engineImageBytes:            {"engine.images.bytes", Long, "bytes", "Disk space of all images' layers, each counted once.", true},
	engineImageReclaimable:      {"engine.images.reclaimable_bytes", Long, "bytes", "Of that, what belongs to images alone that no container uses.", true},
	engineBuildCacheBytes:       {"engine.build_cache.bytes", Long, "bytes", "Disk space of the build cache.", true},
	engineBuildCacheReclaimable: {"engine.build_cache.reclaimable_bytes", Long, "bytes", "Of that, what no build uses.", true},
	deviceBusyShare:             {"device.disk.usage", Float, "ratio", "Share of time in which the device had operations under way.", false},
	deviceWait:                  {"device.disk.await_seconds", Double, "seconds", "Mean time that a read or write of the interval took; absent without any.", true},
	filesystemShare:             {"filesystem.usage", Float, "ratio", "Used space as a share of what is used and what an unprivileged process can still use, as df shows it.", false},
	filesystemInodesShare:       {"filesystem.inodes_usage", Float, "ratio", "Inodes in use as a share of all.", false},
	lastMinuteSeconds:           {"last_minute.seconds", Double, "seconds", "Time before the container's end that the numbers below last_minute cover: a minute, or its whole life.", true},
	lastMinuteCPUPeak:           {"last_minute.cpu.peak_cores", Float, "cores", "Highest CPU use between two neighbouring samples of that time.", false},
	lastMinuteMemoryPeak:        {"last_minute.memory.peak_working_set_bytes", Long, "bytes", "Highest working set among the samples of that time.", true},
}

// identityFields say whose numbers a document has, and of when.
var identityFields = [...]Field{
	{Name: "@timestamp", Type: Date, Help: "When the last sample of the interval was taken; when an event happened."},
	{Name: "timestamp", Type: Long, Unit: "microseconds", Help: "The same since the Unix epoch (cAdvisor).", Unindexed: true},
	{Name: "machine_name", Type: Keyword, Help: "Name of the node (cAdvisor)."},
	{Name: "container_Name", Type: Keyword, Help: "Name of the container, or path of the cgroup (cAdvisor)."},

	{Name: "event.dataset", Type: Keyword, Help: "Kind of document: swarmgauge.container, .container_device (of a container that used several devices in the interval), .node, .interface, .device, .filesystem, .service, .swarm_node, .task, .event, .gap or .agent, or .test, written by agent test-output."},
	{Name: "event.module", Type: Keyword, Help: "Always swarmgauge."},
	{Name: "event.kind", Type: Keyword, Help: "metric, or event for events and gaps."},
	{Name: "event.action", Type: Keyword, Help: "What happened to the container: start, die, oom, health_status, rename, update; to the node: clock_step; to a service: service_create, service_update, service_remove."},
	{Name: "clock.step_seconds", Type: Double, Unit: "seconds", Help: "By how much the node's clock was set, forward if positive (clock_step)."},
	{Name: "ecs.version", Type: Keyword, Help: "Version of the Elastic Common Schema whose names are used."},
	{Name: "agent.type", Type: Keyword, Help: "Always swarmgauge."},
	{Name: "agent.version", Type: Keyword, Help: "Version of the agent."},
	{Name: "agent.name", Type: Keyword, Help: "Name of the node that the agent runs on."},
	{Name: "agent.ephemeral_id", Type: Keyword, Help: "Id of this run of the agent."},

	{Name: "host.name", Type: Keyword, Help: "Name of the node."},
	{Name: "host.id", Type: Keyword, Help: "Machine id of the node (/etc/machine-id)."},
	{Name: "host.boot.id", Type: Keyword, Help: "Random id of this boot of the node."},
	{Name: "host.architecture", Type: Keyword, Help: "Architecture in Go's words."},
	{Name: "host.os.type", Type: Keyword, Help: "Always linux."},
	{Name: "host.os.full", Type: Keyword, Help: "Distribution and version; absent where the node's root isn't mounted (-host-root)."},
	{Name: "host.os.kernel", Type: Keyword, Help: "Release of the kernel."},

	{Name: "container.id", Type: Keyword, Help: "The runtime's id."},
	{Name: "container.name", Type: Keyword, Help: "The runtime's name; absent while it isn't known."},
	{Name: "container.runtime", Type: Keyword, Help: "docker, podman, containerd or crio; absent for a cgroup of no runtime."},
	{Name: "container.image.name", Type: Keyword, Help: "Image as it was asked for, without tag and digest."},
	{Name: "container.image.tag", Type: Keyword, Help: "Tag of the image as it was asked for."},
	{Name: "container.image.hash.all", Type: Keyword, Help: "Digests of the image: the one that was asked for, and its id."},
	{Name: "container.created", Type: Date, Help: "When the container was made."},
	{Name: "container.started", Type: Date, Help: "When the container was started last."},
	{Name: "container.instance", Type: Keyword, Help: "Inode number of the cgroup, which tells cgroups of the same path apart."},
	{Name: "container.restart_count", Type: Long, Unit: "count", Help: "Restarts by the runtime."},
	{Name: "container.state", Type: Keyword, Help: "The runtime's word: running, paused, restarting, exited."},
	{Name: "container.health", Type: Keyword, Help: "starting, healthy or unhealthy; absent without a health check."},
	{Name: "container.health_failing_streak", Type: Long, Unit: "count", Help: "Health checks in a row that have failed last; absent where the last one didn't, and where nothing tells."},
	{Name: "container.verdict", Type: Keyword, Help: "What is wrong with the container in the interval, by its numbers: see below; absent if nothing is."},
	{Name: "container.exit_code", Type: Long, Help: "Exit status of the container's first process; absent while it runs, and where nothing tells it."},
	{Name: "container.oom_killed", Type: Boolean, Help: "Whether the OOM killer ended the container; absent while it runs."},
	{Name: "container.unidentified", Type: Keyword, Help: "Why the container has no name."},

	{Name: "swarm.cluster.id", Type: Keyword, Help: "Id of the Swarm."},
	{Name: "swarm.node.id", Type: Keyword, Help: "Id of the Swarm node."},
	{Name: "swarm.node.name", Type: Keyword, Help: "Name of the Swarm node."},
	{Name: "swarm.stack", Type: Keyword, Help: "Stack that the service was deployed with."},
	{Name: "swarm.service.id", Type: Keyword, Help: "Id of the service."},
	{Name: "swarm.service.name", Type: Keyword, Help: "Name of the service."},
	{Name: "swarm.task.id", Type: Keyword, Help: "Id of the task."},
	{Name: "swarm.task.name", Type: Keyword, Help: "Name of the task."},
	{Name: "swarm.task.slot", Type: Long, Help: "Number of the replica; absent for a global service."},
	{Name: "labels", Type: Flattened, Help: "Labels of the container."},

	{Name: "sample.slot", Type: Long, Help: "Number of the interval since the Unix epoch, the same on all nodes: totals of gauges over containers are sum(x) / unique_count(sample.slot)."},
	{Name: "sample.interval_seconds", Type: Double, Unit: "seconds", Help: "Time between the first and the last sample, which the counters' increases cover; absent when there is no first one."},
	{Name: "sample.count", Type: Long, Unit: "count", Help: "Samples in the interval."},
	{Name: "sample.ended", Type: Boolean, Help: "Whether this is the container's last document."},

	{Name: "interface.name", Type: Keyword, Help: "Network interface."},
	{Name: "device.name", Type: Keyword, Help: "Block device."},
	{Name: "device.major", Type: Long, Help: "Major device number."},
	{Name: "device.minor", Type: Long, Help: "Minor device number."},
	{Name: "filesystem.device", Type: Keyword, Help: "What is mounted."},
	{Name: "filesystem.mount_point", Type: Keyword, Help: "Where it is mounted."},
	{Name: "filesystem.type", Type: Keyword, Help: "The kernel's name of the filesystem's type."},

	{Name: "gap.reason", Type: Keyword, Help: "Why documents were lost (budget, memory, behind, damaged, refused), or sweeps missed (stopped, overrun, suspended)."},
	{Name: "gap.documents", Type: Long, Unit: "count", Help: "Documents that were lost."},
	{Name: "gap.gaps", Type: Long, Unit: "count", Help: "Gap documents of earlier runs whose file was damaged, and with it what they told of, in batches that come before theirs."},
	{Name: "gap.sweeps", Type: Long, Unit: "count", Help: "Sweeps over all containers that were not made."},
	{Name: "gap.first_slot", Type: Long, Help: "First interval (sample.slot) of which documents were lost or sweeps missed."},
	{Name: "gap.last_slot", Type: Long, Help: "Last interval of which documents were lost or sweeps missed."},
	{Name: "gap.first_batch", Type: Long, Help: "Sequence number of the first batch that was lost."},
	{Name: "gap.last_batch", Type: Long, Help: "Sequence number of the last batch that was lost."},
	{Name: "gap.epoch", Type: Keyword, Help: "Epoch of the spool that the sequence numbers belong to, 16 hexadecimal digits."},
}

// cadvisorFields returns the fields below container_stats: the numbers that dashboards
// made for cAdvisor's own documents use, as cAdvisor has them (counters are totals).
// Arrays of objects would lose which value belongs to which device, and a hundred socket
// counters are mostly zero: these are stored, not indexed.
func cadvisorFields() []Field {
	fields := []Field{{Name: "container_stats.timestamp", Type: Date, Help: "When the sample was taken."}}
	for _, name := range strings.Fields(`
		cpu.usage.total cpu.usage.user cpu.usage.system
		cpu.cfs.periods cpu.cfs.throttled_periods cpu.cfs.throttled_time cpu.cfs.bursts_periods cpu.cfs.burst_time
		cpu.schedstat.run_time cpu.schedstat.runqueue_time cpu.schedstat.run_periods
		cpu.load_average cpu.load_d_average
		cpu.psi.full.total cpu.psi.some.total
		diskio.psi.full.total diskio.psi.some.total
		memory.usage memory.max_usage memory.cache memory.rss memory.swap memory.mapped_file memory.working_set
		memory.total_active_file memory.total_inactive_file memory.file_dirty memory.file_writeback
		memory.pgscan memory.pgsteal memory.workingset_refault_file memory.workingset_refault_anon
		memory.failcnt memory.kernel
		memory.container_data.pgfault memory.container_data.pgmajfault
		memory.hierarchical_data.pgfault memory.hierarchical_data.pgmajfault
		memory.psi.full.total memory.psi.some.total memory.events.high memory.events.max
		network.rx_bytes network.rx_packets network.rx_errors network.rx_dropped
		network.tx_bytes network.tx_packets network.tx_errors network.tx_dropped
		task_stats.nr_sleeping task_stats.nr_running task_stats.nr_stopped task_stats.nr_uninterruptible task_stats.nr_io_wait
		processes.process_count processes.fd_count processes.socket_count processes.threads_current processes.threads_max
		referenced_memory cpuset.memory_migrate oom_events`) {
		fields = append(fields, Field{Name: "container_stats." + name, Type: Long, Help: "As in cAdvisor.", Unindexed: true})
	}
	for _, stall := range []string{"cpu", "diskio", "memory"} {
		for _, line := range []string{"full", "some"} {
			for _, average := range []string{"avg10", "avg60", "avg300"} {
				fields = append(fields, Field{
					Name: "container_stats." + stall + ".psi." + line + "." + average,
					Type: Float, Help: "As in cAdvisor.", Unindexed: true,
				})
			}
		}
	}
	for _, name := range []string{"network.name", "health.status"} {
		fields = append(fields, Field{Name: "container_stats." + name, Type: Keyword, Help: "As in cAdvisor."})
	}
	for _, name := range strings.Fields(`
		diskio.io_service_bytes diskio.io_serviced hugetlb
		memory.container_data.numa_stats memory.hierarchical_data.numa_stats
		network.interfaces network.tcp network.tcp6 network.udp network.udp6 network.tcp_advanced
		processes.ulimits filesystem resctrl cpu.usage.per_cpu_usage`) {
		fields = append(fields, Field{Name: "container_stats." + name, Type: Opaque, Help: "As in cAdvisor; stored, not indexed."})
	}
	return fields
}
