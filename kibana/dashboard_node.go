package kibana

// nodeBoard is C: how does one node fare, and who uses it?
func nodeBoard() *Dashboard {
	return &Dashboard{
		ID: nodeID, Letter: "C", Title: "Node", view: currentView(),
		Description: "How does a node fare, and who uses it? Choose one above.",
		Controls:    []Control{{Title: "Node", Field: "host.name", One: true}},
		Panels: arrange(
			across(13, cpuModes(), whoUsesNode()),
			across(11, load(), runQueue()),
			across(13, nodeMemory(), swapping()),
			across(12, nodePressure()),
			across(12, deviceBytes(), deviceOperations()),
			across(12, deviceBusy(), deviceWaits()),
			across(12, interfaceBytes(), interfaceTrouble()),
			across(13, filesystems("C7", toDisk)),
		),
	}
}

func cpuModes() *Panel {
	var metrics []Metric
	for _, mode := range []struct{ label, field, color string }{
		{"User", "user", colorCPU}, {"System", "system", colorMemory}, {"Nice", "nice", colorReceived},
		{"Interrupts", "softirq", colorSent}, {"Hardware interrupts", "irq", colorWritten},
		{"Waiting for IO", "iowait", colorLimit}, {"Stolen by the hypervisor", "steal", colorBad},
	} {
		metrics = append(metrics, Metric{Label: mode.label, Value: PerSecond("host.cpu.mode." + mode.field + "_seconds"), Unit: Cores, Color: mode.color})
	}
	return panel("C1-cpu", "CPU: what is it used for?", "CPU time in each mode, and the CPUs that there are."+noDocuments,
		Dataset("node"), &XY{Left: "Cores", Layers: []*Layer{
			{Series: Areas, Buckets: []Bucket{Time()}, Metrics: metrics},
			{Series: Lines, Buckets: []Bucket{Time()}, Metrics: []Metric{
				{Label: "CPUs", Value: Total("host.cpu.cores"), Unit: Cores, Color: colorCapacity},
			}},
		}})
}

func load() *Panel {
	each := func(minutes string) Value { return Divide(Sum("host.load."+minutes), Sum("host.cpu.cores")) }
	return panel("C1-load", "Load of each CPU", "Tasks that ran or waited, averaged over 1, 5 and 15 minutes, by the number of CPUs. Above 1, some waited."+noDocuments,
		Dataset("node"), &XY{Left: "Tasks for each CPU", Lines: []Line{{"each CPU has its task", 1, Load}}, Layers: []*Layer{{
			Series: Lines, Buckets: []Bucket{Time()}, Metrics: []Metric{
				{Label: "1 minute", Value: each("1"), Unit: Load, Color: colorCPU},
				{Label: "5 minutes", Value: each("5"), Unit: Load, Color: colorReceived},
				{Label: "15 minutes", Value: each("15"), Unit: Load, Color: colorCapacity},
			},
		}}})
}

func runQueue() *Panel {
	return panel("C1-queue", "Who waits?", "Tasks that run or wait for a CPU, and tasks that wait for IO, at the moments of sampling."+noDocuments,
		Dataset("node"), &XY{Left: "Tasks", Layers: []*Layer{{
			Series: Lines, Buckets: []Bucket{Time()}, Metrics: []Metric{
				{Label: "Running or waiting for a CPU", Value: Average("host.tasks.running"), Unit: Load, Color: colorCPU},
				{Label: "Waiting for IO", Value: Average("host.tasks.blocked"), Unit: Load, Color: colorBad},
			},
		}}})
}

func whoUsesNode() *Panel {
	return panel("C2", "Who uses the CPU?", "The ten containers that used the most, and all others together. One that lived for a part of a bucket shows what it used while it lived."+noContainers,
		containers(), &XY{Left: "Cores", Layers: []*Layer{{
			Series:  Areas,
			Buckets: []Bucket{Top("Container", 10, "container.name", Sum("container.cpu.core_seconds")).AndOthers(), Time()},
			Metrics: []Metric{{Label: "CPU", Value: PerSecond("container.cpu.core_seconds"), Unit: Cores}},
		}}}, toContainer)
}

