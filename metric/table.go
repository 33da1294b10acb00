package metric

// Kind says how a number moves.
type Kind uint8

const (
	// Counter only grows while its cgroup, interface or device lives.
	Counter Kind = iota
	// Gauge goes up and down.
	Gauge
)

// String returns the word that METRICS.md uses.
func (k Kind) String() string { return [...]string{"counter", "gauge"}[k] }

// Unit is the unit in which a Sample stores a number.
type Unit uint8

const (
	// Count is a plain number of things.
	Count Unit = iota
	// Bytes are bytes.
	Bytes
	// Nanoseconds are nanoseconds; documents and expositions show seconds.
	Nanoseconds
	// Microseconds are microseconds, kept for limits that the kernel states so.
	Microseconds
	// Thousandths are thousandths of one; documents and expositions show ones.
	Thousandths
	// Hundredths are hundredths of one: what the kernel prints with two decimals
	// (load, PSI averages); documents and expositions show ones.
	Hundredths
)

// String returns the word that METRICS.md uses for the stored unit.
func (u Unit) String() string {
	return [...]string{"count", "bytes", "nanoseconds", "microseconds", "thousandths", "hundredths"}[u]
}

// PerShown returns how many stored units make one shown unit: 1e9 for nanoseconds,
// which are shown as seconds, and 1 for what is shown as it is stored.
func (u Unit) PerShown() float64 {
	switch u {
	case Nanoseconds:
		return 1e9
	case Hundredths:
		return 100
	case Thousandths:
		return 1000
	}
	return 1
}

// Shown returns the unit in which documents and expositions show the number.
func (u Unit) Shown() string {
	switch u {
	case Nanoseconds:
		return "seconds"
	case Hundredths, Thousandths:
		return "ones"
	}
	return u.String()
}

// Desc is one row of the table: everything that the outputs know about one number.
type Desc struct {
	Kind Kind
	Unit Unit
	// Field is the name in our own documents, below "container." or "host." (and
	// below "interface.", "device." or "filesystem." in documents of one row).
	// A counter's field is the increase over the document's interval; a gauge's
	// is the last value.
	Field string
	// Help is one sentence: what it is, and where it comes from.
	Help string
}

// Describe returns the row of id.
func Describe(id ID) Desc { return table[id] }

