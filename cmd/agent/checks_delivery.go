package main

import (
	"cmp"
	"context"
	"fmt"
	"net"
	"net/url"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"time"

	"go.uber.org/zap"
	"golang.org/x/sys/unix"

	"github.com/swarmgauge/swarmgauge/kibana"
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
	c.answers, c.mayNotRead = answered(r), r.NoRead
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
			is.mend = c.mendDelivery(ctx, found)
			if c.answers { // it is spare
				is.Status = shipper.Degraded
			}
		case found.Status == shipper.Fault && (found.Check == "user" || found.Check == "credentials"),
			deliveryCheck(found) == "template" && found.Status != shipper.OK:
			is.mend = c.mendDelivery(ctx, found)
		case found.Status == shipper.Fault && found.Check == "privilege",
			found.Status == shipper.OK && !slices.Contains([]string{"answer", "user", "template"}, found.Check),
			found.Status == shipper.Unused:
			continue // told together, or by "agent test-output"
		}
		all = append(all, is)
	}
	if c.answers {
		all = append(all, privilegesFinding(r), c.ofClock(ctx))
	}
	return all
}

// maxNames is how many names of a certificate are tried.
const maxNames = 10

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

// mendDelivery proposes what mends a finding of the way that documents go.
func (c *checks) mendDelivery(ctx context.Context, f *shipper.Finding) mend {
	r := &f.Remedy
	elastic := func(format string, values ...any) mend {
		return mend{at: onElasticsearch, elsewhere: fmt.Sprintf(format, values...)}
	}
	switch r.Kind {
	case shipper.TrustAuthority:
		return c.mendAuthority()
	case shipper.UseName:
		if len(r.Names) == 0 {
			return elastic("give the server a certificate with the name that its address has")
		}
		return c.instead(f.Address, c.findName(ctx, f.Address, r.Names))
	case shipper.RenewCertificate:
		if r.Ended.IsZero() {
			return elastic("give the server another certificate than that of %s", r.Subject)
		}
		return elastic("renew the server's certificate, that of %s, which ended on %s; the agent has nothing to do with it", r.Subject, r.Ended.UTC().Format(time.DateOnly))
	case shipper.SetClock:
		return keepClock()
	case shipper.OtherAddress:
		return mend{settings: []option{{"storage_driver_es_host", someHost}}}
	case shipper.AllowTemplate:
		return mend{settings: []option{{"es-template", "true"}}}
	case shipper.InstallTemplate:
		return c.mendTemplate()
	case shipper.RunSetup:
		return c.mendBySetup()
	case shipper.ForceSetup:
		return c.mendBySetup("-force")
	case shipper.OtherIndex:
		return mend{settings: []option{{"storage_driver_es_index", otherName(c.o.ESIndex)}}}
	case shipper.RemoveAlias:
		return elastic(`POST _aliases {"actions":[{"remove":{"index":%q,"alias":%q}}]}`, r.Names[1], r.Names[0])
	}
	switch {
	case f.Check == "user" || f.Check == "credentials":
		return c.mendCredentials()
	case f.Address != "":
		return c.mendAddress(ctx, f)
	}
	return mend{}
}

// keepClock has the node's clock be kept right.
func keepClock() mend { return mend{at: onNode, elsewhere: "timedatectl set-ntp true"} }

// mendAuthority gives the certificate of the authority that signs Elasticsearch's.
func (c *checks) mendAuthority() mend {
	const path = "/PATH/OF/A/FILE/WITH/THE/CA"
	file := c.o.ESCAFile
	if c.where.kind == inService {
		name := "swarmgauge-es-ca"
		if file != "" {
			name = otherName(filepath.Base(file)) // a secret can't be changed, only replaced
		}
		return mend{
			settings: []option{{"es-ca-file", "/run/secrets/" + name}},
			secrets:  []swarmSecret{{name, "docker secret create " + name + " " + path}},
		}
	}
	m := mend{onHost: "-es-ca-file=" + path}
	if file == "" {
		file = "/run/secrets/swarmgauge-es-ca"
		m.settings = []option{{"es-ca-file", file}}
	}
	m.mounts = []bind{{source: path, target: file}}
	return m
}

