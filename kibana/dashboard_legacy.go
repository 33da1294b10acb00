package kibana

// legacyBoard is H: the panels that people had made for cAdvisor's own documents, on the
// same fields. Counters are totals there, so that what these panels show only grows; the
// other dashboards show the same as it should be.
func legacyBoard() *Dashboard {
	return &Dashboard{
		ID: legacyID, Letter: "H", Title: "cAdvisor's fields", view: legacyView(),
		Description: "The panels of old on container_stats, for those who have their own on the same fields. Counters are totals since the start of the container.",
		Controls: []Control{
			{Title: "Machine", Field: "machine_name"}, {Title: "Container", Field: "container_Name"},
		},
		Panels: arrange(
			across(12, pick("H1", "Pick a machine", "machine_name"), pick("H2", "Pick a container", "container_Name")),
			across(12, legacy("H3", "CPU total, user and system", "Total CPU time.", "Nanoseconds",
				"Total", "cpu.usage.total", "User", "cpu.usage.user", "System", "cpu.usage.system"),
				legacyBytes("H4", "Memory total and hot", "Usage, and the working set.",
					"Total", "memory.usage", "Hot", "memory.working_set")),
			across(12, legacy("H5", "Page faults", "Total page faults, and those that read from disk.", "Faults",
				"Page faults", "memory.container_data.pgfault", "Major page faults", "memory.container_data.pgmajfault"),
				legacyBytes("H6", "Bytes over the network", "Total bytes.",
					"Received", "network.rx_bytes", "Sent", "network.tx_bytes")),
			across(12, legacy("H7", "Packets", "Total packets.", "Packets",
				"Received", "network.rx_packets", "Sent", "network.tx_packets"),
				legacy("H8", "Errors and dropped packets", "Totals.", "Packets",
					"Receive errors", "network.rx_errors", "Send errors", "network.tx_errors",
					"Received, dropped", "network.rx_dropped", "Sent, dropped", "network.tx_dropped")),
			across(12, legacy("H9", "States of tasks", "Zero unless the agent is started with -enable_load_reader.", "Tasks",
				"Running", "task_stats.nr_running", "Sleeping", "task_stats.nr_sleeping", "Stopped", "task_stats.nr_stopped",
				"Uninterruptible", "task_stats.nr_uninterruptible", "Waiting for IO", "task_stats.nr_io_wait"),
				legacy("H10", "Load", "Running tasks in thousandths. Zero unless the agent is started with -enable_load_reader.", "Thousandths",
					"Load", "cpu.load_average")),
		),
	}
}

// legacyDocuments are the documents that cAdvisor would have written: one for each
// container.
func legacyDocuments() Query { return All(Dataset("container"), Exists("container_Name")) }

// pick is a table to click into.
func pick(id, title, field string) *Panel {
	return panel(id, title, "A click on a name shows it alone on this dashboard."+noContainers,
		legacyDocuments(), &Rows{SortBy: 0, Layer: &Layer{
			Buckets: []Bucket{Top(title, 50, field, Count())},
			Metrics: []Metric{{Label: "Documents", Value: Count(), Unit: Pieces}},
		}})
}

// legacy is a chart of means of fields below container_stats: a label and a field for
// each.
func legacy(id, title, description, axis string, labelled ...string) *Panel {
	return legacyLines(id, title, description, axis, Pieces, labelled)
}

func legacyBytes(id, title, description string, labelled ...string) *Panel {
	return legacyLines(id, title, description, "Bytes", Bytes, labelled)
}

func legacyLines(id, title, description, axis string, unit Unit, labelled []string) *Panel {
	var metrics []Metric
	for i := 0; i < len(labelled); i += 2 {
		metrics = append(metrics, Metric{Label: labelled[i], Value: Average("container_stats." + labelled[i+1]), Unit: unit})
	}
	return panel(id, title, description+" The mean of what is chosen above."+noContainers,
		legacyDocuments(), &XY{Left: axis, Layers: []*Layer{{Series: Lines, Buckets: []Bucket{Time()}, Metrics: metrics}}})
}
