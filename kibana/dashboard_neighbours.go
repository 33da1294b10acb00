package kibana

// neighboursBoard is E: who is in whose way?
func neighboursBoard() *Dashboard {
	return &Dashboard{
		ID: neighboursID, Letter: "E", Title: "Noisy neighbours", view: currentView(),
		Description: "Who is held back, by what, and who is in the way?",
		Controls: []Control{
			{Title: "Stack", Field: "swarm.stack"}, {Title: "Node", Field: "host.name"},
			{Title: "Service", Field: "swarm.service.name"},
		},
		Panels: arrange(
			across(12, verdicts("E6"), pressureMap()),
			across(14, throttledRows()),
			across(14, starvedRows()),
			across(14, suspects()),
			across(14, suspectsBy("E3-reads", "Who keeps the disks busy reading?", "read from devices", "container.disk.read.bytes", "Reads", BytesPerSecond, noBlockIO),
				suspectsBy("E3-writes", "Who keeps the disks busy writing?", "wrote to devices", "container.disk.write.bytes", "Writes", BytesPerSecond, noBlockIO),
				suspectsBy("E3-reclaim", "For whom does the kernel look for memory?", "had the kernel look through for memory, in pages,", "container.memory.pages_scanned", "Reclaim", EachSecond, " Zero where there is memory enough, and on cgroup v1, which doesn't count it.")),
			split(13, []int{28, 20}, kills(), killRows()),
			across(15, limits()),
		),
	}
}

func throttledRows() *Panel {
	return panel("E1", "Who is held back by his own limit?", "Containers with a CPU limit, the most throttled first: how often the limit ran out, and for how long their tasks were held back. Raise the limit of those at the top. Empty where nothing has a CPU limit.",
		All(containers(), Exists("container.cpu.limit_cores")), &Rows{SortBy: 0, Layer: &Layer{
			Buckets: []Bucket{Top("Container", 20, "container.name", Sum("container.cpu.throttled_periods"))},
			Metrics: []Metric{
				{Label: "Throttled", Value: throttled(), Unit: Ratio, Limits: Limits{0.05, 0.25}},
				{Label: "Held back", Value: Sum("container.cpu.throttled_seconds"), Unit: Seconds},
				{Label: "Used", Value: cores(), Unit: Cores},
				{Label: "Limit", Value: LastNumber("container.cpu.limit_cores"), Unit: Cores},
				{Label: "Used of the limit", Value: usedOfLimit(), Unit: Ratio},
				{Label: "Service", Value: LastText("swarm.service.name")},
				{Label: "Node", Value: LastText("host.name")},
			},
		}}, toContainer)
}

// verdictShare is the part of the documents that have the verdict.
func verdictShare(verdict string) Value {
	return Divide(Count().Of(Is("container.verdict", verdict)), Count())
}

// unlimited is the part of the documents whose verdict is that there is no limit, of those that
// know: a container that has just started has neither the verdict nor, perhaps, its limit.
func unlimited(verdict, limit string) Value {
	without := Is("container.verdict", verdict)
	return Divide(Count().Of(without), Count().Of(Any(without, Exists(limit))))
}

func starvedRows() *Panel {
	waited := func(what string) Value {
		return Divide(Sum("container.pressure."+what+"_seconds"), Sum("sample.interval_seconds"))
	}
	return panel("E2", "Who is held back by others?", "Containers that waited the most for a CPU. Starved are the intervals in which that wasn't due to their own limit."+noPressure,
		All(containers(), Exists("container.pressure.cpu.some_seconds")), &Rows{SortBy: 0, Layer: &Layer{
			Buckets: []Bucket{Top("Container", 20, "container.name", Sum("container.pressure.cpu.some_seconds"))},
			Metrics: []Metric{
				{Label: "Starved", Value: verdictShare("cpu_starved"), Unit: Ratio, Limits: Limits{0.05, 0.25}},
				{Label: "Waited for a CPU", Value: waited("cpu.some"), Unit: Ratio, Limits: Limits{0.1, 0.3}},
				{Label: "Waited for memory", Value: waited("memory.some"), Unit: Ratio, Limits: Limits{0.05, 0.1}},
				{Label: "Waited for IO", Value: waited("io.some"), Unit: Ratio, Limits: Limits{0.1, 0.3}},
				{Label: "Used", Value: cores(), Unit: Cores},
				{Label: "Used of the limit", Value: usedOfLimit(), Unit: Ratio},
				{Label: "Throttled", Value: throttled(), Unit: Ratio},
				{Label: "Service", Value: LastText("swarm.service.name")},
				{Label: "Node", Value: LastText("host.name")},
			},
		}}, toContainer)
}

func pressureMap() *Panel {
	return panel("E3-map", "Where are CPUs short, and when?", "Share of the time in which some task of the node waited for a CPU. Click on a node to see its suspects below."+noPressure,
		All(Dataset("node"), Exists("host.pressure.cpu.some_seconds")), &Heat{Layer: &Layer{
			Buckets: []Bucket{Top("Node", 30, "host.name", Sum("host.pressure.cpu.some_seconds")), Time()},
			Metrics: []Metric{{Label: "Waited for a CPU", Value: Divide(Sum("host.pressure.cpu.some_seconds"), Sum("sample.interval_seconds")), Unit: Ratio, Limits: Limits{0.2, 0.5}}},
		}}, toNode, toAgents)
}

