package main

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/swarmgauge/swarmgauge/kibana"
	"github.com/swarmgauge/swarmgauge/shipper"
)

// kibanaTimeout bounds what asking Kibana may take.
const kibanaTimeout = 15 * time.Second

// ofKibana looks at what the setup of Kibana would do, and does nothing. Documents don't wait
// for it, so that nothing here is needed.
func (c *checks) ofKibana(ctx context.Context) finding {
	f := finding{Check: "kibana", Status: shipper.OK}
	if c.o.KibanaHost == "" {
		f.Text = "Kibana is left alone (-kibana-host is empty)."
		return f
	}
	report, err := c.planKibana(ctx)
	switch {
	case errors.Is(err, kibana.ErrNotYet):
		f.Status, f.Text = shipper.Degraded, "Kibana isn't ready, and the agent tries again: "+firstOf(err)+"."
		f.mend.settings = []option{{"kibana-host", "http://KIBANA:5601"}}
	case err != nil:
		f.Status, f.Text = shipper.Degraded, "Kibana can't be set up: "+firstOf(err)+"."
	case report.Newer > 0:
		f.Text = fmt.Sprintf("Kibana at %s has the dashboards of a newer agent.", redact(c.o.KibanaHost))
	case report.Wrote():
		f.Text = fmt.Sprintf("Kibana at %s answers; the agent brings %d objects there.", redact(c.o.KibanaHost), len(report.Created)+len(report.Replaced))
	default:
		f.Text = fmt.Sprintf("Kibana at %s has the dashboards.", redact(c.o.KibanaHost))
	}
	return f
}

func (c *checks) planKibana(ctx context.Context) (kibana.Report, error) {
	ctx, cancel := context.WithTimeout(ctx, kibanaTimeout)
	defer cancel()
	client, err := c.o.kibanaClient()
	if err != nil {
		return kibana.Report{}, err
	}
	defer client.Close()
	work, err := c.o.kibanaWork(client)
	if err != nil {
		return kibana.Report{}, err
	}
	return work.Plan(ctx)
}
