package test

// lack is why a panel, or a number of it, shows nothing in the test.
type lack struct {
	why string
	// varies is true where it depends on the machine and the moment. All other lines have to
	// be needed.
	varies bool
}

// dashboardsLack returns what panels don't show in the test: by the panel's id, by that and a
// column's name, or by an asterisk and the name of a column of any panel.
func dashboardsLack() map[string]lack {
	// Reasons that many have.
	var (
		young       = lack{why: "the Swarm is a minute old"}
		blockIO     = lack{"cgroup v1 doesn't count the I/O of block devices that queue by themselves", true}
		noPressure  = lack{"containers have no pressure on cgroup v1; see checkPanelsOfV2", true}
		noSwap      = lack{"the machine has no swap", true}
		noLoss      = lack{"virtual networks lose nothing", true}
		fewNetworks = lack{"the container that is looked at is in few networks, and may send nothing to one of them", true}
		noReclaim   = lack{"there is memory enough for files, and cgroup v1 doesn't count what is looked at", true}
		nothing     = lack{why: "no agent is in trouble, and none has lost anything"}
		moment      = lack{"a question of the moment", true}
		usual       = lack{"most containers may have nothing to do", true}
	)

	return map[string]lack{
		"*an hour before:":                 young,
		"*More each day":                   young,
		"*Layers, more than a day before":  young,
		"*Logs, more than a day before":    young,
		"*Volumes, more than a day before": young,
		"*Full in":                         young,

		"A5-disk/Who writes to disks?":               blockIO,
		"B2-disk/Read":                               blockIO,
		"B2-disk/Written":                            blockIO,
		"D6/Read":                                    blockIO,
		"D6-devices":                                 {"cgroup v1 doesn't count the I/O of block devices that queue by themselves, and one device is what a container uses mostly; see checkPanelsOfV2", true},
		"B2-disk-spread/Read, busiest replica":       blockIO,
		"B2-disk-spread/Written, busiest replica":    blockIO,
		"B2-disk-spread/Read, median replica":        usual,
		"B2-disk-spread/Written, median replica":     usual,
		"B2-network-spread/Received, median replica": usual,
		"B2-network-spread/Sent, median replica":     usual,
		"D6/Written":                                 blockIO,
		"D6-operations/Reads":                        blockIO,
		"D6-operations/Writes":                       blockIO,
		"E3/Reads":                                   blockIO,
		"E3/Writes":                                  blockIO,
		"E3-reads/Reads":                             blockIO,
		"E3-writes/Writes":                           blockIO,

		"D4": noPressure,
		"E2": noPressure,

		"C3-swap/Out":    noSwap,
		"C3-swap/In":     noSwap,
		"C3-swap/In use": noSwap,
		"D2/Swap":        noSwap,

		"C6-trouble/Errors":    noLoss,
		"C6-trouble/Dropped":   noLoss,
		"D5-packets/Errors":    noLoss,
		"D5-packets/Dropped":   noLoss,
		"H8/Receive errors":    noLoss,
		"H8/Send errors":       noLoss,
		"H8/Received, dropped": noLoss,
		"H8/Sent, dropped":     noLoss,

		"D5-interfaces/eth1, received":            fewNetworks,
		"D5-interfaces/eth1, sent":                fewNetworks,
		"D5-interfaces/eth2, received":            fewNetworks,
		"D5-interfaces/eth2, sent":                fewNetworks,
		"D5-interfaces/eth3, received":            fewNetworks,
		"D5-interfaces/eth3, sent":                fewNetworks,
		"D5-connections/Established":              moment,
		"D5-connections/Being opened":             moment,
		"D5-connections/Closed by the other side": moment,
		"D5-connections/Being closed":             moment,
		"D5-connections/Waiting for late packets": moment,

		"D3/Read from disk (major faults)":   noReclaim,
		"D3/Files' pages that came back":     noReclaim,
		"D3/Processes' pages that came back": noReclaim,
		"D3/Looked at for reclaim":           noReclaim,
		"E3/Reclaim":                         noReclaim,
		"E3-reclaim/Reclaim":                 noReclaim,
		"H5/Major page faults":               noReclaim,
		"E4/Slowed down (high)":              {"nothing has a boundary of that kind, and cgroup v1 knows none", true},

		"G1-degraded/Agents in trouble":   nothing,
		"G1-lost/Documents lost":          nothing,
		"G4/Refused":                      nothing,
		"G4/Trouble":                      nothing,
		"G4/Trouble with the disk":        nothing,
		"G8/Documents":                    nothing,
		"G8-rows/Documents":               nothing,
		"G4/Attempts again":               moment,
		"G4/Spool":                        moment,
		"G7/How much waits in the spool?": moment,
		"G7-age/How old is what waits?":   moment,
		"G5-cpu/What CPU do agents need?": {"buckets of time are shorter than the interval", true},

		"*More than at the least": moment,
		"*Each day at that pace":  moment,

		"F4/Of unused images": {why: "containers run of every image"},
		"F4/Build cache":      {why: "nothing was built"},
		"F4-root/Build cache": {why: "nothing was built"},
		"F4/Of it unused":     {why: "nothing was built"},

		"A8-states/Reason":             {why: "no node is down"},
		"D1-facts/Restarts":            {why: "Swarm replaces containers instead of restarting them"},
		"D9/Exit code":                 {"the container that is looked at hasn't ended", true},
		"D9/Killed for want of memory": {"the container that is looked at hasn't ended", true},

		"C1-cpu/Hardware interrupts":      {"virtual machines have few", true},
		"C1-cpu/Waiting for IO":           moment,
		"C1-cpu/Stolen by the hypervisor": moment,
		"D7-files/Sockets":                moment,
		"H9/Stopped":                      {why: "no task of a container is stopped when it is looked at"},
		"H9/Uninterruptible":              moment,
		"H9/Waiting for IO":               {why: "the kernel doesn't tell"},
	}
}
