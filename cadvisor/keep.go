package cadvisor

// Keep takes out of v what belongs to a group of metrics that is off.
func (v *ContainerStats) Keep(on Groups) {
	if !on.Has("percpu") {
		v.CPU.Usage.PerCPU = v.CPU.Usage.PerCPU[:0]
	}
	if !on.Has("diskIO") {
		v.DiskIO.IOServiceBytes, v.DiskIO.IOServiced = v.DiskIO.IOServiceBytes[:0], v.DiskIO.IOServiced[:0]
	}
	if !on.Has("network") {
		v.Network = nil
	}
	if !on.Has("disk") {
		v.Filesystem = v.Filesystem[:0]
	}
	if !on.Has("oom_event") {
		v.OOMEvents = 0
	}
	if !on.Has("pressure") {
		v.CPU.PSI, v.DiskIO.PSI, v.Memory.PSI = PSI{}, PSI{}, PSI{}
	}
}

// Complete gives v the parts that older cAdvisors always print, as zeros where nothing
// was read: scripts that were written for them look into network without asking whether
// it is there.
func (v *ContainerStats) Complete() {
	if v.Network == nil {
		v.network = Network{Interfaces: v.network.Interfaces[:0]}
		v.Network = &v.network
	}
	if v.Processes == nil {
		v.processes = Processes{}
		v.Processes = &v.processes
	}
}
