package kibana

// agentsBoard is G: do the agents themselves work?
func agentsBoard() *Dashboard {
	return &Dashboard{
		ID: agentsID, Letter: "G", Title: "Agent health", view: currentView(),
		Description: "Do the agents themselves work, and is anything missing?",
		Controls:    []Control{{Title: "Node", Field: "host.name"}},
		Panels: arrange(
			across(7, agentNumbers()...),
			across(14, agents()),
			across(13, silentNodes(), deliveryRows()),
			across(12, agentCPU(), agentMemory()),
			across(12, sweepCPU(), sweepTimes()),
			across(12, waiting(), waitingAge()),
			across(12, latency()),
			across(12, gaps(), gapRows()),
		),
	}
}

func agentNumbers() []*Panel {
	number := func(id, title, description string, where Query, m Metric) *Panel {
		m.Label = title
		return panel(id, title, description, where, &Figure{Layer: &Layer{Metrics: []Metric{m}}})
	}
	return []*Panel{
		number("G1-reporting", "Agents reporting", "Nodes from which documents came in the last minute of the time range. Zero where no agent reports.",
			Dataset("agent"), Metric{Value: UniqueCount("host.name").Lately(lately), Unit: Pieces, Color: colorCPU}),
		number("G1-degraded", "Agents in trouble", "Agents whose delivery somebody has to mend. Zero where all is well, and where no agent reports.",
			Dataset("agent"), Metric{Value: UniqueCount("host.name").Of(Is("agent.delivery.degraded", "true")).Lately(lately), Unit: Pieces, Limits: Limits{1, 2}}),
		number("G1-lost", "Documents lost", "Documents that gaps in the time range account for. Zero where nothing was lost.",
			Dataset("gap"), Metric{Value: Sum("gap.documents"), Unit: Pieces, Limits: Limits{1, 1000}}),
		number("G1-missed", "Sweeps missed", "Sweeps over the containers that weren't made in the time range: an agent was stopped or the node was too busy. Zero where none was missed.",
			Dataset("gap"), Metric{Value: Sum("gap.sweeps"), Unit: Pieces, Limits: Limits{1, 60}}),
	}
}

// perSweep is the CPU time of an agent for each of its sweeps, since its start: both are
// totals of a run.
func perSweep() Value { return Divide(Max("agent.cpu.core_seconds"), Max("agent.sweep.count")) }

func agents() *Panel {
	return panel("G2", "How are the agents?", "What each agent says of itself: its version, its sweeps, and what it needs."+noDocuments,
		Dataset("agent"), &Rows{SortBy: -1, Layer: &Layer{
			Buckets: []Bucket{Each("Node", 200, "host.name")},
			Metrics: []Metric{
				{Label: "Last seen", Value: LastTime("@timestamp")},
				{Label: "Version", Value: LastText("agent.version")},
				{Label: "Running since", Value: LastTime("agent.started")},
				{Label: "Cgroups", Value: LastNumber("agent.containers"), Unit: Pieces},
				{Label: "Longest sweeps (p95)", Value: Percentile("agent.sweep.longest_seconds", 95), Unit: Seconds, Limits: Limits{0.25, 0.8}},
				{Label: "Latest (p95)", Value: Percentile("agent.sweep.latest_seconds", 95), Unit: Seconds, Limits: Limits{0.25, 0.8}},
				{Label: "Missed sweeps", Value: Max("agent.sweep.missed"), Unit: Pieces, Limits: Limits{1, 60}},
				{Label: "CPU for a sweep", Value: perSweep(), Unit: Seconds},
				{Label: "Memory", Value: LastNumber("agent.memory.rss_bytes"), Unit: Bytes},
			},
		}}, toNode, toNeighbours)
}

func silentNodes() *Panel {
	return panel("G3", "Which nodes have no agent?", "Nodes of the Swarm, and how many documents of their agents came in the last minute of the time range: none means that the agent doesn't run or can't deliver. Nodes without an agent are missing here where no agent on a manager has the engine's socket; without any agent it is empty.",
		Dataset("swarm_node", "agent"), &Rows{SortBy: -1, Layer: &Layer{
			Buckets: []Bucket{Each("Node", 200, "swarm.node.name")},
			Metrics: []Metric{
				{Label: "Documents of its agent", Value: Count().Of(Dataset("agent")).Lately(lately), Unit: Pieces},
				{Label: "Agent last seen", Value: LastTime("@timestamp").Of(Dataset("agent"))},
				{Label: "State in the Swarm", Value: LastText("swarm.node.state")},
				{Label: "Availability", Value: LastText("swarm.node.availability")},
			},
		}})
}

func deliveryRows() *Panel {
	return panel("G4", "Are documents delivered?", "Documents that wait, that Elasticsearch refused, and what is in the way. The troubles are empty where there are none."+noDocuments,
		Dataset("agent"), &Rows{SortBy: 0, Layer: &Layer{
			Buckets: []Bucket{Top("Node", 50, "host.name", Max("agent.documents.pending"))},
			Metrics: []Metric{
				{Label: "Waiting", Value: LastNumber("agent.documents.pending"), Unit: Pieces, Limits: Limits{1000, 100000}},
				{Label: "Indexed", Value: LastNumber("agent.documents.indexed"), Unit: Pieces},
				{Label: "Refused", Value: LastNumber("agent.documents.dead"), Unit: Pieces, Limits: Limits{1, 100}},
				{Label: "Spool", Value: LastNumber("agent.spool.bytes"), Unit: Bytes},
				{Label: "Attempts again", Value: LastNumber("agent.bulk.retries"), Unit: Pieces},
				{Label: "Trouble", Value: LastText("agent.delivery.trouble").Lately(lately)},
				{Label: "Trouble with the disk", Value: LastText("agent.spool.fault").Lately(lately)},
			},
		}}, toNode, toDisk)
}

