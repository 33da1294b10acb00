package shipper

import (
	"strconv"
	"time"

	"github.com/swarmgauge/swarmgauge/cadvisor"
	"github.com/swarmgauge/swarmgauge/metric"
)

// ecsVersion is the version of the Elastic Common Schema whose field names are used.
const ecsVersion = "8.17.0"

// EncoderOptions say what documents tell of the agent. Texts may be "", which leaves
// the field out.
type EncoderOptions struct {
	// AgentVersion is the agent's version; EphemeralID is new in each of its runs.
	AgentVersion, EphemeralID string
	// Interval is the shipping interval, which numbers the slots.
	Interval time.Duration
}

// Encoder writes documents: each Append method appends one JSON object on one line,
// without a line break at its end, to dst and returns the extended slice. It keeps
// neither dst nor the window; of nodes and containers it keeps what it has encoded, for
// as long as windows of them come. In steady state it doesn't allocate.
//
// Fields lists what documents can contain. Keys are dotted and flat, which Elasticsearch
// reads as the objects that they spell, and their order is constant, which makes documents
// of a batch compress to about the numbers that differ.
//
// An Encoder belongs to one goroutine at a time.
type Encoder struct {
	options EncoderOptions
	stats   cadvisor.ContainerStats // scratch

	node       *metric.Node // whose text is in host
	host       []byte
	anyNode    int // length of the part of host that names no node of the Swarm
	identities map[*metric.Container]*identity
	newest     int64 // newest slot seen since the clock was set back
}

// NewEncoder returns an Encoder. The interval must be positive.
func NewEncoder(options EncoderOptions) *Encoder {
	return &Encoder{options: options, identities: make(map[*metric.Container]*identity)}
}

// AppendContainer appends the document of one window of a container or any other cgroup
// but the root. Its time is that of w.Last.
func (e *Encoder) AppendContainer(dst []byte, node *metric.Node, w *metric.Window) []byte {
	dst = e.begin(dst, node, w.Last.Time, `container","event.kind":"metric"`)
	dst = append(dst, e.identity(w.Container, e.slot(w))...)
	dst = appendHealth(dst, w.Container.Health)
	if n := w.Container.FailingStreak; n > 0 {
		dst = appendKept(dst, `,"container.health_failing_streak":`, uint64(n))
	}
	if exit := w.Container.Exit; exit != nil {
		dst = appendExit(dst, exit.Code, exit)
	}
	dst = e.appendSample(dst, w)

	dst = appendRow(dst, w, containerColumns[metric.PerContainer], 0)
	if w.NetworkOf == "" {
		dst = appendSums(dst, w, containerColumns[metric.PerInterface])
		dst = appendInterfaces(dst, w)
		dst = appendSums(dst, w, containerColumns[metric.PerSocket])
	}
	dst = appendSums(dst, w, containerColumns[metric.PerDevice])
	dst = appendContainerDerived(dst, node, w)

	e.stats.Fill(w.Container, w.Last)
	if w.NetworkOf != "" {
		e.stats.Network = nil
	}
	dst = append(dst, `,"container_stats":`...)
	dst = e.stats.AppendJSON(dst)
	return append(dst, '}')
}

// AppendNode appends the document of one window of the node, the container "/". Its
// time is that of w.Last. The rows of its interfaces, devices and filesystems are
// documents of their own: see AppendRow.
func (e *Encoder) AppendNode(dst []byte, node *metric.Node, w *metric.Window) []byte {
	dst = e.begin(dst, node, w.Last.Time, `node","event.kind":"metric","container_Name":"/"`)
	dst = e.appendSample(dst, w)

	dst = appendRow(dst, w, hostColumns[metric.PerContainer], 0)
	dst = appendSums(dst, w, hostColumns[metric.PerInterface])
	dst = appendSums(dst, w, hostColumns[metric.PerDevice])
	dst = appendRow(dst, w, hostColumns[metric.PerNode], 0)
	dst = appendNodeDerived(dst, node, w)
	if node.EngineDisk != nil {
		dst = appendEngineDisk(dst, node.EngineDisk)
	}

	e.stats.Fill(w.Container, w.Last)
	dst = append(dst, `,"container_stats":`...)
	dst = e.stats.AppendJSON(dst)
	return append(dst, '}')
}

