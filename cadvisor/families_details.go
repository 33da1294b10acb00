package cadvisor

import (
	"strings"

	"github.com/swarmgauge/swarmgauge/metric"
)

// detailFamilies are the families of processes, sockets and groups of resctrl. Their groups
// are off by default, but for cpuLoad, whose numbers are there with the load reader.
func detailFamilies() []Family {
	const counter, gauge = metric.Counter, metric.Gauge
	one := func(id metric.ID) []Number { return []Number{{ID: id}} }
	return []Family{
		{Name: "container_cpu_load_average_10s", Help: "Value of container cpu load average over the last 10 seconds.", Kind: gauge, Group: "cpuLoad", Of: asStored(metric.LoadAverage)},
		{Name: "container_cpu_load_d_average_10s", Help: "Value of container cpu load.d average over the last 10 seconds.", Kind: gauge, Group: "cpuLoad", Of: asStored(metric.LoadUninterruptible)},
		{Name: "container_cpu_schedstat_run_periods_total", Help: "Number of times processes of the cgroup have run on the cpu", Kind: counter, Group: "sched", Numbers: one(metric.SchedTimeslices)},
		{Name: "container_cpu_schedstat_run_seconds_total", Help: "Time duration the processes of the container have run on the CPU.", Kind: counter, Group: "sched", Numbers: one(metric.SchedRunTime)},
		{Name: "container_cpu_schedstat_runqueue_seconds_total", Help: "Time duration processes of the container have been waiting on a runqueue.", Kind: counter, Group: "sched", Numbers: one(metric.SchedWaitTime)},
		{Name: "container_file_descriptors", Help: "Number of open file descriptors for the container.", Kind: gauge, Group: "process", Numbers: one(metric.FileDescriptors)},
		{Name: "container_llc_occupancy_bytes", Help: "Last level cache usage statistics for container counted with RDT Memory Bandwidth Monitoring (MBM).", Kind: gauge, Group: "resctrl", Numbers: one(metric.CacheOccupancy)},
		{Name: "container_memory_bandwidth_bytes", Help: "Total memory bandwidth usage statistics for container counted with RDT Memory Bandwidth Monitoring (MBM).", Kind: gauge, Group: "resctrl", Numbers: one(metric.MemoryBandwidth)},
		{Name: "container_memory_bandwidth_local_bytes", Help: "Local memory bandwidth usage statistics for container counted with RDT Memory Bandwidth Monitoring (MBM).", Kind: gauge, Group: "resctrl", Numbers: one(metric.MemoryBandwidthLocal)},
		{Name: "container_network_advance_tcp_stats_total", Help: "advance tcp connections statistic for container", Kind: gauge, Group: "advtcp", Numbers: tcpCounters()},
		{Name: "container_network_tcp6_usage_total", Help: "tcp6 connection usage statistic for container", Kind: gauge, Group: "tcp", Row: "tcp6", Numbers: tcpStates()},
		{Name: "container_network_tcp_usage_total", Help: "tcp connection usage statistic for container", Kind: gauge, Group: "tcp", Row: "tcp", Numbers: tcpStates()},
		{Name: "container_network_udp6_usage_total", Help: "udp6 connection usage statistic for container", Kind: gauge, Group: "udp", Row: "udp6", Numbers: udpStates()},
		{Name: "container_network_udp_usage_total", Help: "udp connection usage statistic for container", Kind: gauge, Group: "udp", Row: "udp", Numbers: udpStates()},
		{Name: "container_processes", Help: "Number of processes running inside the container.", Kind: gauge, Group: "process", Numbers: one(metric.Processes)},
		{Name: "container_referenced_bytes", Help: "Container referenced bytes during last measurements cycle", Kind: gauge, Group: "referenced_memory", Numbers: one(metric.MemoryReferenced)},
		{Name: "container_sockets", Help: "Number of open sockets for the container.", Kind: gauge, Group: "process", Numbers: one(metric.Sockets)},
		{Name: "container_tasks_state", Help: "Number of tasks in given state", Kind: gauge, Group: "cpuLoad", Numbers: []Number{
			{ID: metric.TasksIOWait, Labels: `,state="iowaiting"`},
			{ID: metric.TasksRunning, Labels: `,state="running"`},
			{ID: metric.TasksSleeping, Labels: `,state="sleeping"`},
			{ID: metric.TasksStopped, Labels: `,state="stopped"`},
			{ID: metric.TasksUninterruptible, Labels: `,state="uninterruptible"`},
		}},
		{Name: "container_threads", Help: "Number of threads running inside the container", Kind: gauge, Group: "process", Numbers: one(metric.PidsCurrent)},
		{Name: "container_threads_max", Help: "Maximum number of threads allowed inside the container, infinity if value is zero", Kind: gauge, Group: "process", Of: threadsMax},
		{Name: "container_ulimits_soft", Help: "Soft ulimit values for the container root process. Unlimited if -1, except priority and nice", Kind: gauge, Group: "process", Numbers: []Number{
			{ID: metric.OpenFilesLimit, Labels: `,ulimit="max_open_files"`},
		}},
	}
}

// asStored returns a number in the unit in which it is stored: cAdvisor shows the load in
// thousandths.
func asStored(id metric.ID) func(*Observation) (float64, bool) {
	return func(o *Observation) (float64, bool) {
		v, ok := o.Sample.Get(id)
		return float64(v), ok
	}
}

// threadsMax is 0 where there is no limit, absent where threads aren't counted.
func threadsMax(o *Observation) (float64, bool) {
	limit, _ := o.Sample.Get(metric.PidsLimit)
	_, counted := o.Sample.Get(metric.PidsCurrent)
	return float64(limit), counted
}

// tcpStates are the states of sockets, named in one word each.
func tcpStates() (numbers []Number) {
	for id := metric.TCPEstablished; id <= metric.TCPClosing; id++ {
		_, state, _ := strings.Cut(id.String(), ".")
		numbers = append(numbers, Number{ID: id, Labels: `,tcp_state="` + strings.ReplaceAll(state, "_", "") + `"`})
	}
	return numbers
}

func udpStates() []Number {
	return []Number{
		{ID: metric.UDPDropped, Labels: `,udp_state="dropped"`},
		{ID: metric.UDPListen, Labels: `,udp_state="listen"`},
		{ID: metric.UDPReceiveQueued, Labels: `,udp_state="rxqueued"`},
		{ID: metric.UDPTransmitQueued, Labels: `,udp_state="txqueued"`},
	}
}

// tcpCounters are all counters of TCP; the only one that may be below zero is MaxConn.
func tcpCounters() (numbers []Number) {
	for i, name := range metric.TCPCounters {
		numbers = append(numbers, Number{
			ID: metric.TCPCounter + metric.ID(i), Labels: `,tcp_state="` + strings.ToLower(name) + `"`, Signed: name == "MaxConn",
		})
	}
	return numbers
}