// perAgent is a chart with a line for each agent.
func perAgent(id, title, description, axis string, value Value, order Value, unit Unit, links ...Link) *Panel {
	return panel(id, title, description, Dataset("agent"), &XY{Left: axis, Layers: []*Layer{{
		Series:  Lines,
		Buckets: []Bucket{Top("Node", 20, "host.name", order), Time()},
		Metrics: []Metric{{Label: title, Value: value, Unit: unit}},
	}}}, append([]Link{toNode}, links...)...)
}

// agentCPU is made of totals of a run: what was added within a bucket of time, by the time
// between the bucket's documents. Of a bucket with documents of two runs that would be
// nonsense: its number is divided by the whole part of 1/2, which is no number.
func agentCPU() *Panel {
	const used, microseconds = "agent.cpu.core_seconds", "timestamp"
	added := Subtract(Max(used), Min(used))
	seconds := Multiply(Subtract(Max(microseconds), Min(microseconds)), Number(1e-6))
	oneRun := Floor(Divide(Number(1), UniqueCount("agent.epoch")))
	return perAgent("G5-cpu", "What CPU do agents need?", "CPU time of the agent in each second, 100 % is one core. Has a gap where the agent was started anew, and is empty where a bucket of time has only one of its documents, as in a time range of five minutes.", "Share of a core",
		Divide(Divide(added, seconds), oneRun), Max(used), Ratio, toNeighbours)
}

func sweepCPU() *Panel {
	return perAgent("G5-sweep", "What CPU does a sweep need?", "CPU time for a sweep over all containers, the mean since the agent's start. A hundredth of a second each second is 1 % of a core."+noDocuments, "Seconds for a sweep",
		perSweep(), Max("agent.cpu.core_seconds"), Seconds, toNeighbours)
}

func agentMemory() *Panel {
	return perAgent("G5-memory", "What memory do agents need?", "Memory of the agents' processes."+noDocuments, "Memory",
		Max("agent.memory.rss_bytes"), Max("agent.memory.rss_bytes"), Bytes)
}

func sweepTimes() *Panel {
	return perAgent("G6", "Do sweeps end in time?", "The longest sweep of each agent. One that takes longer than the sampling interval, a second, makes it miss the next."+noDocuments, "Seconds",
		Max("agent.sweep.longest_seconds"), Max("agent.sweep.longest_seconds"), Seconds, toNeighbours)
}

func waiting() *Panel {
	return perAgent("G7", "How much waits in the spool?", "Batches that Elasticsearch has not acknowledged yet: one or two are usual, a growing number means that it isn't reached. Zero where nothing waits; empty where no agent reports.", "Batches",
		Max("agent.spool.batches"), Max("agent.spool.batches"), Pieces, toDisk)
}

func waitingAge() *Panel {
	return perAgent("G7-age", "How old is what waits?", "Age of the oldest interval that waits in the spool: how far Elasticsearch is behind the node. Empty while nothing waits.", "Seconds",
		Max("agent.spool.oldest_seconds"), Max("agent.spool.oldest_seconds"), Seconds, toDisk)
}

func latency() *Panel {
	return perAgent("G7-latency", "How long does Elasticsearch take?", "The slowest of each agent's requests that delivered documents, from sending it to the answer. Empty while nothing is delivered.", "Seconds",
		Max("agent.bulk.longest_seconds"), Max("agent.bulk.longest_seconds"), Seconds)
}

func gaps() *Panel {
	return panel("G8", "What was lost, and why?", "Documents that were lost and sweeps that weren't made. Empty where nothing was lost.",
		Dataset("gap"), &XY{Left: "Documents or sweeps", Layers: []*Layer{{
			Series:  Bars,
			Buckets: []Bucket{Top("Reason", 10, "gap.reason", Count()), Time()},
			Metrics: []Metric{
				{Label: "Documents", Value: Sum("gap.documents"), Unit: Pieces},
				{Label: "Sweeps", Value: Sum("gap.sweeps"), Unit: Pieces},
			},
		}}})
}

func gapRows() *Panel {
	return panel("G8-rows", "Where was it lost?", "Gaps by node and reason. Empty where nothing was lost.",
		Dataset("gap"), &Rows{SortBy: 0, Layer: &Layer{
			Buckets: []Bucket{Top("Node", 50, "host.name", Count()), Top("Reason", 10, "gap.reason", Count())},
			Metrics: []Metric{
				{Label: "Documents", Value: Sum("gap.documents"), Unit: Pieces},
				{Label: "Sweeps", Value: Sum("gap.sweeps"), Unit: Pieces},
				{Label: "Last", Value: LastTime("@timestamp")},
			},
		}}, toNode, toNeighbours)
}
