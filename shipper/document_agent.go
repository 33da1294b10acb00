package shipper

import (
	"strconv"
	"time"

	"github.com/swarmgauge/swarmgauge/metric"
)

// Self is what the process of the agent says of itself at the end of a batch.
type Self struct {
	// Started is when this run began.
	Started time.Time
	// Containers are the cgroups that are measured, Descriptors their files that are
	// kept open, Goroutines all of them.
	Containers, Descriptors, Goroutines int64
	// Sweeps counts sweeps since the start, Missed the slots without one, and Samples
	// the readings of a cgroup.
	Sweeps, Missed, Samples int64
	// Longest is how long the longest of the sweeps took that ended since Self was asked
	// for last, Latest by how much the latest of them began after its slot.
	Longest, Latest time.Duration
	// CPU is the CPU time of the process since its start.
	CPU time.Duration
	// RSS is the memory of the process in bytes, 0 if it can't be told.
	RSS int64
}

// Agent is what the document of the agent itself says: which batch it ends, how far
// delivery is, and how the agent is.
type Agent struct {
	// Time is when the batch was ended, in nanoseconds since the Unix epoch.
	Time int64
	// Epoch and Batch name the batch, as the _ids of its documents do.
	Epoch, Batch uint64
	// Documents counts the documents of the batch, this one included.
	Documents int
	// First and Last are the earliest and the latest time of its documents, in
	// milliseconds since the Unix epoch.
	First, Last int64
	// Waiting is the oldest batch that wasn't delivered when this one was ended, Batch if
	// none waited.
	Waiting uint64
	// Final tells that no other batch of this run comes.
	Final bool
	// Sampled counts the documents of this run, those of this batch included.
	Sampled int64
	Self    Self
	// Delivery is nil where there is no spool. Its Dropped is not read, dropped is.
	Delivery *Stats
	// Slowest is how long the slowest delivery took since the document before, 0 if there
	// was none.
	Slowest time.Duration
	dropped [documentLosses]int64
}

// agentField names one field that documents of the agent have, and no others.
type agentField uint8

const (
	agentStarted agentField = iota
	agentEpoch
	agentBatch
	agentBatchDocuments
	agentBatchFirst
	agentBatchLast
	agentBatchWaiting
	agentBatchFinal
	agentSampled
	agentFound
	agentIndexed
	agentPending
	agentDead
	agentDroppedBudget
	agentDroppedMemory
	agentDroppedBehind
	agentDroppedDamaged
	agentGapsIndexed
	agentExpected
	agentCollided
	agentFailureStore
	agentRequests
	agentRetries
	agentSlowest
	agentSpoolOldest
	agentSpoolBatches
	agentSpoolBytes
	agentSpoolMemory
	agentSpoolFault
	agentDegraded
	agentHeld
	agentTrouble
	agentContainers
	agentDescriptors
	agentGoroutines
	agentSamples
	agentSweeps
	agentMissed
	agentLongest
	agentLatest
	agentCPU
	agentRSS

	numAgentFields
)

