package kibana

// Colours of what panels show again and again.
const (
	colorCPU      = "#0b64dd"
	colorMemory   = "#54b399"
	colorLimit    = "#d6bf57"
	colorCapacity = "#98a2b3"
	colorBad      = "#cc5642"
	colorReceived = "#6092c0"
	colorSent     = "#9170b8"
	colorRead     = "#6092c0"
	colorWritten  = "#d36086"
)

// swarmBoard is A: how is the Swarm, and who uses what?
func swarmBoard() *Dashboard {
	return &Dashboard{
		ID: swarmID, Letter: "A", Title: "Swarm overview", view: currentView(),
		Description: "How is the Swarm, and who uses what?",
		Controls: []Control{
			{Title: "Stack", Field: "swarm.stack"}, {Title: "Service", Field: "swarm.service.name"},
			{Title: "Node", Field: "host.name"}, {Title: "Image", Field: "container.image.name"},
		},
		Panels: arrange(
			across(7, swarmNumbers()...),
			split(12, []int{12, 36}, missingNumber(), missingRows()),
			across(14, swarmCPU(), swarmMemory()),
			across(12, topServices()[:2]...),
			across(12, topServices()[2:]...),
			split(14, []int{28, 20}, exits(), exitRows()),
			across(12, unhealthy(), unplaced()),
			across(14, nodeMap()),
			across(12, nodeStates()),
		),
	}
}

// containers are the documents of containers, without those of other cgroups, in which
// the containers' numbers would be a second time.
func containers() Query { return All(Dataset("container"), Exists("container.id")) }

// Why panels are empty about which there would always be something to tell.
const (
	noDocuments  = " Empty where no agent reports."
	noContainers = " Empty where no container ran."
)

// lately is how much of the end of the time range counts as now: some intervals, because
// agents deliver a few seconds later.
const lately = "1m"

// swarmNumbers are A1.
func swarmNumbers() []*Panel {
	number := func(id, title, description string, where Query, value Value) *Panel {
		return panel(id, title, description, where, &Figure{
			Layer: &Layer{Metrics: []Metric{
				{Label: title, Value: value.Lately(lately), Unit: Pieces, Color: colorCPU},
				{Label: "an hour before:", Value: value.Lately(lately).Earlier("1h"), Unit: Pieces},
			}},
		})
	}
	const noState = " Empty where no agent on a manager has the engine's socket."
	return []*Panel{
		number("A1-nodes", "Nodes ready", "Nodes that the Swarm's leader calls ready."+noState,
			Dataset("swarm_node"), UniqueCount("swarm.node.id").Of(Is("swarm.node.state", "ready"))),
		number("A1-services", "Services running", "Services of which a container runs. Zero where none does.",
			containers(), UniqueCount("swarm.service.name")),
		number("A1-tasks", "Tasks running", "Containers that belong to a service. Empty where there are none.",
			All(containers(), Exists("swarm.task.id")), Population()),
		number("A1-agents", "Agents reporting", "Nodes from which documents come. Zero where no agent reports.",
			Dataset("agent"), UniqueCount("host.name")),
	}
}

// missingNumber and missingRows are A2.
func missingNumber() *Panel {
	return panel("A2", "Services that lack replicas", "Services of which fewer tasks run than should, at the end of the time range. Empty where no agent on a manager has the engine's socket.",
		Dataset("service"), &Figure{Layer: &Layer{Metrics: []Metric{{
			Label: "Services that lack replicas", Unit: Pieces, Limits: Limits{1, 2},
			Value: UniqueCount("swarm.service.id").Of(Above("swarm.service.missing", 0)).Lately(lately),
		}}}})
}

func missingRows() *Panel {
	return panel("A2-services", "Which services lack replicas?", "Services by the most tasks that were missing at once in the time range, and how it is now. Empty where no agent on a manager has the engine's socket.",
		Dataset("service"), &Rows{SortBy: 2, Layer: &Layer{
			Buckets: []Bucket{Top("Service", 20, "swarm.service.name", Max("swarm.service.missing"))},
			Metrics: []Metric{
				{Label: "Desired", Value: LastNumber("swarm.service.desired"), Unit: Pieces},
				{Label: "Running", Value: LastNumber("swarm.service.running"), Unit: Pieces},
				{Label: "Missing now", Value: LastNumber("swarm.service.missing"), Unit: Pieces, Limits: Limits{1, 2}},
				{Label: "Most missing", Value: Max("swarm.service.missing"), Unit: Pieces, Limits: Limits{1, 2}},
				{Label: "Failed in ten minutes", Value: LastNumber("swarm.service.failed"), Unit: Pieces, Limits: Limits{1, 3}},
				{Label: "Update", Value: LastText("swarm.service.update_state")},
			},
		}}, toService)
}

