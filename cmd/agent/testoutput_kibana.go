package main

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/swarmgauge/swarmgauge/kibana"
	"github.com/swarmgauge/swarmgauge/shipper"
)

// kibanaLookTime bounds the look at Kibana, which exports what is there.
const kibanaLookTime = time.Minute

// testKibana looks at what the setup of Kibana meets, and writes nothing.
func (o *options) testKibana(ctx context.Context) (shipper.Finding, error) {
	client, err := o.kibanaClient()
	if err != nil {
		return shipper.Finding{}, err
	}
	defer client.Close()
	work, err := o.kibanaWork(client)
	if err != nil {
		return shipper.Finding{}, err
	}
	ctx, cancel := context.WithTimeout(ctx, kibanaLookTime)
	defer cancel()
	began := time.Now()
	report, err := work.Plan(ctx)
	took := time.Since(began)
	f := shipper.Finding{Address: client.String(), Check: "kibana", Status: shipper.OK, Milliseconds: float64(took.Round(10*time.Microsecond)) / float64(time.Millisecond)}
	is := "Kibana " + report.Kibana
	switch {
	case errors.Is(err, kibana.ErrNotYet):
		f.Status, f.Text = shipper.Degraded, err.Error()+"; the agent and \"agent setup\" wait for it, and documents don't"
	case err != nil:
		f.Status, f.Text = shipper.Fault, err.Error()
	case report.Newer > 0:
		f.Text = is + " has the dashboards of a newer agent, which are left as they are"
	case report.Wrote():
		f.Text = fmt.Sprintf("%s answers, and the user may see what is there; %d data views and dashboards are to be brought, which the agent does when it runs", is, len(report.Created)+len(report.Replaced))
	default:
		f.Text = fmt.Sprintf("%s has all %d data views and dashboards", is, len(report.Same)+len(report.Kept))
	}
	return f, nil
}
