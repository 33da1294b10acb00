package main

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/swarmgauge/swarmgauge/cadvisor"
	"github.com/swarmgauge/swarmgauge/cgroup"
	"github.com/swarmgauge/swarmgauge/collector"
	"github.com/swarmgauge/swarmgauge/metric"
	"github.com/swarmgauge/swarmgauge/proc"
	"github.com/swarmgauge/swarmgauge/shipper"
	"github.com/swarmgauge/swarmgauge/web"
)

// state is what the running agent can say of itself. Any goroutine may ask.
type state struct {
	options *options
	parts   *parts
	loop    *collector.Collector
	shipper *shipper.Shipper // nil without a spool
	kibana  *kibanaSetup     // nil without a Kibana
	auth    *web.Auth        // nil for none
	started time.Time
}

// silence is how many intervals may pass without a sweep before the agent calls itself
// dead. A sweep over ten thousand cgroups may well take some.
const silence = 30

// health answers /healthz.
func (s *state) health() web.Health {
	loop := s.loop.Stats()
	last := loop.LastSweep
	if last.IsZero() {
		last = s.started
	}
	h := web.Health{Alive: true, Status: "ok", Notes: s.parts.notes()}
	if quiet := time.Since(last); quiet > max(silence*s.options.HousekeepingInterval, 30*time.Second) {
		h.Alive = false
		h.Problems = append(h.Problems, fmt.Sprintf("No sample has been taken for %v: a read of a kernel file hangs, or the machine is overloaded.", quiet.Round(time.Second)))
	}
	if hung := s.parts.cgroups.Hung() + s.parts.host.Hung(); hung > 0 {
		h.Problems = append(h.Problems, fmt.Sprintf("%d reads hang: something else than the kernel answers for files of %s or %s, such as a FUSE server (lxcfs) that has stopped; what these files tell is missing.", hung, s.options.ProcRoot, s.options.CgroupRoot))
	}
	if loop.NetworksRefused > 0 {
		h.Notes = append(h.Notes, "some containers have no network numbers, because the limit of open files is too low: raise it (ulimit -n)")
	}
	if loop.TooDeep > 0 {
		h.Notes = append(h.Notes, fmt.Sprintf("%d cgroups lie more than %d levels deep and are not measured; their parents' numbers contain theirs", loop.TooDeep, cgroup.MaxDepth))
	}
	h.Collection = map[string]any{
		"cgroup": s.parts.cgroups.Mode().String(), "containers": loop.Targets,
		"samples": loop.Samples, "sweeps": loop.Sweeps, "missed_slots": loop.Missed,
		"last_sweep": last, "last_sweep_milliseconds": loop.Duration.Milliseconds(),
		"unreadable": s.parts.cgroups.Failures(),
	}
	if s.shipper == nil {
		h.Delivery = map[string]any{"to": s.options.destination()}
	} else {
		h.Delivery = s.delivery(&h)
	}
	if s.kibana != nil {
		h.Notes = append(h.Notes, s.kibana.notes()...)
	}
	if len(h.Problems) > 0 {
		h.Status = "degraded"
	}
	return h
}

// delivery says how far the documents are, and adds what is in the way to the problems.
func (s *state) delivery(h *web.Health) any {
	d := s.shipper.Stats()
	h.Notes = append(h.Notes, d.Remarks...)
	if d.RetentionTrouble != "" {
		h.Notes = append(h.Notes, d.RetentionTrouble)
	}
	if d.Trouble != "" {
		h.Problems = append(h.Problems, fmt.Sprintf("Documents wait since %s: %s", d.TroubleSince.UTC().Format(time.RFC3339), d.Trouble))
	}
	if d.DiskFault != "" {
		h.Problems = append(h.Problems, fmt.Sprintf("Documents are kept in memory since %s: %s", d.DiskFaultSince.UTC().Format(time.RFC3339), d.DiskFault))
	}
	if !d.SlowSince.IsZero() {
		h.Problems = append(h.Problems, fmt.Sprintf("The disk of the spool has been taking one batch since %s; those after it wait in memory.", d.SlowSince.UTC().Format(time.RFC3339)))
	}
	if d.DuplicatesUnexpected > 0 {
		h.Problems = append(h.Problems, fmt.Sprintf("%d documents met an _id that was taken: two agents may share one spool, or its copy.", d.DuplicatesUnexpected))
	}
	if d.FailureStore > 0 {
		h.Problems = append(h.Problems, fmt.Sprintf("Elasticsearch took %d documents into its failure store instead of the index, where no search for them looks: GET <index>::failures/_search says why.", d.FailureStore))
	}
	delivery := map[string]any{
		"to": s.options.destination(), "epoch": fmt.Sprintf("%016x", d.Epoch), "sampled": d.Sampled, "found": d.Found, "indexed": d.Indexed,
		"pending": d.Pending, "dead": d.Dead, "dropped": d.Dropped,
		"replayed": d.Replayed, "restored": d.Restored,
		"spool_bytes": d.SpoolBytes, "acked_bytes": d.AckedBytes, "memory_bytes": d.MemoryBytes,
	}
	if !d.Oldest.IsZero() {
		delivery["oldest"] = d.Oldest
	}
	return delivery
}