func nodeMemory() *Panel {
	inContainers := Total("container.memory.rss_bytes")
	cache := Add(Total("host.memory.cached_bytes"), Total("host.memory.buffers_bytes"))
	free := Total("host.memory.free_bytes")
	system := Subtract(Total("host.memory.total_bytes"), Add(Add(inContainers, cache), free))
	return panel("C3", "Memory: who has it?", "Memory of the containers' processes, of everything else that runs, of the page cache (which the containers fill, too), and what is free: together all that there is."+noDocuments,
		Any(containers(), Dataset("node")), &XY{Left: "Memory", Layers: []*Layer{{
			Series: Areas, Buckets: []Bucket{Time()}, Metrics: []Metric{
				{Label: "Containers", Value: inContainers, Unit: Bytes, Color: colorMemory},
				{Label: "System", Value: system, Unit: Bytes, Color: colorCPU},
				{Label: "Page cache", Value: cache, Unit: Bytes, Color: colorLimit},
				{Label: "Free", Value: free, Unit: Bytes, Color: colorCapacity},
			},
		}}})
}

func swapping() *Panel {
	return panel("C3-swap", "Is it swapping?", "Pages that go to swap and come back, and the swap in use. Pages that come back all the time mean too little memory. Zero on a node without swap.",
		Dataset("node"), &XY{Left: "Pages each second", Right: "Swap in use", Layers: []*Layer{{
			Series: Lines, Buckets: []Bucket{Time()}, Metrics: []Metric{
				{Label: "Out", Value: PerSecond("host.swap.out_pages"), Unit: EachSecond, Color: colorLimit},
				{Label: "In", Value: PerSecond("host.swap.in_pages"), Unit: EachSecond, Color: colorBad},
				{Label: "In use", Value: Subtract(Total("host.swap.total_bytes"), Total("host.swap.free_bytes")), Unit: Bytes, Color: colorCapacity, Right: true},
			},
		}}})
}

// pressures are the shares of time in which tasks waited, below a prefix of fields.
func pressures(prefix string) []Metric {
	waited := func(what string) Value {
		return Divide(Sum(prefix+"pressure."+what+"_seconds"), Sum("sample.interval_seconds"))
	}
	metrics := []Metric{
		{Label: "CPU, some", Value: waited("cpu.some"), Unit: Ratio, Color: colorCPU},
		{Label: "Memory, some", Value: waited("memory.some"), Unit: Ratio, Color: colorMemory},
		{Label: "Memory, all", Value: waited("memory.full"), Unit: Ratio, Color: colorBad},
		{Label: "IO, some", Value: waited("io.some"), Unit: Ratio, Color: colorLimit},
		{Label: "IO, all", Value: waited("io.full"), Unit: Ratio, Color: colorWritten},
	}
	if prefix == "host." {
		return metrics // the kernel has no such number of the whole machine, and shows zero
	}
	return append(metrics, Metric{Label: "CPU, all", Value: waited("cpu.full"), Unit: Ratio, Color: colorSent})
}

const noPressure = " Empty where the kernel doesn't count pressure (PSI)."

func nodePressure() *Panel {
	return panel("C4", "What do tasks wait for?", "Share of the time in which some or all tasks waited for a CPU, memory or IO; the mean of the nodes."+noPressure,
		All(Dataset("node"), Exists("host.pressure.cpu.some_seconds")), &XY{Left: "Share of time", Layers: []*Layer{{
			Series: Lines, Buckets: []Bucket{Time()}, Metrics: pressures("host."),
		}}})
}

// perDevice is a chart with lines for each block device.
func perDevice(id, title, description, axis string, metrics ...Metric) *Panel {
	return linesOf("device", Top("Device", 10, "device.name", Sum("device.disk.busy_seconds")), id, title, description, axis, metrics)
}

const (
	noDevices    = " Empty on a node without block devices of its own."
	noInterfaces = " Empty where the agent doesn't see the node's network."
)

// linesOf is a chart with lines for each part of a node that has documents of its own.
func linesOf(dataset string, each Bucket, id, title, description, axis string, metrics []Metric) *Panel {
	return panel(id, title, description, Dataset(dataset), &XY{Left: axis, Layers: []*Layer{{
		Series: Lines, Buckets: []Bucket{each, Time()}, Metrics: metrics,
	}}})
}

func deviceBytes() *Panel {
	return perDevice("C5-bytes", "How much do the disks read and write?", "Bytes for each device."+noDevices, "Bytes each second",
		Metric{Label: "Read", Value: PerSecond("device.disk.read.bytes"), Unit: BytesPerSecond},
		Metric{Label: "Written", Value: PerSecond("device.disk.write.bytes"), Unit: BytesPerSecond})
}

