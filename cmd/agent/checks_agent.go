package main

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"strconv"
	"strings"
	"time"

	"github.com/swarmgauge/swarmgauge/metric"
	"github.com/swarmgauge/swarmgauge/shipper"
	"github.com/swarmgauge/swarmgauge/web"
)

// ofAgent asks the agent that runs with the same options, if there is one, what is in its way.
func (c *checks) ofAgent(ctx context.Context) []finding {
	f := finding{Check: "agent", Status: shipper.OK, Text: fmt.Sprintf("No agent answers on port %d here; what follows is what one would find.", c.o.Port)}
	ctx, cancel := context.WithTimeout(ctx, 5*time.Second)
	defer cancel()
	status, body, err := askHealth(ctx, c.o.healthURL()+"?details")
	if err != nil {
		return []finding{f}
	}
	f.Text = fmt.Sprintf("An agent answers on port %d.", c.o.Port)
	all := []finding{f}
	var health web.Health
	if json.Unmarshal(body, &health) != nil { // it asks for a password, or is something else
		if status != http.StatusUnauthorized {
			all[0].Status, all[0].Text = shipper.Degraded, fmt.Sprintf("Something else than an agent answers on port %d: an agent needs another -port.", c.o.Port)
		}
		return all
	}
	for _, problem := range health.Problems {
		is := shipper.Degraded
		if !health.Alive {
			is = shipper.Fault
		}
		all = append(all, finding{Check: "agent", Status: is, Text: strings.TrimSuffix(problem, ".") + "."})
	}
	return all
}

// healthURL is the address of /healthz of the agent that was started with the same options.
func (o *options) healthURL() string {
	host := o.ListenIP
	if ip := net.ParseIP(host); host == "" || ip != nil && ip.IsUnspecified() {
		host = "localhost"
	}
	return "http://" + net.JoinHostPort(host, strconv.Itoa(o.Port)) + o.URLBasePrefix + web.HealthPath
}

// askHealth asks an agent how it is.
func askHealth(ctx context.Context, url string) (status int, body []byte, err error) {
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, url, nil)
	if err != nil {
		return 0, nil, err
	}
	response, err := http.DefaultClient.Do(request)
	if err != nil {
		return 0, nil, err
	}
	defer response.Body.Close()
	body, err = io.ReadAll(io.LimitReader(response.Body, 1<<20))
	return response.StatusCode, body, err
}

// ofIdentity looks at the name that documents give the node.
func (c *checks) ofIdentity(node *metric.Node) finding {
	f := finding{Check: "node", Status: shipper.OK, Text: fmt.Sprintf("The node is called %s in documents.", node.Name)}
	if node.SwarmID != "" {
		f.Text = fmt.Sprintf("The node is called %s in documents, and %s in the Swarm.", node.Name, node.SwarmID)
	}
	host, err := os.Hostname()
	if err == nil && c.where.id != "" && node.Name == host && strings.HasPrefix(c.where.id, host) {
		f.Status = shipper.Degraded
		f.Text = fmt.Sprintf("The node is called %s in documents, which is the container's id and another one each time that it is made.", node.Name)
		f.mend = mend{hostname: "{{.Node.Hostname}}"}
	}
	return f
}

// ofMachineID looks at what tells this machine from others.
func (c *checks) ofMachineID(node *metric.Node) finding {
	f := finding{Check: "machine id", Status: shipper.OK, Text: "The machine's id is known."}
	if node.MachineID == "" {
		file, _, _ := strings.Cut(c.o.MachineIDFile, ",")
		f.Status = shipper.Degraded
		f.Text = fmt.Sprintf("The machine's id isn't known, which is optional: it is in none of %s.", c.o.MachineIDFile)
		f.mend = mend{mounts: []bind{{source: "/etc/machine-id", target: file}}, onHost: "systemd-machine-id-setup"}
	}
	return f
}
