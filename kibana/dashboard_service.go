package kibana

// serviceBoard is B: how does one service fare?
func serviceBoard() *Dashboard {
	return &Dashboard{
		ID: serviceID, Letter: "B", Title: "Service", view: currentView(),
		Description: "How does a service fare? Choose one above.",
		Controls: []Control{
			{Title: "Stack", Field: "swarm.stack"},
			{Title: "Service", Field: "swarm.service.name", One: true},
			{Title: "Node", Field: "host.name"},
		},
		Panels: arrange(
			across(12, replicas(), deploys()),
			across(13, replicaCPU(), replicaMemory()),
			across(12, traffic("B2-network"), replicaTraffic()),
			across(12, diskTraffic("B2-disk"), replicaDisks()),
			across(12, cpuOfLimit("B3"), memoryOfLimit("B4")),
			across(16, tasks()),
			across(11, restarts()),
			across(12, deployRows(), serviceEvents()),
		),
	}
}

func replicas() *Panel {
	return panel("B1", "Do as many replicas run as should?", "Tasks of the service as the Swarm's leader counts them. Empty where no agent on a manager has the engine's socket.",
		Dataset("service"), &XY{Left: "Tasks", Steps: true, Layers: []*Layer{{
			Series: Lines, Buckets: []Bucket{Time()}, Metrics: []Metric{
				{Label: "Desired", Value: Total("swarm.service.desired"), Unit: Pieces, Color: colorCapacity},
				{Label: "Running", Value: Total("swarm.service.running"), Unit: Pieces, Color: colorMemory},
				{Label: "Failed in ten minutes", Value: Total("swarm.service.failed"), Unit: Pieces, Color: colorBad},
			},
		}}})
}

// changes are the events of services themselves.
func changes() Query {
	return All(Dataset("event"), OneOf("event.action", "service_create", "service_update", "service_remove"))
}

func deploys() *Panel {
	return panel("B6", "When was it deployed?", "Services that were created, updated and removed. Empty where none was, and where no agent on a manager has the engine's socket.",
		changes(), &XY{Left: "Changes", Layers: []*Layer{{
			Series:  Bars,
			Buckets: []Bucket{Top("Change", 3, "event.action", Count()), Time()},
			Metrics: []Metric{{Label: "Changes", Value: Count(), Unit: Pieces}},
		}}})
}

func deployRows() *Panel {
	return panel("B6-rows", "What was deployed?", "The last change of each kind, and the image that it brought. Empty where none was, and where no agent on a manager has the engine's socket.",
		changes(), &Rows{SortBy: -1, Layer: &Layer{
			Buckets: []Bucket{Top("Service", 20, "swarm.service.name", Count()), Top("Change", 3, "event.action", Count())},
			Metrics: []Metric{
				{Label: "Times", Value: Count(), Unit: Pieces},
				{Label: "Last", Value: LastTime("@timestamp")},
				{Label: "Image", Value: LastText("container.image.name")},
				{Label: "Tag", Value: LastText("container.image.tag")},
			},
		}})
}

// deployed are the marks of deployments.
func deployed() []Mark {
	return []Mark{{"Deployed", All(Dataset("event"), OneOf("event.action", "service_create", "service_update")), colorSent}}
}

// ofOne is what one container did in each second of its interval: Max and Median of it
// tell the busiest container from the usual one.
func ofOne(value Value) Value { return Divide(value, Average("sample.interval_seconds")) }

func replicaCPU() *Panel {
	const used = "container.cpu.core_seconds"
	return panel("B2-cpu", "CPU: is one replica busier than the others?", "All replicas together at the right; the busiest and the median one at the left. Far apart, the load is badly spread. Flags are deployments."+noContainers,
		Any(containers(), changes()), &XY{Marks: deployed(), Left: "Cores of one replica", Right: "Cores of all", Layers: []*Layer{{
			Series: Lines, Buckets: []Bucket{Time()}, Metrics: []Metric{
				{Label: "All replicas", Value: TotalPerSecond(used), Unit: Cores, Color: colorCapacity, Right: true},
				{Label: "Busiest replica", Value: ofOne(Max(used)), Unit: Cores, Color: colorBad},
				{Label: "Median replica", Value: ofOne(Median(used)), Unit: Cores, Color: colorCPU},
			},
		}}})
}

