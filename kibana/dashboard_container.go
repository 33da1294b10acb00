package kibana

// containerBoard is D: what is going on in one container?
func containerBoard() *Dashboard {
	return &Dashboard{
		ID: containerID, Letter: "D", Title: "Container", view: currentView(),
		Description: "What is going on in a container? Choose one above.",
		Controls: []Control{
			{Title: "Service", Field: "swarm.service.name"},
			{Title: "Node", Field: "host.name"},
			{Title: "Container", Field: "container.name", One: true},
		},
		Panels: arrange(
			across(7, containerFacts()),
			across(13, containerCPU(), cpuOfLimit("D1-limit")),
			across(13, containerMemory(), memoryOfLimit("D2-limit")),
			across(12, faults(), containerPressure()),
			across(12, traffic("D5"), packets()),
			across(12, interfaces(), connections()),
			across(12, diskTraffic("D6"), diskOperations(), containerDevices()),
			across(12, processes(), descriptors()),
			across(12, containerSpace(), verdicts("D10")),
			across(12, containerEvents()),
		),
	}
}

func containerFacts() *Panel {
	return panel("D1-facts", "Which container is it?", "What is known of the container at the end of the time range."+noContainers,
		containers(), &Rows{SortBy: -1, Layer: &Layer{
			Buckets: []Bucket{Top("Container", 20, "container.name", Count())},
			Metrics: []Metric{
				{Label: "Service", Value: LastText("swarm.service.name")},
				{Label: "Node", Value: LastText("host.name")},
				{Label: "State", Value: LastText("container.state")},
				{Label: "Health", Value: LastText("container.health")},
				{Label: "Image", Value: LastText("container.image.name")},
				{Label: "Tag", Value: LastText("container.image.tag")},
				{Label: "Started", Value: LastTime("container.started")},
				{Label: "Restarts", Value: LastNumber("container.restart_count"), Unit: Pieces},
				{Label: "CPU limit", Value: LastNumber("container.cpu.limit_cores"), Unit: Cores},
				{Label: "Memory limit", Value: LastNumber("container.memory.limit_bytes"), Unit: Bytes},
			},
		}})
}

func containerCPU() *Panel {
	return panel("D1-cpu", "CPU", "CPU time in user mode and in the kernel, the highest use between two samples, and the limit, if there is one."+noContainers,
		containers(), &XY{Left: "Cores", Layers: []*Layer{
			{Series: Areas, Buckets: []Bucket{Time()}, Metrics: []Metric{
				{Label: "User", Value: PerSecond("container.cpu.user_core_seconds"), Unit: Cores, Color: colorCPU},
				{Label: "System", Value: PerSecond("container.cpu.system_core_seconds"), Unit: Cores, Color: colorMemory},
			}},
			{Series: Lines, Buckets: []Bucket{Time()}, Metrics: []Metric{
				{Label: "Peak", Value: Max("container.cpu.peak_cores"), Unit: Cores, Color: colorSent},
				{Label: "Limit", Value: Total("container.cpu.limit_cores").Of(Exists("container.cpu.limit_cores")), Unit: Cores, Color: colorBad},
			}},
		}})
}

func containerMemory() *Panel {
	return panel("D2", "Memory: what is it?", "What is charged to the container, and the limit, if there is one. The page cache is given back when something else needs it."+noContainers,
		containers(), &XY{Left: "Memory", Layers: []*Layer{
			{Series: Areas, Buckets: []Bucket{Time()}, Metrics: []Metric{
				{Label: "Processes", Value: Total("container.memory.rss_bytes"), Unit: Bytes, Color: colorMemory},
				{Label: "Kernel", Value: Total("container.memory.kernel_bytes"), Unit: Bytes, Color: colorSent},
				{Label: "Page cache", Value: Total("container.memory.cache_bytes"), Unit: Bytes, Color: colorLimit},
			}},
			{Series: Lines, Buckets: []Bucket{Time()}, Metrics: []Metric{
				{Label: "Working set", Value: Total("container.memory.working_set_bytes"), Unit: Bytes, Color: colorCPU},
				{Label: "Swap", Value: Total("container.memory.swap_bytes"), Unit: Bytes, Color: colorWritten},
				{Label: "Limit", Value: Total("container.memory.limit_bytes").Of(Exists("container.memory.limit_bytes")), Unit: Bytes, Color: colorBad},
			}},
		}})
}