func swarmCPU() *Panel {
	return panel("A3", "CPU: how much of the Swarm is used?", "CPU time of all containers and of all nodes, and the CPUs that there are. Nodes are left out while a service or an image is chosen."+noDocuments,
		Any(containers(), Dataset("node")), &XY{Left: "Cores", Layers: []*Layer{
			{Series: Areas, Buckets: []Bucket{Time()}, Metrics: []Metric{
				{Label: "Used by containers", Value: TotalPerSecond("container.cpu.core_seconds"), Unit: Cores, Color: colorCPU},
			}},
			{Series: Lines, Buckets: []Bucket{Time()}, Metrics: []Metric{
				{Label: "Used by nodes in all", Value: TotalPerSecond("host.cpu.core_seconds"), Unit: Cores, Color: colorBad},
				{Label: "CPUs", Value: Total("host.cpu.cores"), Unit: Cores, Color: colorCapacity},
			}},
		}})
}

func swarmMemory() *Panel {
	return panel("A4", "Memory: used, promised, there", "Working sets of all containers, the limits of those that have one, and the memory of all nodes. Nodes are left out while a service or an image is chosen."+noDocuments,
		Any(containers(), Dataset("node")), &XY{Left: "Memory", Layers: []*Layer{
			{Series: Areas, Buckets: []Bucket{Time()}, Metrics: []Metric{
				{Label: "Used by containers", Value: Total("container.memory.working_set_bytes"), Unit: Bytes, Color: colorMemory},
			}},
			{Series: Lines, Buckets: []Bucket{Time()}, Metrics: []Metric{
				{Label: "Promised by limits", Value: Total("container.memory.limit_bytes"), Unit: Bytes, Color: colorLimit},
				{Label: "There", Value: Total("host.memory.total_bytes"), Unit: Bytes, Color: colorCapacity},
			}},
		}})
}

// topServices are A5. Each ranks by the field that it shows: Elasticsearch can't rank by a sum
// of two, so that what is received and what is sent are panels of their own.
func topServices() []*Panel {
	top := func(id, title string, value, order Value, unit Unit, color string, links ...Link) *Panel {
		return panel(id, title, "Ten services, the whole time range. Empty without services.",
			All(containers(), Exists("swarm.service.name")), &XY{Layers: []*Layer{{
				Series:  SidewayBars,
				Buckets: []Bucket{Top("Service", 10, "swarm.service.name", order)},
				Metrics: []Metric{{Label: title, Value: value, Unit: unit, Color: color}},
			}}}, append([]Link{toService}, links...)...)
	}
	const received, sent, written = "container.network.ingress.bytes", "container.network.egress.bytes", "container.disk.write.bytes"
	return []*Panel{
		top("A5-cpu", "Who uses the CPU?", PerSecond("container.cpu.core_seconds"), Sum("container.cpu.core_seconds"), Cores, colorCPU, toNeighbours),
		top("A5-memory", "Who uses memory?", Total("container.memory.working_set_bytes"), Sum("container.memory.working_set_bytes"), Bytes, colorMemory, toNeighbours),
		top("A5-received", "Who receives?", PerSecond(received), Sum(received), BytesPerSecond, colorReceived, toNeighbours),
		top("A5-sent", "Who sends?", PerSecond(sent), Sum(sent), BytesPerSecond, colorSent, toNeighbours),
		top("A5-disk", "Who writes to disks?", PerSecond(written), Sum(written), BytesPerSecond, colorWritten, toNeighbours, toDisk),
	}
}

// exits and exitRows are A6.
func exits() *Panel {
	return panel("A6", "Which services' containers ended in the last 24 hours?", "Ends of containers in each interval. Empty where none ended.",
		All(Dataset("event"), Is("event.action", "die")), &XY{Left: "Ends", Layers: []*Layer{{
			Series:  Bars,
			Buckets: []Bucket{Top("Service", 10, "swarm.service.name", Count()), Time()},
			Metrics: []Metric{{Label: "Ends", Value: Count(), Unit: Pieces}},
		}}}, toService).about("24h")
}

func exitRows() *Panel {
	return panel("A6-codes", "How did they end in the last 24 hours?", "Ends of containers by service and exit code; 137 is killed, 143 is asked to end. Empty where none ended.",
		All(Dataset("event"), Is("event.action", "die")), &Rows{SortBy: 0, Layer: &Layer{
			Buckets: []Bucket{
				Top("Service", 20, "swarm.service.name", Count()),
				Top("Exit code", 5, "container.exit_code", Count()).Numbers(),
			},
			Metrics: []Metric{
				{Label: "Ends", Value: Count(), Unit: Pieces},
				{Label: "For want of memory", Value: Count().Of(Is("container.oom_killed", "true")), Unit: Pieces, Limits: Limits{1, 1}},
				{Label: "Last", Value: LastTime("@timestamp")},
			},
		}}, toService).about("24h")
}

