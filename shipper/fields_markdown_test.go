package shipper

import (
	"fmt"
	"slices"
	"strings"

	"github.com/swarmgauge/swarmgauge/cadvisor"
	"github.com/swarmgauge/swarmgauge/metric"
)

// metricsMarkdown returns the text of METRICS.md, made from the metric table and Fields.
func metricsMarkdown() []byte {
	var b strings.Builder
	b.WriteString(`# Metrics

Generated from the table in ` + "`metric/table.go`" + ` and the fields in ` + "`shipper/fields.go`" + `; don't edit.

A number that was not read is absent from a document, never zero. A **counter**'s field is its
increase over the document's interval (` + "`sample.interval_seconds`" + `), so that sums are right under any
grouping and restarts make no spikes; it is absent when the counter started anew or the beginning
of the interval isn't known. A **gauge**'s field is its value at the end of the interval.
Numbers above 2^63-1 are left out.

Documents of a container carry the numbers per container under ` + "`container.`" + `, and those per
interface and per device summed up, under the same prefix; documents of the node carry them under
` + "`host.`" + ` together with the numbers per node. In sums over devices, devices that are made of
others (dm-*, md*, loop*) are left out where there are others, so that nothing counts twice.
Of a container with several interfaces, the bytes of eth0 to eth3 are told apart as well, under
` + "`container.interfaces.`" + `; one that uses several devices in an interval has a document for each, under
` + "`device.`" + `; its sockets, where they are counted, are summed over IPv4 and IPv6.
The node's interfaces, devices and filesystems have documents of their own, under
` + "`interface.`, `device.` and `filesystem.`" + `. A container that shares a network namespace with
another one, or with the node, has no network numbers: they are counted there.

Pressure averages (avg10, avg60, avg300) and numbers per CPU are in cAdvisor's ` + "`container_stats`" + ` only.
`)
	for per := range metric.Per(metric.NumPer) {
		fmt.Fprintf(&b, "\n## Per %s\n\n", per)
		b.WriteString("| Field | Kind | Stored in | Shown in | Meaning |\n|---|---|---|---|---|\n")
		for id := per.First(); id < per.First()+metric.ID(per.Width()); id++ {
			d := metric.Describe(id)
			fmt.Fprintf(&b, "| %s | %s | %s | %s | %s |\n", fieldNames(id, d.Field), d.Kind, d.Unit, d.Unit.Shown(), d.Help)
		}
	}
	b.WriteString("\n## Derived\n\n| Field | Type | Unit | Meaning |\n|---|---|---|---|\n")
	for _, f := range derivedFields {
		fmt.Fprintf(&b, "| `%s` | %s | %s | %s |\n", f.Name, f.Type, f.Unit, f.Help)
	}
	b.WriteString("\n## Identity\n\n| Field | Type | Unit | Meaning |\n|---|---|---|---|\n")
	for _, f := range identityFields {
		fmt.Fprintf(&b, "| `%s` | %s | %s | %s |\n", f.Name, f.Type, f.Unit, f.Help)
	}
	b.WriteString(`
## Verdicts

` + "`container.verdict`" + ` lists what is wrong with a container in the interval. A verdict that refers to a
number which isn't known is not given.

| Verdict | Given when |
|---|---|
`)
	for _, v := range containerVerdicts {
		fmt.Fprintf(&b, "| `%s` | %s |\n", v.word, v.when)
	}
	b.WriteString(`
## The Swarm

The agent that runs on the leader of the Swarm's managers, and has the engine's socket, writes the state
of the whole Swarm: in each shipping interval a document of each service (` + "`event.dataset: swarmgauge.service`" + `),
of each node (` + "`swarmgauge.swarm_node`" + `) and of each task that should run and doesn't (` + "`swarmgauge.task`" + `): one
that has an error, or hasn't come further for 20 s; and, where no task runs in its place, the last one that
failed, was rejected or ended by itself. There are 100 documents of tasks of one service and 1,000 in all at most; the numbers
of the service's document count all. An interval in which the leader didn't answer has none of these documents: a
service that isn't there isn't one with nothing running. ` + "`host.*` and `agent.*`" + ` say who wrote a document, and
` + "`swarm.node.*`" + ` what it is about. Beside these fields they have the identity of services, tasks and nodes,
` + "`container.image.*`" + ` of the service's or the task's, and of a task that had a container its id and exit status.

What happens to services are events: ` + "`event.action: service_create`, `service_update` (its specification was" + `
changed: a deployment, another number of replicas, a rollback) and ` + "`service_remove`" + `.

| Field | Type | Unit | Meaning |
|---|---|---|---|
`)
	for _, f := range swarmFields {
		fmt.Fprintf(&b, "| `%s` | %s | %s | %s |\n", f.Name, f.Type, f.Unit, f.Help)
	}
	b.WriteString(`
## The agent

Each batch, which is what one ` + "`_bulk`" + ` request carries and one file of the spool holds, ends with a
document of the agent itself (` + "`event.dataset: swarmgauge.agent`" + `): one in each shipping interval, one more
for each 5,000 documents or 5 MiB of it, and one when the agent ends (` + "`agent.batch.final`" + `). It is a
manifest: ` + "`agent.batch.documents`" + ` is the number of documents in the batch, itself included, so that is how
many documents Elasticsearch must have whose _id has this epoch and sequence number; ` + "`agent.documents.sampled`" + `
is the sum of them over the batches of this run up to and including this one. Gap documents are in no count but
` + "`agent.documents.gaps`" + `, and their batches have no document of the agent. Of everything in the spool,

    agent.documents.sampled + .found = .indexed + .pending + .dead + the sum of .dropped

These counters are totals since the start of the run. ` + "`agent audit`" + ` checks all of this. What
` + "`-storage_driver=stdout` and `agent collect json`" + ` print ends with one, too; nothing is delivered there, so
it has ` + "`agent.documents.sampled`" + ` alone.

| Field | Type | Unit | Meaning |
|---|---|---|---|
`)
	for _, f := range agentFields {
		fmt.Fprintf(&b, "| `%s` | %s | %s | %s |\n", f.Name, f.Type, f.Unit, f.Help)
	}
	b.WriteString(`
## cAdvisor's numbers

` + "`container_stats`" + ` has cAdvisor's v1 layout, whole. What is not read there prints zero, as it does in
cAdvisor; its counters are totals. These can be aggregated:

`)
	for _, f := range cadvisorFields() {
		if f.Type != Opaque {
			fmt.Fprintf(&b, "- `%s` (%s)\n", f.Name, f.Type)
		}
	}
	b.WriteString(`
## Prometheus

` + "`/metrics`" + ` shows the newest sample of each container and, with ` + "`id=\"/\"`" + `, of the node, under
cAdvisor's names: labels ` + "`id`, `name`, `image`" + ` and ` + "`container_label_<key>`" + `, the time of the sample
behind the value. Groups are those of ` + "`-enable_metrics` and `-disable_metrics`" + `. Variables of the
environment whose keys begin with what ` + "`-env_metadata_whitelist`" + ` lists are labels
` + "`container_env_<key>`" + `; of no other variable anything is kept. With ` + "`?type=docker` or `?type=podman`" + ` there
are the containers of that runtime alone.

The format is text, whatever Prometheus prefers, as it is with cAdvisor; who takes nothing but
OpenMetrics gets that.

| Family | Type | Group | Help |
|---|---|---|---|
`)
	all, err := cadvisor.ParseGroups("", "")
	if err != nil {
		panic(err) // nothing is named
	}
	for _, f := range cadvisor.Families(all) {
		fmt.Fprintf(&b, "| `%s` | %s | %s | %s |\n", f.Name, f.Kind, f.Group, f.Help)
	}
	b.WriteString(`
Differs from cAdvisor:

| Family | Here | Because |
|---|---|---|
| all, of keys that make the same label | the key that is the label's name, else the first in order | cAdvisor takes one or the other |
| all | a number that was not read is absent | cAdvisor shows zero, which nobody measured |
| all | samples one interval apart, on slots of the wall clock | cAdvisor's interval is its option times one to two, at random |
| all | the labels ` + "`name`" + ` and ` + "`container_label_*`" + ` as they are now | cAdvisor takes them once, and shows the name from before a rename |
| all | named with any image store, also when the engine comes after the agent, and Podman's and containerd's containers without their sockets | cAdvisor loses such containers, or their names, until it is started again |
| ` + "`container_fs_reads_*`, `_writes_*`, `_sector_*`" + ` of a container | its own reads and writes | cAdvisor shows the counters of the whole disk |
| ` + "`container_cpu_load_*`, `container_tasks_state`" + ` | absent without ` + "`-enable_load_reader`" + `; with it from the states of tasks, on cgroup v2, too | cAdvisor shows zero, and asks the kernel in a way that cgroup v2 hasn't got |
| ` + "`container_tasks_state`" + `, state iowaiting | absent | the kernel doesn't tell; cAdvisor shows zero |
| ` + "`container_cpu_schedstat_*`" + ` | of all threads, those that ended while the agent ran included; after a restart of the agent without them, so that it may fall then | cAdvisor counts the first thread of each process, and its numbers fall with each that ends |
| ` + "`container_processes`, `container_file_descriptors`, `container_sockets`" + ` | with cgroups below, of the node all | cAdvisor counts the cgroup alone, where a systemd in a container has nothing |
| ` + "`container_network_tcp*`, `_udp*`, `_advance_tcp*`" + ` of a shared namespace | absent | they are counted where the namespace was made |
| ` + "`container_network_advance_tcp_stats_total`" + ` | without what the kernel has no longer | cAdvisor shows zero |
| ` + "`container_fs_*`" + ` of the node | each filesystem once, each disk | cAdvisor adds the mounts of every container, and leaves out NVMe, SD cards and md |
| ` + "`container_fs_*_seconds_total`" + ` | seconds | cAdvisor divides milliseconds by 10^9 |
| ` + "`container_fs_inodes_total`, `_free`" + ` of a container | those of the filesystem that its layer lies on | cAdvisor shows the inodes that the layer uses, and that none is free |
| ` + "`container_fs_usage_bytes`, `_limit_bytes`" + ` of a container with Docker's containerd image store | layer and log, the filesystem's size | cAdvisor has none of its filesystem |
| ` + "`filesystem[].available`, `has_inodes`, `inodes`, `inodes_free`" + ` of a container in ` + "`container_stats`" + ` | the filesystem's | cAdvisor shows 0, false, the layer's and 0 |
| ` + "`filesystem[].reads_completed` … `weighted_io_time`" + ` of a container in ` + "`container_stats`" + ` | its own reads and writes, and else 0 | cAdvisor shows the counters of the whole disk |
| ` + "`container_memory_failcnt`, `container_memory_kernel_usage`" + ` on cgroup v2 | memory.events max, memory.stat kernel | cAdvisor shows zero |
| ` + "`container_memory_failures_total`" + ` | with child cgroups, in both scopes | cAdvisor leaves them out on cgroup v1 |
| ` + "`container_memory_file_dirty_bytes`, `_writeback_bytes`" + ` on cgroup v1 | memory.stat dirty, writeback | cAdvisor looks for v2's words and shows zero |
| ` + "`container_spec_cpu_shares`" + ` on cgroup v2 | the shares of which today's runtimes make the weight, 1024 without any | cAdvisor inverts the formula of runc before 1.3.2, and shows 2597 without any |
| ` + "`container_start_time_seconds`" + ` | the last start, at once, and none before it | cAdvisor before 0.57 shows the creation; of containerd the time of the cgroup |
| ` + "`container_spec_memory_reservation_limit_bytes`" + ` on cgroup v2 | memory.low | cAdvisor reads memory.min, which Docker doesn't set |
| ` + "`container_spec_memory_swap_limit_bytes`" + ` | memory and swap together | cAdvisor shows swap alone on cgroup v2 |
| ` + "`container_memory_usage_bytes`, `_working_set_bytes`" + ` of the node on cgroup v2 | what isn't free, what isn't available | cAdvisor leaves out the kernel's memory |
| ` + "`container_cpu_usage_seconds_total`" + ` of the node on cgroup v2 | one for each CPU, from /proc/stat | cAdvisor shows all CPUs together, because v2 doesn't tell them apart |
| ` + "`container_blkio_device_usage_total`" + ` on cgroup v2 | with the operation Discard | cAdvisor leaves out what is discarded |
| ` + "`container_memory_failcnt`, `_max_usage_bytes`, `_events_*_total`, `container_oom_events_total`, `container_threads*`, `container_spec_cpu_*`" + ` of the node on cgroup v2 | absent | v2's root has no such files; cAdvisor shows zeros |
| ` + "`container_hugetlb_max_usage_bytes`, `container_memory_migrate`" + ` on cgroup v2 | absent | the kernel has no such number; cAdvisor shows zero |
| ` + "`container_memory_numa_pages`" + ` on cgroup v2 | from memory.numa_stat, always with child cgroups | cAdvisor doesn't read it |
| ` + "`container_network_*`" + ` of a shared namespace | absent | they are counted where the namespace was made |
| ` + "`container_oom_events_total`" + ` | from the cgroup | cAdvisor counts what it finds in the kernel's log |
| ` + "`event_data.oom`" + ` of the event oomKill | pid 0 and no process_name; constraint from the cgroup's limit | the kernel names the process in its log alone, which cAdvisor reads |
| ` + "`container_pressure_*`" + ` on a hybrid machine | from the cgroup2 mount | cAdvisor shows zero |
| ` + "`cadvisor_version_info`" + ` | dockerVersion is the engine's, if its socket is there; osVersion the node's where the node's root is mounted (-host-root), else empty | cAdvisor's dockerVersion is empty, its osVersion that of its own image |
| ` + "`container_memory_bandwidth_*`, `container_llc_occupancy_bytes`" + ` (group resctrl) of a container | those of its own group, absent without one | cAdvisor makes a monitoring group on the host for each container; the agent only reads |
| the same, label node_id | the cache's number | cAdvisor counts the caches, which is the same where no number is left out |
| the same of the node | all control groups together; what was counted before a group was removed stays in it | cAdvisor shows the default group, from which it moves the containers |
| ` + "`machine_cpu_physical_cores`" + ` | cores of all sockets | cAdvisor counts different core ids, which repeat from socket to socket |
| ` + "`machine_*`" + ` | without a time | cAdvisor's is up to five minutes old, by which they vanish |
`)
	return []byte(b.String())
}

// fieldNames returns the fields under which documents show id.
func fieldNames(id metric.ID, field string) string {
	var list []string
	for _, scope := range slices.Concat(scopes[:], eachInterface[:]) {
		if scope.has(id) {
			list = append(list, "`"+scope.prefix+field+"`")
		}
	}
	if list == nil {
		return field + " (not in documents)"
	}
	return strings.Join(list, ", ")
}