func faults() *Panel {
	return panel("D3", "Has it enough memory?", "Pages that had to be read from disk, and pages that came back soon after they were thrown out. Many of them mean too little memory. Zero where there is enough; cgroup v1 doesn't count what is looked at.",
		containers(), &XY{Left: "Pages each second", Layers: []*Layer{{
			Series: Lines, Buckets: []Bucket{Time()}, Metrics: []Metric{
				{Label: "Read from disk (major faults)", Value: PerSecond("container.memory.major_page_faults"), Unit: EachSecond, Color: colorBad},
				{Label: "Files' pages that came back", Value: PerSecond("container.memory.refaults_file"), Unit: EachSecond, Color: colorLimit},
				{Label: "Processes' pages that came back", Value: PerSecond("container.memory.refaults_anon"), Unit: EachSecond, Color: colorSent},
				{Label: "Looked at for reclaim", Value: PerSecond("container.memory.pages_scanned"), Unit: EachSecond, Color: colorCapacity},
			},
		}}})
}

func containerPressure() *Panel {
	return panel("D4", "What does it wait for?", "Share of the time in which some or all of its tasks waited for a CPU, memory or IO; the mean of the containers."+noPressure,
		All(containers(), Exists("container.pressure.cpu.some_seconds")), &XY{Left: "Share of time", Layers: []*Layer{{
			Series: Lines, Buckets: []Bucket{Time()}, Metrics: pressures("container."),
		}}})
}

func packets() *Panel {
	both := func(what string) Value {
		return Add(PerSecond("container.network.ingress."+what), PerSecond("container.network.egress."+what))
	}
	return panel("D5-packets", "Packets, and what is lost", "Packets both ways, those with errors, and those dropped. The last two are zero where nothing is lost; empty where the container has no network of its own.",
		containers(), &XY{Left: "Packets each second", Right: "Lost each second", Layers: []*Layer{{
			Series: Lines, Buckets: []Bucket{Time()}, Metrics: []Metric{
				{Label: "Packets", Value: both("packets"), Unit: EachSecond, Color: colorReceived},
				{Label: "Errors", Value: both("errors"), Unit: EachSecond, Color: colorBad, Right: true},
				{Label: "Dropped", Value: both("dropped"), Unit: EachSecond, Color: colorLimit, Right: true},
			},
		}}})
}

func interfaces() *Panel {
	var received, sent []Metric
	for _, of := range []struct{ name, received, sent string }{
		{"eth0", colorReceived, colorSent}, {"eth1", colorCPU, colorLimit}, {"eth2", colorMemory, colorWritten}, {"eth3", colorCapacity, colorBad},
	} {
		in, out := "container.interfaces."+of.name+".network.ingress.bytes", "container.interfaces."+of.name+".network.egress.bytes"
		received = append(received, Metric{Label: of.name + ", received", Value: TotalPerSecond(in).Of(Exists(in)), Unit: BytesPerSecond, Color: of.received})
		sent = append(sent, Metric{Label: of.name + ", sent", Value: TotalPerSecond(out).Of(Exists(out)), Unit: BytesPerSecond, Color: of.sent})
	}
	return panel("D5-interfaces", "Through which network?", "Bytes of each of its interfaces, of which it has one for each network that it is in, and in a Swarm one for the way out. Empty where there is one alone.",
		All(containers(), Exists("container.interfaces.eth0.network.ingress.bytes")), &XY{Left: "Bytes each second", Layers: []*Layer{{
			Series: Lines, Buckets: []Bucket{Time()}, Metrics: append(received, sent...),
		}}})
}

func connections() *Panel {
	in := func(states ...string) Value {
		value := Total("container.tcp." + states[0])
		for _, state := range states[1:] {
			value = Add(value, Total("container.tcp."+state))
		}
		return value
	}
	return panel("D5-connections", "In which states are its connections?", "TCP connections by their state: many that the other side has closed are ones that the program has forgotten to close. Empty unless the agent is asked to count sockets (the groups tcp and udp).",
		All(containers(), Exists("container.tcp.established")), &XY{Left: "Sockets", Layers: []*Layer{{
			Series: Lines, Buckets: []Bucket{Time()}, Metrics: []Metric{
				{Label: "Established", Value: in("established"), Unit: Pieces, Color: colorReceived},
				{Label: "Listening", Value: in("listen"), Unit: Pieces, Color: colorCPU},
				{Label: "Being opened", Value: in("syn_sent", "syn_recv"), Unit: Pieces, Color: colorSent},
				{Label: "Closed by the other side", Value: in("close_wait"), Unit: Pieces, Color: colorBad},
				{Label: "Being closed", Value: in("fin_wait1", "fin_wait2", "closing", "last_ack"), Unit: Pieces, Color: colorLimit},
				{Label: "Waiting for late packets", Value: in("time_wait"), Unit: Pieces, Color: colorCapacity},
				{Label: "UDP", Value: Total("container.udp.listen").Of(Exists("container.udp.listen")), Unit: Pieces, Color: colorMemory},
			},
		}}})
}