func suspects() *Panel {
	each := func(field string) Value { return Divide(Sum(field), Sum("sample.interval_seconds")) }
	return panel("E3", "Who is in the way?", "On each node the containers that used the most CPU, with what they read, wrote and had the kernel look through for memory."+noContainers,
		containers(), &Rows{SortBy: -1, Layer: &Layer{
			Buckets: []Bucket{
				Top("Node", 20, "host.name", Sum("container.cpu.core_seconds")),
				Top("Container", 5, "container.name", Sum("container.cpu.core_seconds")),
			},
			Metrics: []Metric{
				{Label: "CPU", Value: cores(), Unit: Cores},
				{Label: "Memory", Value: LastNumber("container.memory.working_set_bytes"), Unit: Bytes},
				{Label: "Reads", Value: each("container.disk.read.bytes"), Unit: BytesPerSecond},
				{Label: "Writes", Value: each("container.disk.write.bytes"), Unit: BytesPerSecond},
				{Label: "Reclaim", Value: each("container.memory.pages_scanned"), Unit: EachSecond},
				{Label: "CPU limit", Value: LastNumber("container.cpu.limit_cores"), Unit: Cores},
				{Label: "Service", Value: LastText("swarm.service.name")},
			},
		}}, toContainer, toNode)
}

const noBlockIO = " Zero or empty where the kernel doesn't count the IO of containers, as with cgroup v1 and disks that queue by themselves."

// suspectsBy are the containers on each node that took the most of one thing: who fills a
// disk may need hardly any CPU.
func suspectsBy(id, title, did, field, label string, unit Unit, zero string) *Panel {
	return panel(id, title, "On each node the containers that "+did+" the most, however little CPU they used."+zero,
		containers(), &Rows{SortBy: -1, Layer: &Layer{
			Buckets: []Bucket{
				Top("Node", 20, "host.name", Sum(field)),
				Top("Container", 5, "container.name", Sum(field)),
			},
			Metrics: []Metric{
				{Label: label, Value: Divide(Sum(field), Sum("sample.interval_seconds")), Unit: unit},
				{Label: "CPU", Value: cores(), Unit: Cores},
				{Label: "Service", Value: LastText("swarm.service.name")},
			},
		}}, toContainer, toNode)
}

func kills() *Panel {
	return panel("E4", "Where did memory run out?", "Processes that were killed for want of memory, and the times that a container was slowed down or stopped at a boundary of its memory. Zero where none was.",
		Any(containers(), Dataset("node")), &XY{Left: "Killed", Right: "Times at a boundary", Layers: []*Layer{
			{Series: Bars, Buckets: []Bucket{Time()}, Metrics: []Metric{
				{Label: "Killed in containers", Value: Sum("container.memory.oom_kills"), Unit: Pieces, Color: colorBad},
			}},
			{Series: Lines, Buckets: []Bucket{Time()}, Metrics: []Metric{
				{Label: "Killed on nodes in all", Value: Sum("host.memory.node_oom_kills"), Unit: Pieces, Color: colorSent},
				{Label: "Slowed down (high)", Value: Sum("container.memory.high_events"), Unit: Pieces, Color: colorLimit, Right: true},
				{Label: "At the limit", Value: Sum("container.memory.limit_hits"), Unit: Pieces, Color: colorCapacity, Right: true},
			}},
		}})
}

func killRows() *Panel {
	return panel("E4-rows", "Whose memory ran out?", "Containers by the processes that were killed in them for want of memory: zero where none was."+noContainers,
		containers(), &Rows{SortBy: 0, Layer: &Layer{
			Buckets: []Bucket{Top("Container", 20, "container.name", Sum("container.memory.limit_hits"))},
			Metrics: []Metric{
				{Label: "Killed", Value: Sum("container.memory.oom_kills"), Unit: Pieces, Limits: Limits{1, 2}},
				{Label: "At the limit", Value: Sum("container.memory.limit_hits"), Unit: Pieces},
				{Label: "Peak", Value: Max("container.memory.peak_working_set_bytes"), Unit: Bytes},
				{Label: "Limit", Value: LastNumber("container.memory.limit_bytes"), Unit: Bytes},
			},
		}}, toContainer)
}

func limits() *Panel {
	return panel("E5", "Did the limits fit in the last 7 days?", "For each service: the limits, what is used of them at the 99th percentile, and the part of its documents without a limit. Far below 100 % the limit promises too much, near it the service is about to be held back or killed. Empty without services.",
		All(containers(), Exists("swarm.service.name")), &Rows{SortBy: 2, Layer: &Layer{
			Buckets: []Bucket{Top("Service", 50, "swarm.service.name", Sum("container.cpu.core_seconds"))},
			Metrics: []Metric{
				{Label: "CPU limit", Value: LastNumber("container.cpu.limit_cores"), Unit: Cores},
				{Label: "CPU used of it (p99)", Value: Percentile("container.cpu.limit_usage", 99), Unit: Ratio, Limits: Limits{0.8, 0.95}},
				{Label: "No CPU limit", Value: unlimited("no_cpu_limit", "container.cpu.limit_cores"), Unit: Ratio, Limits: Limits{0.01, 0.5}},
				{Label: "CPU used (most)", Value: Max("container.cpu.peak_cores"), Unit: Cores},
				{Label: "Memory limit", Value: LastNumber("container.memory.limit_bytes"), Unit: Bytes},
				{Label: "Memory used of it (p99)", Value: Percentile("container.memory.limit_usage", 99), Unit: Ratio, Limits: Limits{0.8, 0.9}},
				{Label: "No memory limit", Value: unlimited("no_memory_limit", "container.memory.limit_bytes"), Unit: Ratio, Limits: Limits{0.01, 0.5}},
				{Label: "Memory used (most)", Value: Max("container.memory.peak_working_set_bytes"), Unit: Bytes},
			},
		}}, toService).about("7d")
}
