package kibana

// diskBoard is F: where does the disk space go?
func diskBoard() *Dashboard {
	return &Dashboard{
		ID: diskID, Letter: "F", Title: "Disk space", view: currentView(),
		Description: "Where does the disk space go, and when is it gone?",
		Controls: []Control{
			{Title: "Node", Field: "host.name"}, {Title: "Stack", Field: "swarm.stack"},
			{Title: "Service", Field: "swarm.service.name"},
		},
		Panels: arrange(
			across(13, filesystems("F1", toNode, toAgents)),
			across(12, filesystemHistory(), spaceHistory()),
			across(12, engineSpace()),
			across(14, spaceRows("F3-layers", "Which containers write into their own layer?", "layer_bytes"),
				spaceRows("F3-logs", "Whose logs are the largest?", "log_bytes")),
			across(14, spaceRows("F3-volumes", "Whose volumes are the largest?", "volume_bytes"), serviceSpace()),
		),
	}
}

func filesystemHistory() *Panel {
	return panel("F1-history", "How full are the disks?", "The fullest filesystem of each node.",
		Dataset("filesystem"), &XY{Left: "Used", Lines: []Line{{"nearly full", 0.9, Ratio}}, Layers: []*Layer{{
			Series:  Lines,
			Buckets: []Bucket{Top("Node", 20, "host.name", Max("filesystem.usage")), Time()},
			Metrics: []Metric{{Label: "Used", Value: Max("filesystem.usage"), Unit: Ratio}},
		}}}, toNode, toNeighbours)
}

// seen are the containers whose files the agent counts.
func seen() Query { return All(containers(), Exists("container.storage.as_of_seconds")) }

const noFiles = " Empty where the agent doesn't see the engine's files. A volume that several containers have counts for each of them."

func spaceHistory() *Panel {
	return panel("F2", "What do containers take?", "Layers, logs and volumes of all containers together."+noFiles,
		seen(), &XY{Left: "Disk space", Layers: []*Layer{{
			Series: Areas, Buckets: []Bucket{Time()}, Metrics: []Metric{
				{Label: "Layers", Value: Total("container.storage.layer_bytes"), Unit: Bytes, Color: colorCPU},
				{Label: "Logs", Value: Total("container.storage.log_bytes"), Unit: Bytes, Color: colorBad},
				{Label: "Volumes", Value: Total("container.storage.volume_bytes"), Unit: Bytes, Color: colorMemory},
			},
		}}})
}

func engineSpace() *Panel {
	return panel("F4", "What do images and the build cache take?", "Disk space of the engine on each node, and how much of it docker image prune -a and docker builder prune would give back. Empty where the agent hasn't the engine's socket; told once an hour.",
		All(Dataset("node"), Exists("engine.images.bytes")), &Rows{SortBy: 1, Layer: &Layer{
			Buckets: []Bucket{Top("Node", 50, "host.name", Max("engine.images.bytes"))},
			Metrics: []Metric{
				{Label: "Images", Value: LastNumber("engine.images.count"), Unit: Pieces},
				{Label: "Images' space", Value: LastNumber("engine.images.bytes"), Unit: Bytes},
				{Label: "Of unused images", Value: LastNumber("engine.images.reclaimable_bytes"), Unit: Bytes},
				{Label: "Build cache", Value: LastNumber("engine.build_cache.bytes"), Unit: Bytes},
				{Label: "Of it unused", Value: LastNumber("engine.build_cache.reclaimable_bytes"), Unit: Bytes},
			},
		}}, toNode, toAgents)
}

// spaceRows is a table of the containers that take the most of one kind of space.
func spaceRows(id, title, kind string) *Panel {
	field := "container.storage." + kind
	return panel(id, title, "Twenty containers, and how much it has become in the time range."+noFiles,
		seen(), &Rows{SortBy: 0, Layer: &Layer{
			Buckets: []Bucket{Top("Container", 20, "container.name", Max(field))},
			Metrics: []Metric{
				{Label: "Now", Value: LastNumber(field), Unit: Bytes},
				{Label: "More than at the least", Value: Subtract(LastNumber(field), Min(field)), Unit: Bytes},
				{Label: "Service", Value: LastText("swarm.service.name")},
				{Label: "Node", Value: LastText("host.name")},
			},
		}}, toContainer)
}

func serviceSpace() *Panel {
	return panel("F5", "Which services take the most?", "Layers, logs and volumes of all containers of a service."+noFiles,
		All(seen(), Exists("swarm.service.name")), &Rows{SortBy: 1, Layer: &Layer{
			Buckets: []Bucket{Top("Service", 20, "swarm.service.name", Sum("container.storage.log_bytes"))},
			Metrics: []Metric{
				{Label: "Layers", Value: Total("container.storage.layer_bytes"), Unit: Bytes},
				{Label: "Logs", Value: Total("container.storage.log_bytes"), Unit: Bytes},
				{Label: "Volumes", Value: Total("container.storage.volume_bytes"), Unit: Bytes},
			},
		}}, toService)
}