// containers says what /metrics shows of containers.
func (s *state) containers() *web.Containers {
	groups, _ := s.options.groups() // was checked with the options
	return &web.Containers{
		Latest: s.loop.Latest, Fresh: s.loop.Fresh, Machine: s.parts.machine.Load, Groups: groups,
		Labels: s.options.StoreContainerLabels, AllowedLabels: words(s.options.AllowedLabels), Version: versionString(),
	}
}

// words returns the elements of a list with commas, without spaces and without empty ones.
func words(list string) (all []string) {
	for word := range strings.SplitSeq(list, ",") {
		if word = strings.TrimSpace(word); word != "" {
			all = append(all, word)
		}
	}
	return all
}

// api says what the REST API shows.
func (s *state) api() *web.API {
	groups, _ := s.options.groups() // was checked with the options
	none := cadvisor.UnlimitedV1
	if s.parts.cgroups.Mode() == cgroup.V2 {
		none = cadvisor.UnlimitedV2
	}
	const byUUID = "/dev/disk/by-uuid"
	return &web.API{
		List: s.loop.List, History: s.loop.History, Occurrences: s.parts.occurrences,
		Children: s.parts.cgroups.Children, Machine: s.parts.machine.Load,
		Processes: func(ctx context.Context, cgroups []string) ([]metric.Process, error) {
			return s.parts.proc.Processes(ctx, proc.ProcessesOptions{HostRoot: s.options.HostRoot, Cgroups: cgroups})
		},
		DeviceByUUID: func(uuid string) (string, bool) { return proc.DeviceByUUID(byUUID, uuid) },
		DockerRoot:   s.options.DockerRoot, Groups: groups, Unlimited: none, Version: versionString(),
	}
}

// metrics are the agent's own numbers on /metrics.
func (s *state) metrics() []web.Family {
	families := append(loopFamilies(s.loop.Stats()), s.readFamilies()...)
	if s.shipper != nil {
		families = append(families, deliveryFamilies(s.shipper.Stats())...)
	}
	if s.parts.storage != nil {
		families = append(families, s.parts.storage.families()...)
	}
	if s.kibana != nil {
		families = append(families, s.kibana.family())
	}
	families = append(families, runtimeFamilies()...)
	return append(families, processFamilies()...)
}

func counter(name, help string, v float64) web.Family {
	return web.Family{Name: name, Type: "counter", Help: help, Samples: []web.Point{{Value: v}}}
}

func gauge(name, help string, v float64) web.Family {
	return web.Family{Name: name, Type: "gauge", Help: help, Samples: []web.Point{{Value: v}}}
}

func loopFamilies(l collector.Stats) []web.Family {
	return []web.Family{
		{Name: "swarmgauge_build_info", Type: "gauge", Help: "1, with the version of the agent.", Samples: []web.Point{{Label: "version", LabelValue: versionString(), Value: 1}}},
		gauge("swarmgauge_containers", "Cgroups that are measured now.", float64(l.Targets)),
		gauge("swarmgauge_cgroups_too_deep", fmt.Sprintf("Cgroups that are not measured because they lie more than %d levels deep; those below them are not counted.", cgroup.MaxDepth), float64(l.TooDeep)),
		counter("swarmgauge_sweeps_total", "Sweeps over all containers.", float64(l.Sweeps)),
		counter("swarmgauge_sweep_seconds_total", "Time spent in sweeps.", l.Total.Seconds()),
		gauge("swarmgauge_sweep_late_seconds", "By how much the last sweep began after its slot.", l.Late.Seconds()),
		gauge("swarmgauge_sweep_late_most_seconds", "By how much the latest of all sweeps began after its slot.", l.LateMost.Seconds()),
		counter("swarmgauge_slots_missed_total", "Slots without a sweep, because the one before took too long or the agent didn't run.", float64(l.Missed)),
		counter("swarmgauge_samples_total", "Samples of containers taken.", float64(l.Samples)),
		counter("swarmgauge_windows_total", "Windows of samples handed over to be shipped.", float64(l.Windows)),
		counter("swarmgauge_containers_ended_total", "Containers that were seen to end.", float64(l.Ended)),
		counter("swarmgauge_events_total", "Lifecycle events.", float64(l.Events)),
		counter("swarmgauge_events_lost_total", "Lifecycle events that came faster than they were taken.", float64(l.EventsLost)),
	}
}