func replicaMemory() *Panel {
	const used = "container.memory.working_set_bytes"
	return panel("B2-memory", "Memory: is one replica larger than the others?", "All replicas together at the right; the largest and the median one at the left. Flags are deployments."+noContainers,
		Any(containers(), changes()), &XY{Marks: deployed(), Left: "Memory of one replica", Right: "Memory of all", Layers: []*Layer{{
			Series: Lines, Buckets: []Bucket{Time()}, Metrics: []Metric{
				{Label: "All replicas", Value: Total(used), Unit: Bytes, Color: colorCapacity, Right: true},
				{Label: "Largest replica", Value: Max(used), Unit: Bytes, Color: colorBad},
				{Label: "Median replica", Value: Median(used), Unit: Bytes, Color: colorMemory},
			},
		}}})
}

// spread shows two flows of the replica that has most of each beside the median one's.
func spread(id, title, description string, flows [2]flow) *Panel {
	var metrics []Metric
	for _, f := range flows {
		metrics = append(metrics,
			Metric{Label: f.label + ", busiest replica", Value: ofOne(Max(f.field)), Unit: BytesPerSecond, Color: f.busiest},
			Metric{Label: f.label + ", median replica", Value: ofOne(Median(f.field)), Unit: BytesPerSecond, Color: f.median})
	}
	return panel(id, title, description+" Far apart, the load is badly spread. Flags are deployments.",
		Any(containers(), changes()), &XY{Marks: deployed(), Left: "Bytes of one replica each second", Layers: []*Layer{{
			Series: Lines, Buckets: []Bucket{Time()}, Metrics: metrics,
		}}})
}

// flow is a field of which a container has an amount in each interval.
type flow struct{ label, field, busiest, median string }

func replicaTraffic() *Panel {
	return spread("B2-network-spread", "Network: is one replica busier than the others?", "Bytes of the replica that received or sent the most, and of the median one. Empty where containers have no network of their own.", [2]flow{
		{"Received", "container.network.ingress.bytes", colorBad, colorReceived},
		{"Sent", "container.network.egress.bytes", colorLimit, colorSent},
	})
}

func replicaDisks() *Panel {
	return spread("B2-disk-spread", "Disks: is one replica busier than the others?", "Bytes of the replica that read or wrote the most, and of the median one."+noBlockIO, [2]flow{
		{"Read", "container.disk.read.bytes", colorBad, colorRead},
		{"Written", "container.disk.write.bytes", colorLimit, colorWritten},
	})
}

// traffic, diskTraffic, cpuOfLimit and memoryOfLimit are on the board of a container, too.
func traffic(id string) *Panel {
	return panel(id, "What goes over the network?", "Bytes that containers received and sent. A container that shares another one's network, or the node's, has none of its own: empty where all do.",
		containers(), &XY{Left: "Bytes each second", Layers: []*Layer{{
			Series: Lines, Buckets: []Bucket{Time()}, Metrics: []Metric{
				{Label: "Received", Value: TotalPerSecond("container.network.ingress.bytes"), Unit: BytesPerSecond, Color: colorReceived},
				{Label: "Sent", Value: TotalPerSecond("container.network.egress.bytes"), Unit: BytesPerSecond, Color: colorSent},
			},
		}}})
}

func diskTraffic(id string) *Panel {
	return panel(id, "What goes to and from disks?", "Bytes that containers read from and wrote to devices; what the page cache served isn't among them."+noBlockIO,
		containers(), &XY{Left: "Bytes each second", Layers: []*Layer{{
			Series: Lines, Buckets: []Bucket{Time()}, Metrics: []Metric{
				{Label: "Read", Value: TotalPerSecond("container.disk.read.bytes"), Unit: BytesPerSecond, Color: colorRead},
				{Label: "Written", Value: TotalPerSecond("container.disk.write.bytes"), Unit: BytesPerSecond, Color: colorWritten},
			},
		}}})
}

// throttled is the part of the periods in which the quota ran out.
func throttled() Value {
	return Divide(Sum("container.cpu.throttled_periods"), Sum("container.cpu.periods"))
}

// usedOfLimit is CPU time as a part of what limits allowed, of those that have one.
func usedOfLimit() Value {
	const allowed = "container.cpu.limit_core_seconds"
	return Divide(Sum("container.cpu.core_seconds").Of(Exists(allowed)), Sum(allowed))
}

func cpuOfLimit(id string) *Panel {
	return panel(id, "CPU: is the limit in the way?", "CPU time as a part of what the limit allows, and the part of the periods in which it ran out. From a quarter on, it hurts. Empty without a limit.",
		All(containers(), Exists("container.cpu.limit_cores")), &XY{Left: "Part", Lines: []Line{{"a quarter throttled", 0.25, Ratio}}, Layers: []*Layer{{
			Series: Lines, Buckets: []Bucket{Time()}, Metrics: []Metric{
				{Label: "Used of the limit", Value: usedOfLimit(), Unit: Ratio, Color: colorCPU},
				{Label: "Throttled", Value: throttled(), Unit: Ratio, Color: colorBad},
			},
		}}})
}