func unhealthy() *Panel {
	return panel("A7", "Which containers aren't healthy?", "Containers whose health check has said something else than healthy, and what it says now. Empty where all are well, or have no check.",
		All(containers(), OneOf("container.health", "unhealthy", "starting")), &Rows{SortBy: -1, Layer: &Layer{
			Buckets: []Bucket{Top("Container", 20, "container.name", Count())},
			Metrics: []Metric{
				{Label: "Node", Value: LastText("host.name")},
				{Label: "Health", Value: LastText("container.health")},
				{Label: "Failed checks in a row", Value: LastNumber("container.health_failing_streak"), Unit: Pieces},
				{Label: "Last seen so", Value: LastTime("@timestamp")},
			},
		}}, toContainer)
}

// unplaced is A7-tasks: tasks that don't come to run.
func unplaced() *Panel {
	return panel("A7-tasks", "Which tasks should run and don't?", "Tasks that wait, were rejected or failed, with the engine's reason. Empty where all run, and where no agent on a manager has the engine's socket.",
		Dataset("task"), &Rows{SortBy: -1, Layer: &Layer{
			Buckets: []Bucket{Top("Service", 20, "swarm.service.name", Count()), Top("State", 5, "swarm.task.state", Count())},
			Metrics: []Metric{
				{Label: "Tasks", Value: UniqueCount("swarm.task.id"), Unit: Pieces},
				{Label: "Why", Value: LastText("swarm.task.error")},
				{Label: "Message", Value: LastText("swarm.task.message")},
				{Label: "Last seen so", Value: LastTime("@timestamp")},
			},
		}}, toService)
}

func nodeMap() *Panel {
	return panel("A8", "How are the nodes?", "Means of the time range for each node; the fullest of its filesystems; the share of time in which something waited. The last three are zero where the kernel doesn't count pressure (PSI)."+noDocuments,
		Dataset("node", "filesystem"), &Rows{SortBy: 0, Layer: &Layer{
			Buckets: []Bucket{Each("Node", 200, "host.name")},
			Metrics: []Metric{
				{Label: "CPU", Value: Average("host.cpu.usage"), Unit: Ratio, Limits: Limits{0.7, 0.9}},
				{Label: "Memory", Value: Average("host.memory.usage"), Unit: Ratio, Limits: Limits{0.8, 0.9}},
				{Label: "Fullest disk", Value: Max("filesystem.usage"), Unit: Ratio, Limits: Limits{0.8, 0.9}},
				{Label: "Waited for a CPU", Value: share("host.pressure.cpu.some_seconds", "host.memory.total_bytes"), Unit: Ratio, Limits: Limits{0.2, 0.5}},
				{Label: "Waited for memory", Value: share("host.pressure.memory.some_seconds", "host.memory.total_bytes"), Unit: Ratio, Limits: Limits{0.05, 0.1}},
				{Label: "Waited for IO", Value: share("host.pressure.io.some_seconds", "host.memory.total_bytes"), Unit: Ratio, Limits: Limits{0.1, 0.3}},
			},
		}}, toNode, toNeighbours, toDisk, toAgents)
}

// share is the part of the time that a flow of seconds is: of the time of the documents
// that have the other field, where filesystems have documents beside the node's.
func share(field, of string) Value {
	return Divide(Sum(field), Sum("sample.interval_seconds").Of(Exists(of)))
}

func nodeStates() *Panel {
	return panel("A8-states", "What does the Swarm say of its nodes?", "What the Swarm's leader says of each node. Empty where no agent on a manager has the engine's socket.",
		Dataset("swarm_node"), &Rows{SortBy: -1, Layer: &Layer{
			Buckets: []Bucket{Each("Node", 200, "swarm.node.name")},
			Metrics: []Metric{
				{Label: "State", Value: LastText("swarm.node.state")},
				{Label: "Availability", Value: LastText("swarm.node.availability")},
				{Label: "Reason", Value: LastText("swarm.node.message")},
				{Label: "Role", Value: LastText("swarm.node.role")},
				{Label: "Leader", Value: LastBoolean("swarm.node.leader")},
				{Label: "Engine", Value: LastText("swarm.node.engine_version")},
				{Label: "CPUs", Value: LastNumber("swarm.node.cpus"), Unit: Cores},
				{Label: "Memory", Value: LastNumber("swarm.node.memory_bytes"), Unit: Bytes},
				{Label: "Last told", Value: LastTime("@timestamp")},
			},
		}})
}