func diskOperations() *Panel {
	return panel("D6-operations", "How often does it read and write?", "Reads and writes of devices; what the page cache served isn't among them."+noBlockIO,
		containers(), &XY{Left: "Operations each second", Layers: []*Layer{{
			Series: Lines, Buckets: []Bucket{Time()}, Metrics: []Metric{
				{Label: "Reads", Value: PerSecond("container.disk.read.operations"), Unit: EachSecond, Color: colorRead},
				{Label: "Writes", Value: PerSecond("container.disk.write.operations"), Unit: EachSecond, Color: colorWritten},
			},
		}}})
}

func containerDevices() *Panel {
	return linesOf("container_device", Top("Device", 10, "device.name", Count()), "D6-devices", "To and from which disk?",
		"Bytes of each device, in the intervals in which it used several. Empty where it uses one at a time."+noBlockIO, "Bytes each second", []Metric{
			{Label: "Read", Value: TotalPerSecond("device.disk.read.bytes"), Unit: BytesPerSecond},
			{Label: "Written", Value: TotalPerSecond("device.disk.write.bytes"), Unit: BytesPerSecond},
		})
}

func processes() *Panel {
	return panel("D7", "How many processes and threads?", "Processes and threads, and the limit, if there is one. Processes alone are counted if the agent is asked to, and empty otherwise.",
		containers(), &XY{Left: "Number", Layers: []*Layer{{
			Series: Lines, Buckets: []Bucket{Time()}, Metrics: []Metric{
				{Label: "Processes and threads", Value: Total("container.pids.current"), Unit: Pieces, Color: colorCPU},
				{Label: "Processes", Value: Total("container.processes.count").Of(Exists("container.processes.count")), Unit: Pieces, Color: colorMemory},
				{Label: "Limit", Value: Total("container.pids.limit").Of(Exists("container.pids.limit")), Unit: Pieces, Color: colorBad},
			},
		}}})
}

func descriptors() *Panel {
	return panel("D7-files", "How many open files and sockets?", "Open file descriptors, the sockets among them, and how many the first process may have. Empty unless the agent is asked to count processes.",
		All(containers(), Exists("container.processes.file_descriptors")), &XY{Left: "Number", Layers: []*Layer{{
			Series: Lines, Buckets: []Bucket{Time()}, Metrics: []Metric{
				{Label: "Open files", Value: Total("container.processes.file_descriptors"), Unit: Pieces, Color: colorCPU},
				{Label: "Sockets", Value: Total("container.processes.sockets"), Unit: Pieces, Color: colorSent},
				{Label: "Most that the first process may have", Value: Total("container.processes.open_files_limit").Of(Exists("container.processes.open_files_limit")), Unit: Pieces, Color: colorBad},
			},
		}}})
}

func containerSpace() *Panel {
	return panel("D8", "How much disk space does it take?", "What it wrote into its own layer, its log, and its volumes. Empty where the agent doesn't see the engine's files.",
		All(containers(), Exists("container.storage.as_of_seconds")), &XY{Left: "Disk space", Layers: []*Layer{{
			Series: Areas, Buckets: []Bucket{Time()}, Metrics: []Metric{
				{Label: "Layer", Value: Total("container.storage.layer_bytes"), Unit: Bytes, Color: colorCPU},
				{Label: "Log", Value: Total("container.storage.log_bytes"), Unit: Bytes, Color: colorBad},
				{Label: "Volumes", Value: Total("container.storage.volume_bytes"), Unit: Bytes, Color: colorMemory},
			},
		}}})
}

func containerEvents() *Panel {
	return panel("D9", "What happened to it?", "Events of the container and when each kind came last. Empty where nothing happened in the time range.",
		All(Dataset("event"), Exists("container.id")), &Rows{SortBy: -1, Layer: &Layer{
			Buckets: []Bucket{Top("Container", 20, "container.name", Count()), Top("Event", 10, "event.action", Count())},
			Metrics: []Metric{
				{Label: "Times", Value: Count(), Unit: Pieces},
				{Label: "Last", Value: LastTime("@timestamp")},
				{Label: "Exit code", Value: LastNumber("container.exit_code")},
				{Label: "Killed for want of memory", Value: LastBoolean("container.oom_killed")},
				{Label: "Health", Value: LastText("container.health")},
				{Label: "Node", Value: LastText("host.name")},
			},
		}})
}

// verdicts is on the board of noisy neighbours, too.
func verdicts(id string) *Panel {
	return panel(id, "What is wrong, and when?", "Containers with each verdict: throttled (by their own limit), cpu_starved (by others), memory_pressure, io_pressure, memory_near_limit. Empty where nothing is wrong. Who has no limit at all is said by the noisy neighbours' last panel.",
		All(containers(), Exists("container.verdict")), &XY{Left: "Containers", Layers: []*Layer{{
			Series:  Bars,
			Buckets: []Bucket{Top("Verdict", 7, "container.verdict", Count()).Without("no_cpu_limit", "no_memory_limit"), Time()},
			Metrics: []Metric{{Label: "Containers", Value: UniqueCount("container.id"), Unit: Pieces}},
		}}})
}
