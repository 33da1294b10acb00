package main

import (
	"bytes"
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"slices"
	"strings"
	"text/tabwriter"
	"time"
)

// document is what the table needs of a container_stats document.
type document struct {
	Time     time.Time `json:"@timestamp"`
	Name     string    `json:"container_Name"`
	Service  string    `json:"swarm.service.name"`
	Node     string    `json:"host.name"`
	Seconds  float64   `json:"sample.interval_seconds"`
	CPU      *float64  `json:"container.cpu.core_seconds"`
	Periods  float64   `json:"container.cpu.periods"`
	Held     float64   `json:"container.cpu.throttled_periods"`
	Memory   *float64  `json:"container.memory.working_set_bytes"`
	Received *float64  `json:"container.network.ingress.bytes"`
	Sent     *float64  `json:"container.network.egress.bytes"`
}

const (
	// tries is how often, once a second, Elasticsearch is asked for documents.
	tries = 90
	// agentLogs has the manager of the cluster tell what its agents say.
	agentLogs = "docker exec " + managerContainer + " docker service logs gauge_agent"
)

// show waits until Elasticsearch has a document of every container, and prints them.
func show(ctx context.Context, w io.Writer, st *state) error {
	return showFound(ctx, w, st, search)
}

// showFound is show of what find finds in an Elasticsearch.
func showFound(ctx context.Context, w io.Writer, st *state, find func(ctx context.Context, elasticsearch string) ([]document, error)) error {
	fmt.Fprint(w, "Waiting for documents (one comes every ten seconds) ")
	var newest []document
	complete := false
	for range tries {
		var err error
		newest, err = find(ctx, st.Elasticsearch)
		if complete = err == nil && len(newest) > 0 && ours(newest) >= st.Containers; complete {
			break
		}
		fmt.Fprint(w, ".")
		select {
		case <-time.After(time.Second):
		case <-ctx.Done():
			return ctx.Err()
		}
	}
	fmt.Fprintln(w)
	if len(newest) == 0 {
		return fmt.Errorf("no document has come in %d seconds; %s", tries, st.askWhy())
	}
	slices.SortFunc(newest, func(a, b document) int { return cmp.Compare(a.Name, b.Name) })

	fmt.Fprintf(w, "\nThe containers as Elasticsearch sees them:\n\n")
	out := tabwriter.NewWriter(w, 0, 0, 2, ' ', 0)
	fmt.Fprintln(out, "CONTAINER\tSERVICE\tNODE\tCORES\tTHROTTLED\tMEMORY\tNET IN\tNET OUT")
	for _, d := range newest {
		throttled := "-"
		if d.Periods > 0 {
			throttled = fmt.Sprintf("%.0f%%", 100*d.Held/d.Periods)
		}
		fmt.Fprintf(out, "%.44s\t%s\t%s\t%s\t%s\t%s\t%s\t%s\n", d.Name, cmp.Or(d.Service, "-"), d.Node,
			number(d.CPU, d.Seconds, "%.3f"), throttled, number(d.Memory, 1<<20, "%.1f MiB"),
			number(d.Received, d.Seconds*1024, "%.1f KiB/s"), number(d.Sent, d.Seconds*1024, "%.1f KiB/s"))
	}
	out.Flush()
	if !complete {
		return fmt.Errorf("after %d seconds there are documents of %d of the %d containers of the demo; %s", tries, ours(newest), st.Containers, st.askWhy())
	}
	return nil
}

// askWhy says where agents tell why documents don't come: those of the cluster have no address
// on this machine.
func (st *state) askWhy() string {
	switch {
	case st.Agent != "":
		return "ask the agent why: " + st.Agent + "/healthz?details"
	case st.Host != "":
		return "ask the agents why: DOCKER_HOST=" + st.Host + " " + agentLogs
	}
	return "ask the agents why: " + agentLogs
}

// lookAt prints the addresses.
func lookAt(w io.Writer, st *state) {
	fmt.Fprintf(w, "\nLook at it:\n  the containers    %s/docker/   %s/api/v1.3/docker/   %s/metrics\n", st.Agent, st.Agent, st.Agent)
	fmt.Fprintf(w, "  the agent         %s/healthz?details   %s/validate/\n", st.Agent, st.Agent)
	fmt.Fprintf(w, "  the documents     %s/cadvisor/_search?sort=@timestamp:desc&pretty\n", st.Elasticsearch)
	if st.Kibana != "" {
		fmt.Fprintf(w, "  Kibana            %s (a minute after its start)\n", st.Kibana)
	}
	fmt.Fprintln(w, "\n`make demo-down` removes all of it.")
}

// ours returns how many of the documents are of containers that the demo started.
func ours(documents []document) (n int) {
	for i := range documents {
		if strings.HasPrefix(documents[i].Name, prefix) {
			n++
		}
	}
	return n
}

// number writes a number that may be absent, divided by per.
func number(v *float64, per float64, format string) string {
	if v == nil || per == 0 {
		return "-"
	}
	return fmt.Sprintf(format, *v/per)
}

// search returns the newest document of each container.
func search(ctx context.Context, elasticsearch string) ([]document, error) {
	const query = `{"size":500,"sort":[{"@timestamp":"desc"}],"query":{"bool":{"filter":[
		{"term":{"event.dataset":"swarmgauge.container"}},{"term":{"sample.ended":false}},{"range":{"@timestamp":{"gte":"now-25s"}}}]}}}`
	ctx, cancel := context.WithTimeout(ctx, 10*time.Second)
	defer cancel()
	request, err := http.NewRequestWithContext(ctx, http.MethodPost, elasticsearch+"/cadvisor/_search", bytes.NewReader([]byte(query)))
	if err != nil {
		return nil, err
	}
	request.Header.Set("Content-Type", "application/json")
	response, err := http.DefaultClient.Do(request)
	if err != nil {
		return nil, err
	}
	defer response.Body.Close()
	if response.StatusCode != http.StatusOK {
		return nil, errors.New(response.Status)
	}
	var answer struct {
		Hits struct {
			Hits []struct {
				Source document `json:"_source"`
			} `json:"hits"`
		} `json:"hits"`
	}
	if err := json.NewDecoder(response.Body).Decode(&answer); err != nil {
		return nil, err
	}
	seen := map[string]bool{}
	var newest []document
	for _, hit := range answer.Hits.Hits {
		if d := hit.Source; !seen[d.Name] {
			seen[d.Name] = true
			newest = append(newest, d)
		}
	}
	return newest, nil
}
