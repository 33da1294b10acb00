package main

import (
	"context"
	"fmt"
	"net"
	"net/url"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"go.uber.org/zap"
	"golang.org/x/sys/unix"

	"github.com/swarmgauge/swarmgauge/shipper"
)

// clockTolerance is by how much two clocks may differ before a dashboard shows it.
const clockTolerance = 2 * time.Second

// ofDelivery looks at where documents go, as "agent test-output -write=false" does, and
// writes nothing there.
func (c *checks) ofDelivery(ctx context.Context) []finding {
	o := c.o
	f := finding{Check: "elasticsearch", Status: shipper.OK, Text: "Documents go to " + o.destination() + "."}
	switch o.StorageDriver {
	case "stdout":
		return []finding{f}
	case "":
		f.Status = shipper.Degraded
		f.Text = "No Elasticsearch is set: documents are kept in the spool until there is one."
		f.mend.settings = []option{{"storage_driver", "elasticsearch"}, {"storage_driver_es_host", someHost}}
		return []finding{f}
	}
	r := shipper.RunOutputTest(ctx, o.shipper(zap.NewNop()),
		shipper.OutputTest{For: shipper.ForAgent, Retention: o.Retention > 0, Node: o.nodeName()})
	answered := slices.ContainsFunc(r.Findings, func(f shipper.Finding) bool { return f.Check == "answer" && f.Status != shipper.Fault })
	var all []finding
	for i := range r.Findings {
		found := &r.Findings[i]
		is := finding{Check: deliveryCheck(found), Status: found.Status, Text: sentence(found.Text) + "."}
		if found.Address != "" {
			is.Text = fmt.Sprintf("%s: %s.", found.Address, found.Text)
		}
		switch {
		case found.Check == "template" && found.Status == shipper.Unused:
			is.Status = shipper.OK // what can't be seen is told
		case found.Status == shipper.Fault && found.Address != "":
			is.mend = c.mendAddress(ctx, found)
			if answered { // it is spare
				is.Status = shipper.Degraded
			}
		case found.Status == shipper.Fault && (found.Check == "user" || found.Check == "credentials"):
			is.mend = c.mendCredentials()
		case found.Status == shipper.Fault && found.Check == "privilege",
			found.Status == shipper.OK && !slices.Contains([]string{"answer", "user", "template"}, found.Check),
			found.Status == shipper.Unused:
			continue // told together, or by "agent test-output"
		}
		all = append(all, is)
	}
	if answered {
		all = append(all, privilegesFinding(r), c.ofClock(ctx))
	}
	return all
}

// someHost stands for an address that only a person knows.
const someHost = "http://ELASTICSEARCH:9200"

// deliveryCheck is the name that doctor has for what a test of the output looks at.
func deliveryCheck(f *shipper.Finding) string {
	switch f.Check {
	case "TLS":
		if f.Status != shipper.Fault { // what the way is worth, and not whether it is there
			return "TLS"
		}
	case "template", "target", "mapping":
		return "template"
	case "privilege", "privileges":
		return "privileges"
	}
	return "elasticsearch"
}

// privilegesFinding says what the user lacks, and which role has it.
func privilegesFinding(r *shipper.OutputReport) finding {
	f := finding{Check: "privileges", Status: shipper.OK, Text: `What the agent may do in Elasticsearch is enough; "agent test-output" tries it.`}
	if len(r.Missing) > 0 {
		f.Status = shipper.Fault
		f.Text = fmt.Sprintf("The user of Elasticsearch lacks %s; this role, given to the user, has all.", strings.Join(r.Missing, ", "))
		f.mend = mend{at: onElasticsearch, elsewhere: fmt.Sprintf("PUT _security/role/%s %s", roleName(shipper.ForAgent), oneLine(r.Role))}
	}
	return f
}

// mendAddress proposes another address, one that answers if there is one.
func (c *checks) mendAddress(ctx context.Context, f *shipper.Finding) (m mend) {
	hosts := strings.Split(c.o.ESHost, ",")
	better := c.findElasticsearch(ctx, f.Address)
	if better == "" {
		better = someHost
	}
	for i, host := range hosts {
		if strings.HasSuffix(strings.TrimRight(redact(host), "/"), strings.TrimPrefix(f.Address, "http://")) {
			hosts[i] = better
		} else {
			hosts[i] = mask(host) // no password on a screen
		}
	}
	m.settings = []option{{"storage_driver_es_host", strings.Join(hosts, ",")}}
	return m
}

