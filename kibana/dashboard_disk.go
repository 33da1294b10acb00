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
			across(7, spaceGrowth()...),
			across(12, rootSpace()),
			across(12, engineSpace()),
			across(14, spaceRows("F3-layers", "Which containers write into their own layer?", "layer_bytes"),
				spaceRows("F3-logs", "Whose logs are the largest?", "log_bytes")),
			across(14, spaceRows("F3-volumes", "Whose volumes are the largest?", "volume_bytes"), serviceSpace()),
		),
	}
}

func filesystemHistory() *Panel {
	return panel("F1-history", "How full are the disks?", "The fullest filesystem of each node."+noDocuments,
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

// spaceGrowth is how much more there is now than a day before, of each kind.
func spaceGrowth() []*Panel {
	var all []*Panel
	for _, kind := range []struct{ id, title, field, color string }{
		{"F2-layers", "Layers, more than a day before", "layer_bytes", colorCPU},
		{"F2-logs", "Logs, more than a day before", "log_bytes", colorBad},
		{"F2-volumes", "Volumes, more than a day before", "volume_bytes", colorMemory},
	} {
		now := Total("container.storage." + kind.field).Lately(lately)
		all = append(all, panel(kind.id, kind.title, "All containers at the end of the time range, less all containers 24 hours before. Negative where space was given back; empty where there is nothing from the day before."+noFiles,
			seen(), &Figure{Layer: &Layer{Metrics: []Metric{{Label: kind.title, Value: Subtract(now, now.Earlier("1d")), Unit: Bytes, Color: kind.color}}}}))
	}
	return all
}

// rootSpace is the data root of each engine. Its numbers are of two kinds of documents, those of
// the node and those of containers; totals of containers are by the slots of these alone.
func rootSpace() *Panel {
	files := Exists("container.storage.as_of_seconds")
	layers := Total("container.storage.layer_bytes").Of(files)
	logs := Total("container.storage.log_bytes").Of(files)
	volumes := Total("container.storage.volume_bytes").Of(files)
	return panel("F4-root", "What is in the engine's data root?", "What fills /var/lib/docker, or wherever the engine of each node has its data: its images and its build cache, and the layers, logs and volumes of containers. The first two are empty where the agent hasn't the engine's socket, the others where it doesn't see the engine's files. A volume that several containers have counts for each of them. Which filesystem it lies on isn't told: above, it is the one that is mounted there, or the next one towards /.",
		Any(seen(), All(Dataset("node"), Exists("engine.images.bytes"))), &Rows{SortBy: 0, Layer: &Layer{
			Buckets: []Bucket{Each("Node", 200, "host.name")},
			Metrics: []Metric{
				{Label: "Of containers in all", Value: Add(Add(layers, logs), volumes), Unit: Bytes},
				{Label: "Layers", Value: layers, Unit: Bytes},
				{Label: "Logs", Value: logs, Unit: Bytes},
				{Label: "Volumes", Value: volumes, Unit: Bytes},
				{Label: "Images", Value: LastNumber("engine.images.bytes"), Unit: Bytes},
				{Label: "Build cache", Value: LastNumber("engine.build_cache.bytes"), Unit: Bytes},
			},
		}}, toNode, toAgents)
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
	// A count of files is told until the next one: what is covered is the time between counts.
	const counted, secondsOfDay = "container.storage.as_of_seconds", 86400
	more := Subtract(LastNumber(field), Min(field))
	covered := Subtract(Max(counted), Min(counted))
	return panel(id, title, "Twenty containers, how much it has become in the time range, and how much that would be in a day: a guess where the time range is short, and empty where the files were counted once in it."+noFiles,
		seen(), &Rows{SortBy: 0, Layer: &Layer{
			Buckets: []Bucket{Top("Container", 20, "container.name", Max(field))},
			Metrics: []Metric{
				{Label: "Now", Value: LastNumber(field), Unit: Bytes},
				{Label: "More than at the least", Value: more, Unit: Bytes},
				{Label: "Each day at that pace", Value: Multiply(Divide(more, covered), Number(secondsOfDay)), Unit: Bytes},
				{Label: "Service", Value: LastText("swarm.service.name")},
				{Label: "Node", Value: LastText("host.name")},
			},
		}}, toContainer)
}

// serviceSpace ranks by a sum of fields, by which Elasticsearch can't choose the first twenty:
// so all services come, and the table is sorted where it is shown.
func serviceSpace() *Panel {
	layers := Total("container.storage.layer_bytes")
	logs := Total("container.storage.log_bytes")
	volumes := Total("container.storage.volume_bytes")
	return panel("F5", "Which services take the most?", "Layers, logs and volumes of all containers of a service, the one with the most in all first."+noFiles,
		All(seen(), Exists("swarm.service.name")), &Rows{SortBy: 0, Layer: &Layer{
			Buckets: []Bucket{Each("Service", 1000, "swarm.service.name")},
			Metrics: []Metric{
				{Label: "In all", Value: Add(Add(layers, logs), volumes), Unit: Bytes},
				{Label: "Layers", Value: layers, Unit: Bytes},
				{Label: "Logs", Value: logs, Unit: Bytes},
				{Label: "Volumes", Value: volumes, Unit: Bytes},
			},
		}}, toService)
}