// AppendRow appends the document of one interface, device or filesystem of the node, or of a
// device of a container: per is PerInterface, PerDevice or PerFilesystem, and row one of
// w.Last.Rows(per). Its time is that of w.Last.
func (e *Encoder) AppendRow(dst []byte, node *metric.Node, w *metric.Window, per metric.Per, row int) []byte {
	key := w.Last.Key(per, row)
	switch per {
	case metric.PerInterface:
		dst = e.begin(dst, node, w.Last.Time, `interface","event.kind":"metric"`)
		dst = appendText(dst, `,"interface.name":`, key.Name)
		dst = e.appendSample(dst, w)
		return append(appendRow(dst, w, interfaceColumns[per], row), '}')
	case metric.PerDevice:
		if w.Container.Path == metric.Root {
			dst = e.begin(dst, node, w.Last.Time, `device","event.kind":"metric"`)
		} else {
			dst = e.begin(dst, node, w.Last.Time, `container_device","event.kind":"metric"`)
			dst = append(dst, e.identity(w.Container, e.slot(w))...)
		}
		dst = appendText(dst, `,"device.name":`, key.Name)
		dst = append(dst, `,"device.major":`...)
		dst = strconv.AppendUint(dst, uint64(key.Major), 10)
		dst = append(dst, `,"device.minor":`...)
		dst = strconv.AppendUint(dst, uint64(key.Minor), 10)
		dst = e.appendSample(dst, w)
		dst = appendRow(dst, w, deviceColumns[per], row)
		return append(appendDeviceDerived(dst, w, row), '}')
	default:
		dst = e.begin(dst, node, w.Last.Time, `filesystem","event.kind":"metric"`)
		dst = appendText(dst, `,"filesystem.device":`, key.Name)
		dst = appendText(dst, `,"filesystem.mount_point":`, key.Mountpoint)
		dst = appendText(dst, `,"filesystem.type":`, key.Type)
		dst = e.appendSample(dst, w)
		dst = appendRow(dst, w, filesystemColumns[per], row)
		return append(appendFilesystemDerived(dst, w, row), '}')
	}
}

// AppendEvent appends the document of one event. Its time is the event's.
func (e *Encoder) AppendEvent(dst []byte, node *metric.Node, event *metric.Event) []byte {
	if event.Service != nil {
		dst = e.beginSwarm(dst, node, event.Time.UnixNano(), `event","event.kind":"event"`)
		dst = appendText(dst, `,"event.action":`, string(event.Action))
		return appendServiceEvent(dst, event.Service)
	}
	c := event.Container
	dst = e.begin(dst, node, event.Time.UnixNano(), `event","event.kind":"event"`)
	dst = appendText(dst, `,"event.action":`, string(event.Action))
	dst = append(dst, e.identity(c, e.newest)...)
	if c.ID == "" {
		dst = appendText(dst, `,"container.id":`, event.ID)
	}
	if event.Action == metric.Health {
		dst = appendHealth(dst, event.Health)
	} else {
		dst = appendHealth(dst, c.Health)
	}
	switch {
	case event.Action == metric.ClockStep:
		dst = append(dst, `,"clock.step_seconds":`...)
		if event.Step < 0 {
			dst = append(dst, '-')
		}
		dst = appendDecimal(dst, uint64(event.Step.Abs()/time.Microsecond), 6)
	case event.Action == metric.Die:
		if event.ExitCode != metric.UnknownExit {
			dst = appendExit(dst, event.ExitCode, c.Exit)
		}
	case c.Exit != nil:
		dst = appendExit(dst, c.Exit.Code, c.Exit)
	}
	if event.LastMinute != nil {
		dst = appendLastMinute(dst, event.LastMinute)
	}
	return append(dst, '}')
}

// appendLastMinute appends what a container did before its end.
func appendLastMinute(dst []byte, w *metric.Window) []byte {
	dst = lastMinuteSeconds.append(dst, w.Seconds(), 1)
	dst = appendRow(dst, w, lastMinuteColumns[metric.PerContainer], 0)
	if w.NetworkOf == "" {
		dst = appendSums(dst, w, lastMinuteColumns[metric.PerInterface])
	}
	dst = appendSums(dst, w, lastMinuteColumns[metric.PerDevice])
	if w.HasPeakCPU {
		dst = lastMinuteCPUPeak.append(dst, float64(w.PeakCPU), 1e9)
	}
	if w.HasPeakMemory {
		dst = appendKept(dst, derivedKeys[lastMinuteMemoryPeak], w.PeakWorkingSet)
	}
	return dst
}

// Gap says which documents were sampled and will never arrive, or which sweeps were never
// made.
type Gap struct {
	// Time is when the gap was found, in nanoseconds since the Unix epoch.
	Time int64
	// Reason is one word: what made the agent drop them.
	Reason string
	// Documents counts what was sampled, Sweeps what was missed; one of them is 0.
	Documents, Sweeps uint64
	// Gaps counts gap documents that were lost themselves, with what they told of.
	Gaps uint64
	// FirstSlot and LastSlot are the ends of the intervals that they belong to, in
	// nanoseconds since the Unix epoch, as in collector.Sink's Flush.
	FirstSlot, LastSlot int64
	// FirstBatch and LastBatch are the documents' batches by their sequence numbers in
	// the spool of that Epoch.
	FirstBatch, LastBatch, Epoch uint64
}

