package web

import (
	"encoding/json"
	"fmt"
	"net/http"
	"slices"
	"strings"
	"time"

	"github.com/swarmgauge/swarmgauge/cadvisor"
	"github.com/swarmgauge/swarmgauge/collector"
	"github.com/swarmgauge/swarmgauge/metric"
)

// requestsV2 returns the requests of a version of API v2, whose stats differ.
func requestsV2(stats request, more ...string) map[string]request {
	requests := map[string]request{
		"appmetrics": appMetrics, "attributes": attributes, "events": events, "machine": machine,
		"ps": ps, "spec": specs, "stats": stats, "storage": storage, "summary": summaries,
		"version": version,
	}
	for _, name := range more {
		requests[name] = map[string]request{"machinestats": machineStats}[name]
	}
	return requests
}

// selected returns the paths of the containers that a request to API v2 asks for.
func (a *api) selected(r *http.Request, name string) (paths []string, s requestOptions, err error) {
	if s, err = parseRequestOptions(r.URL.Query()); err != nil {
		return nil, s, err
	}
	all, err := a.List(r.Context(), nil)
	if err != nil {
		return nil, s, err
	}
	switch {
	case s.idType != "name" && s.recursive:
		if name != metric.Root {
			return nil, s, fmt.Errorf("invalid request for %s container %q with subcontainers", s.idType, name)
		}
		return ofRuntime(all, s.idType), s, nil
	case s.idType != "name":
		c, err := find(all, s.idType, strings.TrimPrefix(name, "/"))
		if err != nil {
			return nil, s, err
		}
		return []string{c.Path}, s, nil
	case s.recursive:
		if paths = below(all, name); len(paths) == 0 {
			return nil, s, fmt.Errorf("unknown container: %q", name)
		}
		return paths, s, nil
	}
	if !slices.ContainsFunc(all, func(l collector.Listed) bool { return l.Container.Path == name }) {
		return nil, s, fmt.Errorf("unknown container %q", name)
	}
	return []string{name}, s, nil
}

// writeEach writes an object with what f appends for each container, by path. One that has
// gone meanwhile is left out.
func (a *api) writeEach(w http.ResponseWriter, r *http.Request, name string, f func(n *answer, dst []byte) []byte) error {
	paths, s, err := a.selected(r, name)
	if err != nil {
		return err
	}
	w.Header().Set("Content-Type", "application/json")
	n := &answer{a: a, text: []byte{'{'}}
	first := true
	for _, path := range paths {
		if n.load(r, collector.Query{Path: path, Count: s.count, MaxAge: s.maxAge}) != nil {
			continue
		}
		had := len(n.text)
		if !first {
			n.text = append(n.text, ',')
		}
		n.text = append(cadvisor.AppendString(n.text, path), ':')
		with := f(n, n.text)
		if with == nil {
			n.text = n.text[:had]
			continue
		}
		first = false
		if _, err := w.Write(with); err != nil {
			return nil // the client went away
		}
		n.text = with[:0]
	}
	w.Write(append(n.text, '}'))
	return nil
}

// statsV20 answers with the samples of containers, the node included.
func statsV20(a *api, w http.ResponseWriter, r *http.Request, name string) error {
	return a.writeEach(w, r, name, func(n *answer, dst []byte) []byte {
		spec := n.spec()
		return n.appendStats(dst, func(dst []byte, _ *metric.Sample, inst *cadvisor.CPUInst) []byte {
			return n.stats.AppendJSON20(dst, &spec, inst)
		})
	})
}

// statsV21 answers with the samples and the specification of containers; those of the node
// are machinestats.
func statsV21(a *api, w http.ResponseWriter, r *http.Request, name string) error {
	return a.writeEach(w, r, name, func(n *answer, dst []byte) []byte {
		if n.history.Container.Path == metric.Root {
			return nil
		}
		spec := n.spec()
		dst = append(dst, `{"spec":`...)
		dst = appendMarshaled(dst, spec.V2(n.history.Container))
		dst = append(dst, `,"stats":`...)
		dst = n.appendStats(dst, func(dst []byte, s *metric.Sample, inst *cadvisor.CPUInst) []byte {
			inodes, _ := s.Get(metric.StorageLayerInodes)
			return n.stats.AppendJSON21(dst, &spec, inst, inodes)
		})
		return append(dst, '}')
	})
}