// agentFields has one row per field. Counters are totals since the start of the run: they
// prove what became of documents, and what a flow needs is the difference of two.
var agentFields = [numAgentFields]Field{
	agentStarted:        {"agent.started", Date, "", "When this run of the agent began.", false},
	agentEpoch:          {"agent.epoch", Keyword, "", "Epoch of this run, 16 hexadecimal digits: bytes 6 to 13 of the _id of each of its documents.", false},
	agentBatch:          {"agent.batch.sequence", Long, "", "Sequence number of the batch that this document is the last one of: bytes 14 to 18 of the _id of each of its documents.", false},
	agentBatchDocuments: {"agent.batch.documents", Long, "count", "Documents in the batch, this one included.", true},
	agentBatchFirst:     {"agent.batch.first", Date, "", "Earliest @timestamp in the batch.", false},
	agentBatchLast:      {"agent.batch.last", Date, "", "Latest @timestamp in the batch.", false},
	agentBatchWaiting:   {"agent.batch.waiting", Long, "", "Sequence number of the oldest batch that had not been delivered when this one was ended: its own where none waited.", false},
	agentBatchFinal:     {"agent.batch.final", Boolean, "", "Whether no other batch of this run comes: the agent was asked to end.", false},
	agentSampled:        {"agent.documents.sampled", Long, "count", "Documents made in this run, those of this batch included.", true},
	agentFound:          {"agent.documents.found", Long, "count", "Documents that earlier runs had left in the spool.", true},
	agentIndexed:        {"agent.documents.indexed", Long, "count", "Documents that Elasticsearch has acknowledged.", true},
	agentPending:        {"agent.documents.pending", Long, "count", "Documents on their way, those of this batch included.", true},
	agentDead:           {"agent.documents.dead", Long, "count", "Documents that Elasticsearch refused for good.", true},
	agentDroppedBudget:  {"agent.documents.dropped.budget", Long, "count", "Documents dropped because the spool was over its budget.", true},
	agentDroppedMemory:  {"agent.documents.dropped.memory", Long, "count", "Documents dropped because the disk failed and the memory for them was used up.", true},
	agentDroppedBehind:  {"agent.documents.dropped.behind", Long, "count", "Documents dropped because the disk was too slow to take them.", true},
	agentDroppedDamaged: {"agent.documents.dropped.damaged", Long, "count", "Documents whose file in the spool was damaged or deleted.", true},

	agentGapsIndexed:  {"agent.documents.gaps", Long, "count", "Gap documents that Elasticsearch has acknowledged; they are in none of the other counts.", true},
	agentExpected:     {"agent.documents.duplicate", Long, "count", "Documents that were there from an attempt whose answer was lost.", true},
	agentCollided:     {"agent.documents.collided", Long, "count", "Documents whose _id another document had; always a fault.", true},
	agentFailureStore: {"agent.documents.failure_store", Long, "count", "Documents that Elasticsearch took into its failure store instead of the index.", true},
	agentRequests:     {"agent.bulk.requests", Long, "count", "_bulk requests.", true},
	agentRetries:      {"agent.bulk.retries", Long, "count", "Attempts after which a batch was kept.", true},
	agentSlowest:      {"agent.bulk.longest_seconds", Double, "seconds", "Time that the slowest _bulk request took of those that delivered a batch since the document before; absent without any.", true},
	agentSpoolOldest:  {"agent.spool.oldest_seconds", Double, "seconds", "Age of the oldest interval that waits in the spool; absent while none does.", true},
	agentSpoolBatches: {"agent.spool.batches", Long, "count", "Batches that wait, on disk or in memory.", true},
	agentSpoolBytes:   {"agent.spool.bytes", Long, "bytes", "Disk space of the batches on disk.", true},
	agentSpoolMemory:  {"agent.spool.memory_bytes", Long, "bytes", "Batches in memory because the disk fails.", true},
	agentSpoolFault:   {"agent.spool.fault", Keyword, "", "Why batches are kept in memory; absent when they aren't.", false},
	agentDegraded:     {"agent.delivery.degraded", Boolean, "", "Whether something is in the way that a person can mend.", false},
	agentHeld:         {"agent.delivery.held", Boolean, "", "Whether delivery waits for somebody to repair something.", false},
	agentTrouble:      {"agent.delivery.trouble", Keyword, "", "Why nothing is delivered; absent when it is.", false},
	agentContainers:   {"agent.containers", Long, "count", "Cgroups that are measured.", true},
	agentDescriptors:  {"agent.descriptors", Long, "count", "Files of cgroups that are kept open.", true},
	agentGoroutines:   {"agent.goroutines", Long, "count", "Goroutines of the agent.", true},
	agentSamples:      {"agent.samples", Long, "count", "Samples of containers taken in this run.", true},
	agentSweeps:       {"agent.sweep.count", Long, "count", "Sweeps over all containers in this run.", true},
	agentMissed:       {"agent.sweep.missed", Long, "count", "Slots without a sweep in this run.", true},
	agentLongest:      {"agent.sweep.longest_seconds", Double, "seconds", "Longest of the sweeps that ended since the document before.", true},
	agentLatest:       {"agent.sweep.latest_seconds", Double, "seconds", "Most by which one of these sweeps began after its slot.", true},
	agentCPU:          {"agent.cpu.core_seconds", Double, "seconds", "CPU time of the agent in this run.", true},
	agentRSS:          {"agent.memory.rss_bytes", Long, "bytes", "Memory of the agent.", true},
}

// agentDropped are the fields by the reason of a loss. Documents that were refused are dead.
var agentDropped = [lostRefused]agentField{
	lostBudget: agentDroppedBudget, lostMemory: agentDroppedMemory,
	lostBehind: agentDroppedBehind, lostDamaged: agentDroppedDamaged,
}

// agentKeys are `,"name":`.
var agentKeys = func() (keys [numAgentFields]string) {
	for i := range keys {
		keys[i] = `,"` + agentFields[i].Name + `":`
	}
	return keys
}()