func (s *state) readFamilies() []web.Family {
	d := s.parts.cgroups.Descriptors()
	failures := web.Family{Name: "swarmgauge_read_failures_total", Type: "counter", Help: "Reads of cgroup files that gave no numbers, by file."}
	for _, f := range s.parts.cgroups.Failures() {
		failures.Samples = append(failures.Samples, web.Point{Label: "file", LabelValue: f.File, Value: float64(f.Count)})
	}
	return []web.Family{
		gauge("swarmgauge_descriptors_kept", "Cgroup files that are kept open.", float64(d.Kept)),
		gauge("swarmgauge_descriptors_max", "Most cgroup files that may be kept open; those beyond it are opened at each read.", float64(d.Max)),
		gauge("swarmgauge_reads_hung", "Reads of files that don't answer now.", float64(s.parts.cgroups.Hung()+s.parts.host.Hung())),
		failures,
	}
}

func deliveryFamilies(d shipper.Stats) []web.Family {
	dropped := web.Family{Name: "swarmgauge_documents_dropped_total", Type: "counter", Help: "Documents that will never be indexed, by reason; gap documents tell which."}
	reasons := make([]string, 0, len(d.Dropped))
	for reason := range d.Dropped {
		reasons = append(reasons, reason)
	}
	slices.Sort(reasons)
	for _, reason := range reasons {
		dropped.Samples = append(dropped.Samples, web.Point{Label: "reason", LabelValue: reason, Value: float64(d.Dropped[reason])})
	}
	oldest := 0.0
	if !d.Oldest.IsZero() {
		oldest = time.Since(d.Oldest).Seconds()
	}
	degraded := 0.0
	if d.Degraded {
		degraded = 1
	}
	return []web.Family{
		counter("swarmgauge_documents_sampled_total", "Documents made.", float64(d.Sampled)),
		counter("swarmgauge_documents_found_total", "Documents that earlier runs had left in the spool.", float64(d.Found)),
		counter("swarmgauge_documents_indexed_total", "Documents that Elasticsearch has.", float64(d.Indexed)),
		counter("swarmgauge_documents_dead_total", "Documents that Elasticsearch refused for good.", float64(d.Dead)),
		dropped,
		counter("swarmgauge_documents_duplicate_total", "Documents that were there from an attempt whose answer was lost.", float64(d.DuplicatesExpected)),
		counter("swarmgauge_documents_collided_total", "Documents whose _id another document had; always a fault.", float64(d.DuplicatesUnexpected)),
		counter("swarmgauge_documents_failure_store_total", "Documents that Elasticsearch took into its failure store instead of the index; they are among the indexed.", float64(d.FailureStore)),
		counter("swarmgauge_documents_replayed_total", "Documents delivered once more because \"agent replay\" asked for it; in no other count.", float64(d.Replayed)),
		counter("swarmgauge_documents_restored_total", "Documents among those replayed that Elasticsearch no longer had.", float64(d.Restored)),
		counter("swarmgauge_gap_documents_indexed_total", "Gap documents that Elasticsearch has.", float64(d.GapsIndexed)),
		gauge("swarmgauge_documents_pending", "Documents on their way.", float64(d.Pending)),
		counter("swarmgauge_batches_total", "Batches made.", float64(d.Batches)),
		counter("swarmgauge_bulk_requests_total", "_bulk requests.", float64(d.Requests)),
		counter("swarmgauge_bulk_retries_total", "Attempts after which a batch was kept.", float64(d.Retried)),
		gauge("swarmgauge_spool_batches", "Batches on disk.", float64(d.SpoolBatches)),
		gauge("swarmgauge_spool_bytes", "Disk space of the batches on disk.", float64(d.SpoolBytes)),
		gauge("swarmgauge_spool_acked_bytes", "Disk space of delivered batches that are kept for a replay.", float64(d.AckedBytes)),
		gauge("swarmgauge_spool_memory_bytes", "Batches in memory because the disk fails.", float64(d.MemoryBytes)),
		gauge("swarmgauge_spool_oldest_seconds", "Age of the oldest batch that waits, 0 when none does.", oldest),
		counter("swarmgauge_indices_deleted_total", "Indices of days that this agent has deleted because they were older than -retention.", float64(d.IndicesDeleted)),
		gauge("swarmgauge_delivery_degraded", "1 while something is in the way of delivery; /healthz?details says what.", degraded),
	}
}