// otherName returns a name for something that takes the place of what has that name: x-3 after
// x-2 after x. What ends in a longer number, as a date does, isn't counted up.
func otherName(name string) string {
	if dash := strings.LastIndexByte(name, '-'); dash >= 0 && len(name)-dash <= len("-99") {
		if n, err := strconv.ParseUint(name[dash+1:], 10, 8); err == nil && n > 0 && name[dash+1] != '0' {
			return fmt.Sprintf("%s-%d", name[:dash], n+1)
		}
	}
	return name + "-2"
}

// findName returns the address with one of the names that the server's certificate is for,
// with one that answers if there is one. Nothing secret is sent.
func (c *checks) findName(ctx context.Context, address string, names []string) string {
	u, err := url.Parse(address)
	if err != nil {
		return someHost
	}
	with := func(name string) string {
		other := *u
		other.Host = name
		if strings.Contains(name, ":") {
			other.Host = "[" + name + "]"
		}
		if port := u.Port(); port != "" {
			other.Host = net.JoinHostPort(name, port)
		}
		return other.String()
	}
	label, _, _ := strings.Cut(u.Hostname(), ".")
	known, local := "", true
	for _, name := range names[:min(len(names), maxNames)] {
		domain, wildcard := strings.CutPrefix(name, "*.")
		if wildcard {
			name = label + "." + domain
		}
		if candidate := with(name); answered(c.try(ctx, candidate)) {
			return candidate
		}
		if wildcard {
			name = "HOST." + domain
		}
		if local { // which is another machine for each
			ip := net.ParseIP(name)
			known, local = with(name), name == "localhost" || ip != nil && ip.IsLoopback()
		}
	}
	return known
}

// mendTemplate has an administrator install the template.
func (c *checks) mendTemplate() mend {
	o := c.o
	options := ""
	if o.ESIndex != kibana.DefaultPrefix {
		options = " -storage_driver_es_index=" + o.ESIndex
	}
	address, _, _ := strings.Cut(o.ESHost, ",")
	trust := ""
	if o.ESCAFile != "" {
		trust = " --cacert /PATH/OF/A/FILE/WITH/THE/CA"
	}
	return mend{at: onElasticsearch, elsewhere: fmt.Sprintf("%s template%s | curl%s -u ADMIN -X PUT -H 'Content-Type: application/json' --data-binary @- %s",
		c.command(false), options, trust, shellWord(strings.TrimRight(redact(address), "/")+"/_index_template/"+o.ESIndex))}
}

// mendBySetup has "agent setup" do it, with the agent's own user.
func (c *checks) mendBySetup(flags ...string) mend {
	o := c.o
	if !o.ESTemplate {
		flags = append(flags, "-es-template=true")
	}
	if c.where.kind == onHost {
		for _, s := range []option{{"storage_driver_es_host", redact(o.ESHost)}, {"storage_driver_es_index", o.ESIndex}, {"es-user", o.ESUser},
			{"es-password-file", o.ESPasswordFile}, {"es-api-key-file", o.ESAPIKeyFile}, {"es-ca-file", o.ESCAFile}} {
			if s.value != "" {
				flags = append(flags, shellWord("-"+s.name+"="+s.value))
			}
		}
		if !o.ESProductCheck {
			flags = append(flags, "-es-product-check=false")
		}
	}
	return mend{at: onNode, elsewhere: strings.Join(append([]string{c.command(true), "setup"}, flags...), " ")}
}

// command is how the agent is called on the node: in the agent's own container, with its
// options, or in one that is made for it.
func (c *checks) command(own bool) string {
	switch {
	case c.where.kind == onHost:
		return "agent"
	case !own:
		return "docker run --rm IMAGE"
	case c.where.id != "" && os.Getpid() != 1: // doctor is beside the agent
		return "docker exec " + c.where.id[:12] + " /agent"
	}
	return "docker exec CONTAINER /agent"
}

// mendAddress proposes another address, one that answers if there is one.
func (c *checks) mendAddress(ctx context.Context, f *shipper.Finding) mend {
	better := c.findElasticsearch(ctx, f.Address)
	if better == "" {
		better = someHost
	}
	return c.instead(f.Address, better)
}