// findElasticsearch looks for one near an address where none answers as it should, with the
// other scheme and at the usual port; "" if there is none. Nothing secret is sent.
func (c *checks) findElasticsearch(ctx context.Context, address string) string {
	u, err := url.Parse(address)
	if err != nil {
		return ""
	}
	usual := net.JoinHostPort(u.Hostname(), "9200")
	for _, candidate := range []string{"http://" + u.Host, "https://" + u.Host, "http://" + usual, "https://" + usual} {
		if candidate == strings.TrimRight(address, "/") {
			continue
		}
		o := shipper.Options{Addresses: []string{candidate}, CAFile: c.o.ESCAFile, NoProductCheck: !c.o.ESProductCheck}
		r := shipper.RunOutputTest(ctx, o, shipper.OutputTest{For: shipper.ForAgent})
		if slices.ContainsFunc(r.Findings, func(f shipper.Finding) bool { return f.Check == "answer" && f.Status != shipper.Fault }) {
			return candidate
		}
	}
	return ""
}

// mendCredentials proposes credentials where there are none, and else to put right what
// their file holds.
func (c *checks) mendCredentials() mend {
	const path = "/PATH/OF/A/FILE/WITH/THE/PASSWORD"
	o := c.o
	if o.ESUser == "" && o.ESAPIKeyFile == "" {
		const file = "/run/secrets/swarmgauge-es-password"
		m := mend{
			settings: []option{{"es-user", "USER"}, {"es-password-file", file}},
			onHost:   "-es-user=USER -es-password-file=" + path,
		}
		if c.where.kind == inService {
			m.secret = filepath.Base(file)
		} else {
			m.mounts = []bind{{source: path, target: file}}
		}
		return m
	}
	file, content := o.ESPasswordFile, "PASSWORD"
	if o.ESAPIKeyFile != "" {
		file, content = o.ESAPIKeyFile, "ID:KEY"
	}
	source, known := c.where.source(file)
	if c.where.kind == onHost {
		source, known = file, true
	}
	if !known {
		return mend{} // a Swarm secret can't be changed, only replaced by another one
	}
	return mend{at: onNode, elsewhere: fmt.Sprintf("printf %%s %s > %s", content, shellWord(source))}
}

// ofClock compares this machine's clock with Elasticsearch's, if that is where documents go,
// or asks the kernel whether somebody keeps it right.
func (c *checks) ofClock(ctx context.Context) finding {
	f := finding{Check: "clock", Status: shipper.OK}
	ntp := mend{at: onNode, elsewhere: "timedatectl set-ntp true"}
	if c.o.StorageDriver == "elasticsearch" {
		if ahead, slack, ok := shipper.ServerClock(ctx, c.o.shipper(zap.NewNop())); ok {
			f.Status, f.Text = judgeClock(-ahead, slack, c.o.ShipInterval)
			if f.Status != shipper.OK {
				f.mend = ntp
			}
			return f
		}
	}
	state, err := unix.Adjtimex(&unix.Timex{})
	switch {
	case err != nil:
		f.Text = "Nobody tells whether the clock is right."
	case state == unix.TIME_ERROR:
		f.Status, f.mend = shipper.Degraded, ntp
		f.Text = "The kernel says that nothing keeps the clock right (NTP), and no Elasticsearch tells the time: samples may have other slots than other nodes'."
	default:
		f.Text = "The kernel says that the clock is kept right (NTP)."
	}
	return f
}

// judgeClock says what it means that the clock is off by so much from Elasticsearch's, more
// or less slack: behind if that is below zero.
func judgeClock(off, slack, interval time.Duration) (shipper.Status, string) {
	if off.Abs() <= clockTolerance+slack {
		return shipper.OK, "The clock agrees with Elasticsearch's: samples have the slots that other nodes' have."
	}
	direction := "behind"
	if off > 0 {
		direction = "ahead of"
	}
	text := fmt.Sprintf("The clock is %v %s Elasticsearch's: samples have other slots than those of nodes that are right.", off.Abs().Round(time.Second), direction)
	if off.Abs() > interval+slack {
		return shipper.Fault, text
	}
	return shipper.Degraded, text
}