// machineStats answers with the samples of the node.
func machineStats(a *api, w http.ResponseWriter, r *http.Request, name string) error {
	paths, s, err := a.selected(r, metric.Root)
	if err != nil {
		return err
	}
	n := &answer{a: a}
	if err := n.load(r, collector.Query{Path: paths[0], Count: s.count, MaxAge: s.maxAge}); err != nil {
		return err
	}
	spec := n.spec()
	w.Header().Set("Content-Type", "application/json")
	w.Write(n.appendStats(nil, func(dst []byte, _ *metric.Sample, inst *cadvisor.CPUInst) []byte {
		return n.stats.AppendMachineJSON(dst, &spec, inst)
	}))
	return nil
}

// appendStats appends an array of the samples that were loaded, each by append, which
// finds it in n.stats.
func (n *answer) appendStats(dst []byte, append_ func(dst []byte, s *metric.Sample, inst *cadvisor.CPUInst) []byte) []byte {
	dst = append(dst, '[')
	n.prev.Time = 0
	n.history.Each(func(s *metric.Sample) bool {
		if n.prev.Time != 0 {
			dst = append(dst, ',')
		}
		n.fill(s)
		var inst *cadvisor.CPUInst
		if n.prev.Time != 0 && n.inst.Fill(&n.prev, s) {
			inst = &n.inst
		}
		dst = append_(dst, s, inst)
		n.prev.CopyFrom(s)
		return true
	})
	return append(dst, ']')
}

// appendMarshaled appends what encoding/json makes of v, which has nothing that it refuses.
func appendMarshaled(dst []byte, v any) []byte {
	text, err := json.Marshal(v)
	if err != nil {
		return append(dst, "null"...)
	}
	return append(dst, text...)
}

// specs answers with the specifications of containers.
func specs(a *api, w http.ResponseWriter, r *http.Request, name string) error {
	return a.writeEach(w, r, name, func(n *answer, dst []byte) []byte {
		spec := n.spec()
		return appendMarshaled(dst, spec.V2(n.history.Container))
	})
}

// summaries answers with the percentiles of containers.
func summaries(a *api, w http.ResponseWriter, r *http.Request, name string) error {
	return a.writeEach(w, r, name, func(n *answer, dst []byte) []byte {
		s := &n.history.Summary
		return appendMarshaled(dst, cadvisor.DerivedStats{
			Timestamp:   time.Unix(0, s.Time).UTC(),
			LatestUsage: cadvisor.InstantUsage{CPU: s.CPU, Memory: s.Memory},
			MinuteUsage: usage(&s.Minute), HourUsage: usage(&s.Hour), DayUsage: usage(&s.Day),
		})
	})
}

func usage(u *collector.Usage) cadvisor.PercentilesUsage {
	return cadvisor.PercentilesUsage{PercentComplete: u.Complete, CPU: percentiles(&u.CPU), Memory: percentiles(&u.Memory)}
}

func percentiles(p *collector.Percentiles) cadvisor.Percentiles {
	return cadvisor.Percentiles{
		Present: p.Count > 0, Mean: p.Mean, Std: p.Std, Max: p.Max,
		Fifty: p.Fifty, Ninety: p.Ninety, NinetyFive: p.NinetyFive, Count: uint64(p.Count),
	}
}

// appMetrics answers that there are none: this agent doesn't collect what applications say
// of themselves.
func appMetrics(a *api, w http.ResponseWriter, r *http.Request, name string) error {
	if _, _, err := a.selected(r, name); err != nil {
		return err
	}
	return respond(w, map[string]struct{}{name: {}})
}

// ps answers with the processes of a container, or with all of the node.
func ps(a *api, w http.ResponseWriter, r *http.Request, name string) error {
	paths, _, err := a.selected(r, name)
	if err != nil {
		return fmt.Errorf("process listing failed: %w", err)
	}
	var h collector.History
	if err := a.History(r.Context(), collector.Query{Path: paths[0], MaxAge: -1}, &h); err != nil {
		return fmt.Errorf("process listing failed: %w", err)
	}
	all, err := a.List(r.Context(), nil)
	if err != nil {
		return err
	}
	processes, err := a.Processes(r.Context(), below(all, metric.Root))
	if err != nil {
		return fmt.Errorf("process listing failed: %w", err)
	}
	return respond(w, cadvisor.NewProcesses(processes, paths[0], h.Node.MemoryBytes, time.Now()))
}

func version(a *api, w http.ResponseWriter, r *http.Request, _ string) error {
	if _, err := parseRequestOptions(r.URL.Query()); err != nil {
		return err
	}
	return respond(w, a.Version)
}