func deviceOperations() *Panel {
	return perDevice("C5-operations", "How often do the disks read and write?", "Operations for each device."+noDevices, "Operations each second",
		Metric{Label: "Reads", Value: PerSecond("device.disk.read.operations"), Unit: EachSecond},
		Metric{Label: "Writes", Value: PerSecond("device.disk.write.operations"), Unit: EachSecond})
}

func deviceBusy() *Panel {
	return perDevice("C5-busy", "Are the disks busy?", "Share of the time in which a device had something to do. A disk that does much at once isn't full at 100 %."+noDevices, "Share of time",
		Metric{Label: "Busy", Value: Average("device.disk.usage"), Unit: Ratio})
}

func deviceWaits() *Panel {
	waited := Add(Sum("device.disk.read.seconds"), Sum("device.disk.write.seconds"))
	operations := Add(Sum("device.disk.read.operations"), Sum("device.disk.write.operations"))
	return perDevice("C5-wait", "How long does a read or write take?", "Mean time of an operation for each device. Empty while there are none.", "Seconds",
		Metric{Label: "Time of an operation", Value: Divide(waited, operations), Unit: Seconds})
}

// perInterface is a chart with lines for each network interface.
func perInterface(id, title, description, axis string, metrics ...Metric) *Panel {
	return linesOf("interface", Top("Interface", 10, "interface.name", Sum("interface.network.ingress.bytes")), id, title, description, axis, metrics)
}

func interfaceBytes() *Panel {
	return perInterface("C6-bytes", "What goes over the network?", "Bytes for each interface of the node, the ten that received the most."+noInterfaces, "Bytes each second",
		Metric{Label: "Received", Value: PerSecond("interface.network.ingress.bytes"), Unit: BytesPerSecond},
		Metric{Label: "Sent", Value: PerSecond("interface.network.egress.bytes"), Unit: BytesPerSecond})
}

func interfaceTrouble() *Panel {
	both := func(what string) Value {
		return Add(PerSecond("interface.network.ingress."+what), PerSecond("interface.network.egress."+what))
	}
	return perInterface("C6-trouble", "Is anything lost on the network?", "Packets with errors and packets dropped, both ways, for each interface; zero where nothing is lost."+noInterfaces, "Packets each second",
		Metric{Label: "Errors", Value: both("errors"), Unit: EachSecond},
		Metric{Label: "Dropped", Value: both("dropped"), Unit: EachSecond})
}

// filling is how recent a pace of filling has to be. It is absent while a filesystem isn't
// filling, and an older one would be shown instead.
const filling = "10m"

// filesystems is on the board of disk space, too.
func filesystems(id string, links ...Link) *Panel {
	const full, secondsOfDay = "filesystem.full_in_seconds", 86400
	left := LastNumber(full).Lately(filling)
	return panel(id, "Which filesystems fill up?", "Space and inodes in use, how much comes each day, and the days until it is full at the pace of the last day. The last two are empty while a filesystem isn't filling.",
		Dataset("filesystem"), &Rows{SortBy: 0, Layer: &Layer{
			Buckets: []Bucket{Each("Node", 100, "host.name"), Top("Mounted at", 20, "filesystem.mount_point", Max("filesystem.usage"))},
			Metrics: []Metric{
				{Label: "Used", Value: LastNumber("filesystem.usage"), Unit: Ratio, Limits: Limits{0.8, 0.9}},
				{Label: "Inodes used", Value: LastNumber("filesystem.inodes_usage"), Unit: Ratio, Limits: Limits{0.8, 0.9}},
				{Label: "Free", Value: LastNumber("filesystem.available_bytes"), Unit: Bytes},
				{Label: "Size", Value: LastNumber("filesystem.capacity_bytes"), Unit: Bytes},
				{Label: "More each day", Value: Multiply(Divide(LastNumber("filesystem.available_bytes").Lately(filling), left), Number(secondsOfDay)), Unit: Bytes},
				{Label: "Full in", Value: Divide(left, Number(secondsOfDay)), Unit: Days},
				{Label: "Device", Value: LastText("filesystem.device")},
				{Label: "Type", Value: LastText("filesystem.type")},
			},
		}}, links...)
}
