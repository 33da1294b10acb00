package shipper

import (
	"slices"

	"github.com/swarmgauge/swarmgauge/metric"
)

// interfaceNames are the interfaces of a container that its documents tell apart: those that
// engines make. By other names, which who is in the container may give as he likes, there
// would be fields without end.
var interfaceNames = [...]string{"eth0", "eth1", "eth2", "eth3"}

// oneInterface tells whether documents of containers show id of each interface.
func oneInterface(id metric.ID) bool {
	return id == metric.NetworkReceiveBytes || id == metric.NetworkTransmitBytes
}

// eachInterface are the scopes of interfaceNames; a network's fields begin with "network.".
var eachInterface = func() (scopes [len(interfaceNames)]scope) {
	for i, name := range interfaceNames {
		scopes[i] = scope{containerScope.prefix + "interfaces." + name + ".", oneInterface}
	}
	return scopes
}()

var eachInterfaceColumns = func() (c [len(interfaceNames)]columns) {
	for i := range eachInterface {
		c[i] = eachInterface[i].columns()
	}
	return c
}()

// appendInterfaces appends the bytes of each interface, where there is more than one.
func appendInterfaces(dst []byte, w *metric.Window) []byte {
	if w.Last.Rows(metric.PerInterface) < 2 {
		return dst
	}
	for row := range w.Last.Rows(metric.PerInterface) {
		if i := slices.Index(interfaceNames[:], w.Last.Key(metric.PerInterface, row).Name); i >= 0 {
			dst = appendRow(dst, w, eachInterfaceColumns[i][metric.PerInterface], row)
		}
	}
	return dst
}