// Where a number is named in the kernel's v1 and v2 files alike, the row follows the
// v2 word (Documentation/admin-guide/cgroup-v2.rst); ECS' field names are used where
// ECS has the number.
var table = withTCPCounters([NumIDs]Desc{
	CPUUsage:            {Counter, Nanoseconds, "cpu.core_seconds", "CPU time used, all cores together."},
	CPUUser:             {Counter, Nanoseconds, "cpu.user_core_seconds", "CPU time used in user mode."},
	CPUSystem:           {Counter, Nanoseconds, "cpu.system_core_seconds", "CPU time used in kernel mode."},
	CPUPeriods:          {Counter, Count, "cpu.periods", "Bandwidth periods in which the cgroup had runnable tasks and a quota."},
	CPUThrottledPeriods: {Counter, Count, "cpu.throttled_periods", "Bandwidth periods in which the quota ran out."},
	CPUThrottledTime:    {Counter, Nanoseconds, "cpu.throttled_seconds", "Time for which runnable tasks were held back by the quota, summed over run queues."},
	CPUBursts:           {Counter, Count, "cpu.bursts", "Bandwidth periods that used saved-up burst time."},
	CPUBurstTime:        {Counter, Nanoseconds, "cpu.burst_seconds", "CPU time above the quota taken from saved-up burst time."},
	CPUQuota:            {Gauge, Microseconds, "cpu.quota_microseconds", "CPU time allowed in each period; absent without a limit."},
	CPUPeriod:           {Gauge, Microseconds, "cpu.period_microseconds", "Length of a bandwidth period."},
	CPUBurstLimit:       {Gauge, Microseconds, "cpu.burst_limit_microseconds", "Most burst time that can be saved up."},
	CPUShares:           {Gauge, Count, "cpu.shares", "Relative weight on the v1 scale (1024 is normal); on v2 converted from the weight."},
	CPUWeight:           {Gauge, Count, "cpu.weight", "Relative weight on the v2 scale (100 is normal)."},
	CPUSetCPUs:          {Gauge, Count, "cpu.cpuset_cpus", "CPUs on which the cgroup may run."},

	MemoryUsage:           {Gauge, Bytes, "memory.usage_bytes", "All memory charged: anonymous, page cache, kernel."},
	MemoryWorkingSet:      {Gauge, Bytes, "memory.working_set_bytes", "Usage less inactive page cache, what docker stats shows."},
	MemoryRSS:             {Gauge, Bytes, "memory.rss_bytes", "Anonymous memory."},
	MemoryCache:           {Gauge, Bytes, "memory.cache_bytes", "Page cache, tmpfs and shared memory included."},
	MemoryMappedFile:      {Gauge, Bytes, "memory.mapped_file_bytes", "Page cache that is mapped into processes."},
	MemoryShmem:           {Gauge, Bytes, "memory.shmem_bytes", "Shared memory and tmpfs."},
	MemorySwap:            {Gauge, Bytes, "memory.swap_bytes", "Memory swapped out."},
	MemoryKernel:          {Gauge, Bytes, "memory.kernel_bytes", "Kernel memory: slab, stacks, page tables, per-CPU data."},
	MemoryActiveAnon:      {Gauge, Bytes, "memory.active_anon_bytes", "Anonymous memory on the active list."},
	MemoryInactiveAnon:    {Gauge, Bytes, "memory.inactive_anon_bytes", "Anonymous memory on the inactive list."},
	MemoryActiveFile:      {Gauge, Bytes, "memory.active_file_bytes", "Page cache on the active list."},
	MemoryInactiveFile:    {Gauge, Bytes, "memory.inactive_file_bytes", "Page cache on the inactive list, the first to be reclaimed."},
	MemoryUnevictable:     {Gauge, Bytes, "memory.unevictable_bytes", "Memory that can't be reclaimed (locked)."},
	MemoryDirty:           {Gauge, Bytes, "memory.dirty_bytes", "Page cache waiting to be written to disk."},
	MemoryWriteback:       {Gauge, Bytes, "memory.writeback_bytes", "Page cache being written to disk."},
	MemorySlab:            {Gauge, Bytes, "memory.slab_bytes", "Kernel slab objects."},
	MemoryPeak:            {Gauge, Bytes, "memory.peak_bytes", "Highest usage since the cgroup was made (v2: Linux 5.19)."},
	MemoryFailures:        {Counter, Count, "memory.limit_hits", "Times that usage hit the limit (v1 failcnt, v2 memory.events max)."},
	MemoryPageFaults:      {Counter, Count, "memory.page_faults", "Page faults."},
	MemoryMajorPageFaults: {Counter, Count, "memory.major_page_faults", "Page faults that had to read from disk."},
	MemoryRefaultsAnon:    {Counter, Count, "memory.refaults_anon", "Anonymous pages that came back soon after eviction: a sign of too little memory."},
	MemoryRefaultsFile:    {Counter, Count, "memory.refaults_file", "Page cache pages that came back soon after eviction: a sign of too little memory."},
	MemoryPagesScanned:    {Counter, Count, "memory.pages_scanned", "Pages looked at by reclaim."},
	MemoryPagesReclaimed:  {Counter, Count, "memory.pages_reclaimed", "Pages taken back by reclaim."},
	MemoryLowEvents:       {Counter, Count, "memory.low_events", "Times that the cgroup was reclaimed below its low boundary."},
	MemoryHighEvents:      {Counter, Count, "memory.high_events", "Times that tasks were throttled at the high boundary."},
	MemoryMaxEvents:       {Counter, Count, "memory.max_events", "Times that usage was about to go over the limit (v2)."},
	MemoryOOMEvents:       {Counter, Count, "memory.oom_events", "Times that an allocation was about to fail at the limit (v2)."},
	MemoryOOMKills:        {Counter, Count, "memory.oom_kills", "Processes killed by the OOM killer (v1: Linux 4.13)."},
	MemoryLimit:           {Gauge, Bytes, "memory.limit_bytes", "Hard limit; absent without a limit."},
	MemoryReservation:     {Gauge, Bytes, "memory.reservation_bytes", "What the user reserved (v1 soft limit, v2 low boundary); absent when there is none."},
	MemoryMin:             {Gauge, Bytes, "memory.min_bytes", "Hard protection (v2 memory.min); absent when there is none."},
	MemoryHigh:            {Gauge, Bytes, "memory.high_bytes", "Throttling boundary (v2 memory.high); absent when there is none."},
	MemorySwapLimit:       {Gauge, Bytes, "memory.swap_limit_bytes", "Limit of swap alone; absent without a limit."},

	PressureCPUSome:          {Counter, Nanoseconds, "pressure.cpu.some_seconds", "Time in which some task waited for a CPU."},
	PressureCPUSomeAvg10:     {Gauge, Hundredths, "pressure.cpu.some_avg10", "Share of time, in percent, over 10 s."},
	PressureCPUSomeAvg60:     {Gauge, Hundredths, "pressure.cpu.some_avg60", "Share of time, in percent, over 60 s."},
	PressureCPUSomeAvg300:    {Gauge, Hundredths, "pressure.cpu.some_avg300", "Share of time, in percent, over 300 s."},
	PressureCPUFull:          {Counter, Nanoseconds, "pressure.cpu.full_seconds", "Time in which all tasks waited for a CPU (Linux 5.13)."},
	PressureCPUFullAvg10:     {Gauge, Hundredths, "pressure.cpu.full_avg10", "Share of time, in percent, over 10 s."},
	PressureCPUFullAvg60:     {Gauge, Hundredths, "pressure.cpu.full_avg60", "Share of time, in percent, over 60 s."},
	PressureCPUFullAvg300:    {Gauge, Hundredths, "pressure.cpu.full_avg300", "Share of time, in percent, over 300 s."},
	PressureMemorySome:       {Counter, Nanoseconds, "pressure.memory.some_seconds", "Time in which some task waited for memory."},
	PressureMemorySomeAvg10:  {Gauge, Hundredths, "pressure.memory.some_avg10", "Share of time, in percent, over 10 s."},
	PressureMemorySomeAvg60:  {Gauge, Hundredths, "pressure.memory.some_avg60", "Share of time, in percent, over 60 s."},
	PressureMemorySomeAvg300: {Gauge, Hundredths, "pressure.memory.some_avg300", "Share of time, in percent, over 300 s."},
	PressureMemoryFull:       {Counter, Nanoseconds, "pressure.memory.full_seconds", "Time in which all tasks waited for memory."},
	PressureMemoryFullAvg10:  {Gauge, Hundredths, "pressure.memory.full_avg10", "Share of time, in percent, over 10 s."},
	PressureMemoryFullAvg60:  {Gauge, Hundredths, "pressure.memory.full_avg60", "Share of time, in percent, over 60 s."},
	PressureMemoryFullAvg300: {Gauge, Hundredths, "pressure.memory.full_avg300", "Share of time, in percent, over 300 s."},
	PressureIOSome:           {Counter, Nanoseconds, "pressure.io.some_seconds", "Time in which some task waited for IO."},
	PressureIOSomeAvg10:      {Gauge, Hundredths, "pressure.io.some_avg10", "Share of time, in percent, over 10 s."},
	PressureIOSomeAvg60:      {Gauge, Hundredths, "pressure.io.some_avg60", "Share of time, in percent, over 60 s."},
	PressureIOSomeAvg300:     {Gauge, Hundredths, "pressure.io.some_avg300", "Share of time, in percent, over 300 s."},
	PressureIOFull:           {Counter, Nanoseconds, "pressure.io.full_seconds", "Time in which all tasks waited for IO."},
	PressureIOFullAvg10:      {Gauge, Hundredths, "pressure.io.full_avg10", "Share of time, in percent, over 10 s."},
	PressureIOFullAvg60:      {Gauge, Hundredths, "pressure.io.full_avg60", "Share of time, in percent, over 60 s."},
	PressureIOFullAvg300:     {Gauge, Hundredths, "pressure.io.full_avg300", "Share of time, in percent, over 300 s."},

	PidsCurrent:   {Gauge, Count, "pids.current", "Processes and threads."},
	PidsLimit:     {Gauge, Count, "pids.limit", "Most processes and threads; absent without a limit."},
	PidsLimitHits: {Counter, Count, "pids.limit_hits", "Forks refused because of the limit."},

	Processes:            {Gauge, Count, "processes.count", "Processes."},
	FileDescriptors:      {Gauge, Count, "processes.file_descriptors", "Open file descriptors of all processes."},
	Sockets:              {Gauge, Count, "processes.sockets", "Open sockets of all processes."},
	OpenFilesLimit:       {Gauge, Count, "processes.open_files_limit", "Most files that the first process may have open; absent without a limit."},
	OpenFilesHardLimit:   {Gauge, Count, "processes.open_files_hard_limit", "How far the first process may raise its limit of open files; absent without a limit."},
	SchedRunTime:         {Counter, Nanoseconds, "sched.run_seconds", "Time that tasks ran on a CPU (schedstat of each thread)."},
	SchedWaitTime:        {Counter, Nanoseconds, "sched.wait_seconds", "Time that tasks waited on a run queue."},
	SchedTimeslices:      {Counter, Count, "sched.timeslices", "Timeslices that tasks ran."},
	TasksSleeping:        {Gauge, Count, "task_states.sleeping", "Tasks that sleep."},
	TasksRunning:         {Gauge, Count, "task_states.running", "Tasks that run or wait for a CPU."},
	TasksStopped:         {Gauge, Count, "task_states.stopped", "Tasks that are stopped."},
	TasksUninterruptible: {Gauge, Count, "task_states.uninterruptible", "Tasks that wait and can't be interrupted."},
	TasksIOWait:          {Gauge, Count, "task_states.io_wait", "Tasks that wait for IO; absent, because the kernel doesn't tell."},
	LoadAverage:          {Gauge, Thousandths, "load.running", "Running tasks, averaged over 10 s."},
	LoadUninterruptible:  {Gauge, Thousandths, "load.uninterruptible", "Uninterruptible tasks, averaged over 10 s."},
	MemoryReferenced:     {Gauge, Bytes, "memory.referenced_bytes", "Memory that was referenced (/proc/<pid>/smaps_rollup)."},
	CPUSetMemoryMigrate:  {Gauge, Count, "cpu.cpuset_memory_migrate", "1 if memory moves with a change of the cpuset (v1)."},

	StorageLayer:       {Gauge, Bytes, "storage.layer_bytes", "Space of the files that the container wrote into its own layer."},
	StorageLayerInodes: {Gauge, Count, "storage.layer_inodes", "Files and folders in the container's own layer."},
	StorageLogs:        {Gauge, Bytes, "storage.log_bytes", "Space of the container's log and of the engine's other files about it."},
	StorageVolumes:     {Gauge, Bytes, "storage.volume_bytes", "Space of the named and anonymous volumes that are mounted; one that is shared counts for each container."},
	StorageAsOf:        {Gauge, Nanoseconds, "storage.as_of_seconds", "When the count of these began, since the Unix epoch."},

	CPUUsagePerCPU: {Counter, Nanoseconds, "cpu.core_seconds_per_cpu", "CPU time used on one CPU (v1 only: v2 has no such number)."},

	NetworkReceiveBytes:    {Counter, Bytes, "network.ingress.bytes", "Bytes received."},
	NetworkReceivePackets:  {Counter, Count, "network.ingress.packets", "Packets received."},
	NetworkReceiveErrors:   {Counter, Count, "network.ingress.errors", "Receive errors."},
	NetworkReceiveDropped:  {Counter, Count, "network.ingress.dropped", "Received packets dropped."},
	NetworkTransmitBytes:   {Counter, Bytes, "network.egress.bytes", "Bytes sent."},
	NetworkTransmitPackets: {Counter, Count, "network.egress.packets", "Packets sent."},
	NetworkTransmitErrors:  {Counter, Count, "network.egress.errors", "Transmit errors."},
	NetworkTransmitDropped: {Counter, Count, "network.egress.dropped", "Packets dropped before sending."},

	DiskReadBytes:         {Counter, Bytes, "disk.read.bytes", "Bytes read."},
	DiskReadOperations:    {Counter, Count, "disk.read.operations", "Read operations."},
	DiskWriteBytes:        {Counter, Bytes, "disk.write.bytes", "Bytes written."},
	DiskWriteOperations:   {Counter, Count, "disk.write.operations", "Write operations."},
	DiskDiscardBytes:      {Counter, Bytes, "disk.discard.bytes", "Bytes discarded."},
	DiskDiscardOperations: {Counter, Count, "disk.discard.operations", "Discard operations."},
	DiskReadsMerged:       {Counter, Count, "disk.read.merged", "Reads merged with a neighbour (node only)."},
	DiskWritesMerged:      {Counter, Count, "disk.write.merged", "Writes merged with a neighbour (node only)."},
	DiskReadTime:          {Counter, Nanoseconds, "disk.read.seconds", "Time spent in reads, summed over operations (node only)."},
	DiskWriteTime:         {Counter, Nanoseconds, "disk.write.seconds", "Time spent in writes, summed over operations (node only)."},
	DiskInFlight:          {Gauge, Count, "disk.in_flight", "Operations under way (node only)."},
	DiskIOTime:            {Counter, Nanoseconds, "disk.busy_seconds", "Time in which the device had operations under way (node only)."},
	DiskWeightedIOTime:    {Counter, Nanoseconds, "disk.queue_seconds", "Time that operations spent waiting and running, summed (node only)."},

	FilesystemCapacity:   {Gauge, Bytes, "capacity_bytes", "Size."},
	FilesystemUsed:       {Gauge, Bytes, "used_bytes", "Space in use."},
	FilesystemAvailable:  {Gauge, Bytes, "available_bytes", "Space that an unprivileged process can still use."},
	FilesystemInodes:     {Gauge, Count, "inodes", "Inodes in all; absent where the filesystem has no fixed number."},
	FilesystemInodesFree: {Gauge, Count, "inodes_free", "Free inodes; absent where the filesystem has no fixed number."},
	FilesystemFullIn:     {Gauge, Nanoseconds, "full_in_seconds", "Time until it is full at the pace of the last day; absent while it isn't filling."},

	HugePagesUsage:    {Gauge, Bytes, "hugepages.usage_bytes", "Huge pages in use."},
	HugePagesPeak:     {Gauge, Bytes, "hugepages.peak_bytes", "Most huge pages that were in use at once (v1)."},
	HugePagesFailures: {Counter, Count, "hugepages.limit_hits", "Times that the limit of huge pages was hit."},

	NUMAFile:                    {Gauge, Count, "numa.file_pages", "Page cache on the node, in pages (v1)."},
	NUMAAnon:                    {Gauge, Count, "numa.anon_pages", "Anonymous memory on the node, in pages."},
	NUMAUnevictable:             {Gauge, Count, "numa.unevictable_pages", "Memory on the node that can't be reclaimed, in pages."},
	NUMAHierarchicalFile:        {Gauge, Count, "numa.hierarchical_file_pages", "The same as file pages, cgroups below included."},
	NUMAHierarchicalAnon:        {Gauge, Count, "numa.hierarchical_anon_pages", "The same as anonymous pages, cgroups below included."},
	NUMAHierarchicalUnevictable: {Gauge, Count, "numa.hierarchical_unevictable_pages", "The same as unevictable pages, cgroups below included."},

	TCPEstablished:    {Gauge, Count, "tcp.established", "Sockets in the state ESTABLISHED."},
	TCPSynSent:        {Gauge, Count, "tcp.syn_sent", "Sockets in the state SYN_SENT."},
	TCPSynRecv:        {Gauge, Count, "tcp.syn_recv", "Sockets in the state SYN_RECV."},
	TCPFinWait1:       {Gauge, Count, "tcp.fin_wait1", "Sockets in the state FIN_WAIT1."},
	TCPFinWait2:       {Gauge, Count, "tcp.fin_wait2", "Sockets in the state FIN_WAIT2."},
	TCPTimeWait:       {Gauge, Count, "tcp.time_wait", "Sockets in the state TIME_WAIT."},
	TCPClose:          {Gauge, Count, "tcp.close", "Sockets in the state CLOSE."},
	TCPCloseWait:      {Gauge, Count, "tcp.close_wait", "Sockets in the state CLOSE_WAIT."},
	TCPLastAck:        {Gauge, Count, "tcp.last_ack", "Sockets in the state LAST_ACK."},
	TCPListen:         {Gauge, Count, "tcp.listen", "Sockets in the state LISTEN."},
	TCPClosing:        {Gauge, Count, "tcp.closing", "Sockets in the state CLOSING."},
	UDPListen:         {Gauge, Count, "udp.listen", "UDP sockets."},
	UDPDropped:        {Gauge, Count, "udp.dropped", "Datagrams that UDP sockets which are open now have dropped."},
	UDPReceiveQueued:  {Gauge, Bytes, "udp.receive_queued_bytes", "Bytes that wait to be read from UDP sockets."},
	UDPTransmitQueued: {Gauge, Bytes, "udp.transmit_queued_bytes", "Bytes that wait to be sent by UDP sockets."},

	CacheOccupancy:       {Gauge, Bytes, "cache.occupancy_bytes", "What lies in the cache (resctrl: llc_occupancy)."},
	MemoryBandwidth:      {Gauge, Bytes, "memory_bandwidth.bytes", "Bytes moved between the cache and memory since the group was made (resctrl: mbm_total_bytes)."},
	MemoryBandwidthLocal: {Gauge, Bytes, "memory_bandwidth.local_bytes", "The same, of the memory that is near the cache (resctrl: mbm_local_bytes)."},

	NodeCPUUser:         {Counter, Nanoseconds, "cpu.mode.user_seconds", "CPU time in user mode, guests excluded."},
	NodeCPUNice:         {Counter, Nanoseconds, "cpu.mode.nice_seconds", "CPU time in user mode at low priority, guests excluded."},
	NodeCPUSystem:       {Counter, Nanoseconds, "cpu.mode.system_seconds", "CPU time in kernel mode."},
	NodeCPUIdle:         {Counter, Nanoseconds, "cpu.mode.idle_seconds", "CPU time idle."},
	NodeCPUIOWait:       {Counter, Nanoseconds, "cpu.mode.iowait_seconds", "CPU time idle while IO was under way."},
	NodeCPUIRQ:          {Counter, Nanoseconds, "cpu.mode.irq_seconds", "CPU time in interrupts."},
	NodeCPUSoftIRQ:      {Counter, Nanoseconds, "cpu.mode.softirq_seconds", "CPU time in soft interrupts."},
	NodeCPUSteal:        {Counter, Nanoseconds, "cpu.mode.steal_seconds", "CPU time that the hypervisor gave to others."},
	NodeCPUGuest:        {Counter, Nanoseconds, "cpu.mode.guest_seconds", "CPU time of virtual machines."},
	NodeLoad1:           {Gauge, Hundredths, "load.1", "Load average over 1 minute."},
	NodeLoad5:           {Gauge, Hundredths, "load.5", "Load average over 5 minutes."},
	NodeLoad15:          {Gauge, Hundredths, "load.15", "Load average over 15 minutes."},
	NodeTasksRunning:    {Gauge, Count, "tasks.running", "Tasks running or waiting for a CPU: the run queue."},
	NodeTasksBlocked:    {Gauge, Count, "tasks.blocked", "Tasks blocked on IO."},
	NodeTasks:           {Gauge, Count, "tasks.total", "Processes and threads."},
	NodeForks:           {Counter, Count, "tasks.forks", "Processes and threads made."},
	NodeContextSwitches: {Counter, Count, "tasks.context_switches", "Context switches."},
	NodeMemoryTotal:     {Gauge, Bytes, "memory.total_bytes", "Usable memory of the machine."},
	NodeMemoryFree:      {Gauge, Bytes, "memory.free_bytes", "Memory not used for anything."},
	NodeMemoryAvailable: {Gauge, Bytes, "memory.available_bytes", "Memory that new work could take without swapping."},
	NodeMemoryBuffers:   {Gauge, Bytes, "memory.buffers_bytes", "Block device buffers."},
	NodeMemoryCached:    {Gauge, Bytes, "memory.cached_bytes", "Page cache."},
	NodeMemorySlab:      {Gauge, Bytes, "memory.node_slab_bytes", "Kernel slab objects of the machine."},
	NodeMemoryShmem:     {Gauge, Bytes, "memory.node_shmem_bytes", "Shared memory and tmpfs of the machine."},
	NodeMemoryDirty:     {Gauge, Bytes, "memory.node_dirty_bytes", "Memory of the machine waiting to be written to disk."},
	NodeMemoryWriteback: {Gauge, Bytes, "memory.node_writeback_bytes", "Memory of the machine being written to disk."},
	NodeSwapTotal:       {Gauge, Bytes, "swap.total_bytes", "Swap space."},
	NodeSwapFree:        {Gauge, Bytes, "swap.free_bytes", "Free swap space."},
	NodeSwapIn:          {Counter, Count, "swap.in_pages", "Pages read from swap."},
	NodeSwapOut:         {Counter, Count, "swap.out_pages", "Pages written to swap."},
	NodeMajorPageFaults: {Counter, Count, "memory.node_major_page_faults", "Page faults of the machine that had to read from disk."},
	NodeOOMKills:        {Counter, Count, "memory.node_oom_kills", "Processes of the machine killed by the OOM killer."},
	NodeFileDescriptors: {Gauge, Count, "file_descriptors", "Open file handles."},
	NodeUptime:          {Gauge, Nanoseconds, "uptime_seconds", "Time since boot."},
})