// AppendGap appends the document of one gap. Its time is the gap's.
func (e *Encoder) AppendGap(dst []byte, node *metric.Node, gap *Gap) []byte {
	dst = e.begin(dst, node, gap.Time, `gap","event.kind":"event"`)
	dst = appendText(dst, `,"gap.reason":`, gap.Reason)
	switch {
	case gap.Sweeps > 0:
		dst = appendKept(dst, `,"gap.sweeps":`, gap.Sweeps)
	case gap.Gaps > 0:
		dst = appendKept(dst, `,"gap.gaps":`, gap.Gaps)
		if gap.Documents == 0 {
			break // how many they told of is unknown
		}
		fallthrough
	default:
		dst = appendKept(dst, `,"gap.documents":`, gap.Documents)
	}
	dst = append(dst, `,"gap.first_slot":`...)
	dst = strconv.AppendInt(dst, gap.FirstSlot/int64(e.options.Interval), 10)
	dst = append(dst, `,"gap.last_slot":`...)
	dst = strconv.AppendInt(dst, gap.LastSlot/int64(e.options.Interval), 10)
	if gap.Sweeps > 0 {
		return append(dst, '}') // of no batch
	}
	dst = appendKept(dst, `,"gap.first_batch":`, gap.FirstBatch)
	dst = appendKept(dst, `,"gap.last_batch":`, gap.LastBatch)
	dst = append(dst, `,"gap.epoch":"`...)
	return append(appendEpoch(dst, gap.Epoch), `"}`...)
}

// begin opens a document: its time, its node, and kind, which continues the value of
// event.dataset.
func (e *Encoder) begin(dst []byte, node *metric.Node, ns int64, kind string) []byte {
	e.meet(node)
	return appendBeginning(dst, e.host, ns, kind)
}

// beginSwarm is begin for a document about the Swarm: it leaves out which of its nodes the
// agent runs on, because the document may be about another one.
func (e *Encoder) beginSwarm(dst []byte, node *metric.Node, ns int64, kind string) []byte {
	e.meet(node)
	return appendBeginning(dst, e.host[:e.anyNode], ns, kind)
}

// meet sees to it that host is about the node.
func (e *Encoder) meet(node *metric.Node) {
	if node == e.node {
		return
	}
	e.node = node
	e.host = e.appendHost(e.host[:0], node)
	e.anyNode = len(e.host)
	if node.SwarmID != "" {
		e.host = appendText(e.host, `,"swarm.node.id":`, node.SwarmID)
		e.host = appendText(e.host, `,"swarm.node.name":`, node.Name)
	}
	clear(e.identities) // they say what the node left open
}

func appendBeginning(dst, host []byte, ns int64, kind string) []byte {
	dst = append(dst, `{"@timestamp":"`...)
	dst = appendTime(dst, time.Unix(0, ns))
	dst = append(dst, `","timestamp":`...)
	dst = strconv.AppendInt(dst, ns/1000, 10)
	dst = append(dst, host...)
	dst = append(dst, `,"event.dataset":"swarmgauge.`...)
	return append(dst, kind...)
}

// appendTime appends t in UTC with milliseconds.
func appendTime(dst []byte, t time.Time) []byte {
	return t.UTC().AppendFormat(dst, "2006-01-02T15:04:05.000Z")
}

// slot returns the number of the interval that w lies in, and forgets identities that were
// not used in the interval before, or only in one that the clock was set back from.
func (e *Encoder) slot(w *metric.Window) int64 {
	slot := w.Slot / int64(e.options.Interval)
	if slot > e.newest || slot < e.newest-1 {
		e.newest = slot
		for c, id := range e.identities {
			if id.slot < slot-1 || id.slot > slot {
				delete(e.identities, c)
			}
		}
	}
	return slot
}

// appendSlot appends the number of the interval that ends at the slot.
func (e *Encoder) appendSlot(dst []byte, slot int64) []byte {
	dst = append(dst, `,"sample.slot":`...)
	return strconv.AppendInt(dst, slot/int64(e.options.Interval), 10)
}

func (e *Encoder) appendSample(dst []byte, w *metric.Window) []byte {
	dst = append(dst, `,"sample.slot":`...)
	dst = strconv.AppendInt(dst, e.slot(w), 10)
	if w.First.Time != 0 && w.Last.Time >= w.First.Time {
		dst = append(dst, `,"sample.interval_seconds":`...)
		dst = appendDecimal(dst, uint64(w.Last.Time-w.First.Time)/1000, 6)
	}
	dst = append(dst, `,"sample.count":`...)
	dst = strconv.AppendInt(dst, int64(w.Samples), 10)
	dst = append(dst, `,"sample.ended":`...)
	return strconv.AppendBool(dst, w.Ended)
}