// instead has another address be in the place of one of those that the options name.
func (c *checks) instead(address, better string) (m mend) {
	hosts := strings.Split(c.o.ESHost, ",")
	for i, host := range hosts {
		if strings.HasSuffix(strings.TrimRight(redact(host), "/"), strings.TrimPrefix(address, "http://")) {
			hosts[i] = better
		} else {
			hosts[i] = mask(host) // no password on a screen
		}
	}
	m.settings = []option{{"storage_driver_es_host", strings.Join(hosts, ",")}}
	return m
}

// findElasticsearch looks for one near an address where none answers as it should, with the
// other scheme and at the usual port; "" if there is none. A server whose certificate isn't
// trusted yet will do. Nothing secret is sent.
func (c *checks) findElasticsearch(ctx context.Context, address string) (untrusted string) {
	u, err := url.Parse(address)
	if err != nil {
		return ""
	}
	usual := net.JoinHostPort(u.Hostname(), "9200")
	for _, candidate := range []string{"http://" + u.Host, "https://" + u.Host, "http://" + usual, "https://" + usual} {
		if candidate == strings.TrimRight(address, "/") {
			continue
		}
		r := c.try(ctx, candidate)
		if answered(r) {
			return candidate
		}
		if slices.ContainsFunc(r.Findings, func(f shipper.Finding) bool { return f.Check == "TLS" && f.Remedy.Kind != 0 }) {
			untrusted = cmp.Or(untrusted, candidate)
		}
	}
	return untrusted
}

// try asks what answers at an address, of nothing but who it is.
func (c *checks) try(ctx context.Context, address string) *shipper.OutputReport {
	o := shipper.Options{Addresses: []string{address}, CAFile: c.o.ESCAFile, NoProductCheck: !c.o.ESProductCheck}
	return shipper.RunOutputTest(ctx, o, shipper.OutputTest{For: shipper.ForAgent})
}

// answered tells that an Elasticsearch did.
func answered(r *shipper.OutputReport) bool {
	return slices.ContainsFunc(r.Findings, func(f shipper.Finding) bool { return f.Check == "answer" && f.Status != shipper.Fault })
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
			m.secrets = []swarmSecret{makeSecret(filepath.Base(file), "PASSWORD")}
		} else {
			m.mounts = []bind{{source: path, target: file}}
		}
		return m
	}
	name, file, content := "es-password-file", o.ESPasswordFile, "PASSWORD"
	if o.ESAPIKeyFile != "" {
		name, file, content = "es-api-key-file", o.ESAPIKeyFile, "ID:KEY"
	}
	source, known := c.where.source(file)
	if c.where.kind == onHost {
		source, known = file, true
	}
	switch {
	case known:
		return mend{at: onNode, elsewhere: fmt.Sprintf("printf %%s %s > %s", content, shellWord(source))}
	case c.where.kind == inService: // a Swarm secret can't be changed, only replaced by another one
		other := otherName(filepath.Base(file))
		return mend{settings: []option{{name, "/run/secrets/" + other}}, secrets: []swarmSecret{makeSecret(other, content)}}
	}
	return mend{mounts: []bind{{source: path, target: file}}}
}

// makeSecret is a secret of a Swarm with what only a person knows.
func makeSecret(name, content string) swarmSecret {
	return swarmSecret{name, fmt.Sprintf("printf %%s %s | docker secret create %s -", content, name)}
}

// ofClock compares this machine's clock with Elasticsearch's, if that is where documents go,
// or asks the kernel whether somebody keeps it right.
func (c *checks) ofClock(ctx context.Context) finding {
	f := finding{Check: "clock", Status: shipper.OK}
	if c.o.StorageDriver == "elasticsearch" {
		if ahead, slack, ok := shipper.ServerClock(ctx, c.o.shipper(zap.NewNop())); ok {
			f.Status, f.Text = judgeClock(-ahead, slack, c.o.ShipInterval)
			if f.Status != shipper.OK {
				f.mend = keepClock()
			}
			return f
		}
	}
	state, err := unix.Adjtimex(&unix.Timex{})
	switch {
	case err != nil:
		f.Text = "Nobody tells whether the clock is right."
	case state == unix.TIME_ERROR:
		f.Status, f.mend = shipper.Degraded, keepClock()
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