func memoryOfLimit(id string) *Panel {
	return panel(id, "Memory: is the limit near?", "Working set of the container that is nearest to its limit, and processes that were killed for want of memory. The first is empty without a limit.",
		containers(), &XY{Left: "Part of the limit", Right: "Killed", Lines: []Line{{"near the limit", 0.9, Ratio}}, Layers: []*Layer{
			{Series: Lines, Buckets: []Bucket{Time()}, Metrics: []Metric{
				{Label: "Used of the limit", Value: Max("container.memory.limit_usage"), Unit: Ratio, Color: colorMemory},
			}},
			{Series: Bars, Buckets: []Bucket{Time()}, Metrics: []Metric{
				{Label: "Killed for want of memory", Value: Sum("container.memory.oom_kills"), Unit: Pieces, Color: colorBad, Right: true},
			}},
		}})
}

// cores is the CPU time of one container in each second of the time that its documents
// cover.
func cores() Value {
	return Divide(Sum("container.cpu.core_seconds"), Sum("sample.interval_seconds"))
}

func tasks() *Panel {
	return panel("B5", "Where do its tasks run, and how?", "Each container of the time range, with the means of its life in it. Empty where no container of a service ran.",
		All(containers(), Exists("swarm.task.id")), &Rows{SortBy: 4, Layer: &Layer{
			Buckets: []Bucket{Top("Container", 100, "container.name", Sum("container.cpu.core_seconds"))},
			Metrics: []Metric{
				{Label: "Slot", Value: LastNumber("swarm.task.slot"), Unit: Pieces},
				{Label: "Node", Value: LastText("host.name")},
				{Label: "State", Value: LastText("container.state")},
				{Label: "Started", Value: LastTime("container.started")},
				{Label: "CPU", Value: cores(), Unit: Cores},
				{Label: "Memory", Value: LastNumber("container.memory.working_set_bytes"), Unit: Bytes},
				{Label: "Throttled", Value: throttled(), Unit: Ratio, Limits: Limits{0.05, 0.25}},
				{Label: "Ended", Value: LastBoolean("sample.ended")},
				{Label: "Image", Value: LastText("container.image.name")},
				{Label: "Digest", Value: LastText("container.image.hash.all")},
			},
		}}, toContainer)
}

// restarts counts events: container.restart_count is about the engine's own restarts alone,
// of which a task of a Swarm has none, because Swarm starts another container instead.
func restarts() *Panel {
	ended := Is("event.action", "die")
	return panel("B5-restarts", "How often was it started anew?", "Starts and ends of the service's containers on each node in the time range; failed are those with another exit code than 0. Swarm starts another container in place of one that ended, and so an end and a start are a restart. Empty where nothing started or ended.",
		All(Dataset("event"), OneOf("event.action", "start", "die"), Exists("swarm.service.name")), &Rows{SortBy: 1, Layer: &Layer{
			Buckets: []Bucket{Top("Service", 20, "swarm.service.name", Count()), Top("Node", 50, "host.name", Count())},
			Metrics: []Metric{
				{Label: "Starts", Value: Count().Of(Is("event.action", "start")), Unit: Pieces},
				{Label: "Ends", Value: Count().Of(ended), Unit: Pieces},
				{Label: "Failed", Value: Count().Of(All(ended, Above("container.exit_code", 0))), Unit: Pieces, Limits: Limits{1, 3}},
				{Label: "For want of memory", Value: Count().Of(Is("container.oom_killed", "true")), Unit: Pieces, Limits: Limits{1, 1}},
				{Label: "Replicas that ended", Value: UniqueCount("swarm.task.slot").Of(ended), Unit: Pieces},
				{Label: "Last end", Value: LastTime("@timestamp").Of(ended)},
			},
		}}, toNode, toNeighbours)
}

func serviceEvents() *Panel {
	return panel("B6-events", "What happened to its containers?", "Starts, ends, kills and changes of health. Empty where nothing happened.",
		All(Dataset("event"), Exists("container.id")), &XY{Left: "Events", Layers: []*Layer{{
			Series:  Bars,
			Buckets: []Bucket{Top("Event", 8, "event.action", Count()), Time()},
			Metrics: []Metric{{Label: "Events", Value: Count(), Unit: Pieces}},
		}}})
}