// AppendAgent appends the document of the agent itself that ends a batch.
func (e *Encoder) AppendAgent(dst []byte, node *metric.Node, a *Agent) []byte {
	dst = e.begin(dst, node, a.Time, `agent","event.kind":"metric"`)
	dst = appendAgentDate(dst, agentStarted, a.Self.Started)
	dst = append(append(dst, agentKeys[agentEpoch]...), '"')
	dst = append(appendEpoch(dst, a.Epoch), '"')
	dst = agentBatch.append(dst, int64(a.Batch))
	dst = agentBatchDocuments.append(dst, int64(a.Documents))
	dst = appendAgentDate(dst, agentBatchFirst, time.UnixMilli(a.First))
	dst = appendAgentDate(dst, agentBatchLast, time.UnixMilli(a.Last))
	dst = agentBatchFinal.appendBool(dst, a.Final)
	dst = agentSampled.append(dst, a.Sampled)
	if d := a.Delivery; d != nil {
		dst = agentBatchWaiting.append(dst, int64(a.Waiting))
		dst = agentFound.append(dst, d.Found)
		dst = agentIndexed.append(dst, d.Indexed)
		dst = agentPending.append(dst, d.Pending)
		dst = agentDead.append(dst, d.Dead)
		for reason, f := range agentDropped {
			dst = f.append(dst, a.dropped[reason])
		}
		dst = agentGapsIndexed.append(dst, d.GapsIndexed)
		dst = agentExpected.append(dst, d.DuplicatesExpected)
		dst = agentCollided.append(dst, d.DuplicatesUnexpected)
		dst = agentFailureStore.append(dst, d.FailureStore)
		dst = agentRequests.append(dst, d.Requests)
		dst = agentRetries.append(dst, d.Retried)
		if a.Slowest > 0 {
			dst = agentSlowest.appendSeconds(dst, a.Slowest)
		}
		if !d.Oldest.IsZero() {
			dst = agentSpoolOldest.appendSeconds(dst, time.Unix(0, a.Time).Sub(d.Oldest))
		}
		dst = agentSpoolBatches.append(dst, int64(d.SpoolBatches))
		dst = agentSpoolBytes.append(dst, d.SpoolBytes)
		dst = agentSpoolMemory.append(dst, d.MemoryBytes)
		dst = appendText(dst, agentKeys[agentSpoolFault], clip(d.DiskFault, ignoreAbove))
		dst = agentDegraded.appendBool(dst, d.Degraded)
		dst = agentHeld.appendBool(dst, d.Held)
		dst = appendText(dst, agentKeys[agentTrouble], clip(d.Trouble, ignoreAbove))
	}
	s := &a.Self
	dst = agentContainers.append(dst, s.Containers)
	dst = agentDescriptors.append(dst, s.Descriptors)
	dst = agentGoroutines.append(dst, s.Goroutines)
	dst = agentSamples.append(dst, s.Samples)
	dst = agentSweeps.append(dst, s.Sweeps)
	dst = agentMissed.append(dst, s.Missed)
	dst = agentLongest.appendSeconds(dst, s.Longest)
	dst = agentLatest.appendSeconds(dst, s.Latest)
	dst = agentCPU.appendSeconds(dst, s.CPU)
	if s.RSS > 0 {
		dst = agentRSS.append(dst, s.RSS)
	}
	return append(dst, '}')
}

func (f agentField) append(dst []byte, n int64) []byte {
	return strconv.AppendInt(append(dst, agentKeys[f]...), n, 10)
}

func (f agentField) appendBool(dst []byte, b bool) []byte {
	return strconv.AppendBool(append(dst, agentKeys[f]...), b)
}

func (f agentField) appendSeconds(dst []byte, d time.Duration) []byte {
	return appendDecimal(append(dst, agentKeys[f]...), uint64(max(d, 0))/1000, 6)
}

func appendAgentDate(dst []byte, f agentField, t time.Time) []byte {
	if t.IsZero() {
		return dst
	}
	dst = append(append(dst, agentKeys[f]...), '"')
	return append(appendTime(dst, t), '"')
}

// appendEpoch appends an epoch as 16 hexadecimal digits.
func appendEpoch(dst []byte, epoch uint64) []byte {
	const hex = "0123456789abcdef"
	for shift := 60; shift >= 0; shift -= 4 {
		dst = append(dst, hex[epoch>>shift&15])
	}
	return dst
}
