package main

import (
	"context"
	"errors"
	"math/rand/v2"
	"sync"
	"time"

	"go.uber.org/zap"

	"github.com/swarmgauge/swarmgauge/kibana"
	"github.com/swarmgauge/swarmgauge/web"
)

// kibanaClient returns who asks Kibana, with Elasticsearch's credentials where it has none of
// its own.
func (o *options) kibanaClient() (*kibana.Client, error) {
	k := kibana.Options{
		URL: o.KibanaHost, Space: o.KibanaSpace, User: o.KibanaUser, PasswordFile: o.KibanaPasswordFile,
		APIKeyFile: o.KibanaAPIKeyFile, CAFile: o.KibanaCAFile, Version: versionString(),
	}
	if redact(o.KibanaHost) == o.KibanaHost && k.User == "" && k.APIKeyFile == "" {
		k.User, k.PasswordFile, k.APIKeyFile = o.ESUser, o.ESPasswordFile, o.ESAPIKeyFile
	}
	if k.CAFile == "" {
		k.CAFile = o.ESCAFile
	}
	c, err := kibana.NewClient(k)
	if err != nil {
		return nil, usageError{err}
	}
	return c, nil
}

// kibanaObjects returns what is brought to Kibana, one saved object a line.
func (o *options) kibanaObjects() ([]byte, error) {
	return kibana.InSpace(kibana.NDJSON(kibana.Objects(o.ESIndex)), o.KibanaSpace)
}

// kibanaWork returns what brings data views and dashboards to Kibana.
func (o *options) kibanaWork(c *kibana.Client) (*kibana.Setup, error) {
	objects, err := o.kibanaObjects()
	if err != nil {
		return nil, err
	}
	return &kibana.Setup{Client: c, Objects: objects, Version: kibana.Version, Pattern: o.ESIndex + "-*"}, nil
}

const (
	// kibanaFirst bounds the wait before the first look: all agents start at once.
	kibanaFirst = 10 * time.Second
	// kibanaSoon and kibanaLate bound the waits, which double, while Kibana isn't ready.
	kibanaSoon, kibanaLate = 2 * time.Second, time.Minute
	// kibanaMended is the wait while something is to be mended: a password, a privilege.
	kibanaMended = 5 * time.Minute
)

// kibanaSetup sets Kibana up while the agent runs, once. Nothing else waits for it.
type kibanaSetup struct {
	options *options
	client  *kibana.Client
	log     *zap.Logger

	mu    sync.Mutex // guards what follows
	state string     // why it isn't done yet; "" at the beginning
	done  bool
	kept  []string // sentences about what is left alone
}

// kibanaSetup returns nil where there is no Kibana.
func (o *options) kibanaSetup(log *zap.Logger) (*kibanaSetup, error) {
	if o.KibanaHost == "" {
		return nil, nil
	}
	client, err := o.kibanaClient()
	if err != nil {
		return nil, err
	}
	return &kibanaSetup{options: o, client: client, log: log.Named("kibana")}, nil
}

// run tries until it is done, or ctx ends.
func (k *kibanaSetup) run(ctx context.Context) {
	defer k.client.Close()
	work, err := k.options.kibanaWork(k.client) // some hundred kilobytes, for as long as this takes
	if err != nil {
		k.fail(err)
		return
	}
	wait, ceiling := rand.N(kibanaFirst), kibanaSoon
	for {
		select {
		case <-ctx.Done():
			return
		case <-time.After(wait):
		}
		report, err := work.Run(ctx)
		switch {
		case ctx.Err() != nil:
			return
		case err == nil:
			k.end(report)
			return
		}
		k.fail(err)
		if errors.Is(err, kibana.ErrNotYet) {
			wait = ceiling/2 + rand.N(ceiling/2)
			ceiling = min(2*ceiling, kibanaLate)
		} else {
			wait = kibanaMended/2 + rand.N(kibanaMended)
		}
	}
}

// fail notes why it isn't done, and logs what is news.
func (k *kibanaSetup) fail(err error) {
	k.mu.Lock()
	news := k.state != err.Error()
	k.state = err.Error()
	k.mu.Unlock()
	switch {
	case !news:
	case errors.Is(err, kibana.ErrNotYet):
		k.log.Info("waiting to set Kibana up: " + err.Error())
	default:
		k.log.Warn("Kibana isn't set up: " + err.Error())
	}
}

// end notes that it is done, and logs what was.
func (k *kibanaSetup) end(r kibana.Report) {
	k.mu.Lock()
	k.done, k.state, k.kept = true, "", r.Kept
	k.mu.Unlock()
	switch {
	case r.Newer > 0:
		k.log.Info("Kibana has the dashboards of a newer agent", zap.Int("version", r.Newer))
	case r.Wrote():
		k.log.Info("set Kibana up", zap.Stringer("kibana", k.client), zap.Int("created", len(r.Created)), zap.Int("replaced", len(r.Replaced)), zap.Int("version", kibana.Version))
	default:
		k.log.Info("Kibana is set up already", zap.Stringer("kibana", k.client))
	}
	for _, sentence := range r.Kept {
		k.log.Info(sentence)
	}
}

// notes are sentences for /healthz: why it isn't done, or what is left alone.
func (k *kibanaSetup) notes() []string {
	k.mu.Lock()
	defer k.mu.Unlock()
	switch {
	case k.done:
		return k.kept
	case k.state == "":
		return []string{"Kibana: the setup begins in some seconds"}
	}
	return []string{"Kibana isn't set up: " + k.state}
}

// family tells on /metrics whether it is done.
func (k *kibanaSetup) family() web.Family {
	k.mu.Lock()
	defer k.mu.Unlock()
	done := 0.0
	if k.done {
		done = 1
	}
	return gauge("swarmgauge_kibana_set_up", "1 once this agent knows that data views and dashboards are in Kibana; /healthz?details says what it waits for.", done)
}
