package cgroup

import "slices"

// Lack is something that this machine, or the agent's mounts, can't give.
type Lack struct {
	Of LackOf
	// Name is the controller (LackController) or the mount point (LackRoot) that it is
	// about.
	Name string
	// What is missing, and Mend what would bring it: a kernel version, a mount or a boot
	// flag; "" where nothing does.
	What, Mend string
}

// LackOf is the kind of a Lack.
type LackOf uint8

const (
	// LackController: a controller is neither mounted nor offered.
	LackController LackOf = iota
	// LackPressure: there are no pressure files.
	LackPressure
	// LackRoot: a mount doesn't begin at the machine's root cgroup.
	LackRoot
	// LackDescriptors: there are more cgroups than descriptors may be kept for.
	LackDescriptors
	// LackFile: the kernel doesn't have a file.
	LackFile
	// LackOther is none of these.
	LackOther
)

// String returns the lack as one sentence.
func (l Lack) String() string {
	if l.Mend == "" {
		return l.What
	}
	return l.What + ": " + l.Mend
}

// Lacks returns what this machine can't give. They may grow while cgroups are read. The
// caller owns the slice; any goroutine may ask.
func (h *Hierarchy) Lacks() []Lack {
	h.lacksMu.Lock()
	defer h.lacksMu.Unlock()
	return slices.Clone(h.lacks)
}

// Notes returns the Lacks as sentences, with what would bring what is missing.
func (h *Hierarchy) Notes() []string {
	var notes []string
	for _, l := range h.Lacks() {
		notes = append(notes, l.String())
	}
	return notes
}

// lack notes something that is lacking and isn't noted yet.
func (h *Hierarchy) lack(l Lack) {
	h.lacksMu.Lock()
	defer h.lacksMu.Unlock()
	if !slices.Contains(h.lacks, l) {
		h.lacks = append(h.lacks, l)
	}
}

// lackFile notes that this kernel doesn't have the file of r.
func (h *Hierarchy) lackFile(r *row) {
	if r.remedy != "" {
		h.lack(Lack{LackFile, r.name, r.name + " does not exist here (" + h.kernel.String() + ")", "it needs " + r.remedy})
	}
}
