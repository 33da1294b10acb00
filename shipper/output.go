package shipper

import (
	"context"
	"fmt"
	"net/http"
	"strings"
	"time"

	"github.com/elastic/go-elasticsearch/v8/esapi"

	"github.com/swarmgauge/swarmgauge/secret"
)

// Status is what something that was looked at comes to.
type Status string

const (
	// OK: as it should be.
	OK Status = "ok"
	// Unused: not there, and not needed for what was asked about.
	Unused Status = "unused"
	// Unknown: it can't be told, and nothing depends on it.
	Unknown Status = "unknown"
	// Degraded: it works, and somebody should know something of it.
	Degraded Status = "degraded"
	// Fault: documents don't get through, or what was asked about doesn't work.
	Fault Status = "fault"
)

// Finding is one thing that was looked at.
type Finding struct {
	// Address is the node of Elasticsearch, without credentials; "" for all of them.
	Address string `json:"address,omitempty"`
	// Check is the short name of what was looked at, which stays the same.
	Check  string `json:"check"`
	Status Status `json:"status"`
	// Text is one sentence: what is there, or what is wrong and what mends it.
	Text string `json:"text"`
	// Milliseconds is how long it took, 0 if that means nothing.
	Milliseconds float64 `json:"milliseconds,omitempty"`
	// Remedy is what mends it, where the check doesn't tell.
	Remedy Remedy `json:"-"`
}

// OutputReport is what a test of the output has found.
type OutputReport struct {
	Findings []Finding `json:"findings"`
	// Missing are the privileges that are needed and not there, and Role a role that has
	// all that is needed, for a user who has no other; nil if nothing is missing.
	Missing []string `json:"missing,omitempty"`
	Role    *Role    `json:"role,omitempty"`
	// NoRead tells that the user is known not to have the privilege read on the indices, which
	// an agent doesn't need.
	NoRead bool `json:"-"`
}

// Status returns the worst of all findings.
func (r *OutputReport) Status() Status {
	worst := OK
	for i := range r.Findings {
		switch s := r.Findings[i].Status; s {
		case Fault:
			return Fault
		case Degraded:
			worst = s
		}
	}
	return worst
}

// Purpose is what a user of Elasticsearch is for.
type Purpose string

const (
	// ForAgent: to write documents, and to install the template if the options say so.
	ForAgent Purpose = "agent"
	// ForSetup: to set up what the agents need.
	ForSetup Purpose = "setup"
	// ForAudit: to read what the agents have written.
	ForAudit Purpose = "audit"
)

// Purposes returns all of them.
func Purposes() []Purpose { return []Purpose{ForAgent, ForSetup, ForAudit} }

// OutputTest says what is tested.
type OutputTest struct {
	For Purpose
	// Write has the agent's way of documents tried to its end: the template is installed if
	// the agent would, and a document is written.
	Write bool
	// Retention tells that old indices are to be deleted.
	Retention bool
	// Node is the name of the node, for the document that is written.
	Node string

	// patience bounds one question; tests set it. A document has the time that documents have.
	patience time.Duration
}

// usualPatience is what somebody who waits for the answer has.
const usualPatience = 10 * time.Second

// RunOutputTest goes the way of a document to the Elasticsearch that the options name, step
// by step, with the client that sends documents. Of the options, those about Elasticsearch
// count. What can't be found out is a finding.
func RunOutputTest(ctx context.Context, o Options, test OutputTest) *OutputReport {
	o.setDefaults()
	if test.patience <= 0 {
		test.patience = usualPatience
	}
	x := &outputTest{Options: o, test: test, report: new(OutputReport)}
	readable := x.credentials()
	var answering []string
	for _, address := range o.Addresses {
		if x.address(ctx, address) {
			answering = append(answering, address)
		}
	}
	if len(answering) > 0 && readable && ctx.Err() == nil {
		x.Addresses = answering
		x.cluster(ctx)
	}
	return x.report
}

// outputTest is a test under way.
type outputTest struct {
	Options
	test   OutputTest
	report *OutputReport

	anonymous bool   // there are no credentials in files
	uuid      string // of the first cluster that told it, and the address of that
	uuidFrom  string
	open      bool // the server has no security
	// needs are the privileges that matter, has what the user has of them; nil if that isn't
	// known.
	needs []need
	has   map[string]bool
}

func (x *outputTest) add(address, check string, s Status, took time.Duration, format string, values ...any) {
	x.report.Findings = append(x.report.Findings, Finding{
		Address: address, Check: check, Status: s, Text: fmt.Sprintf(format, values...),
		Milliseconds: max(0, float64(took.Round(10*time.Microsecond))/float64(time.Millisecond)), // some answer before they have read all
	})
}

// credentials makes sure that what proves who the agent is can be read.
func (x *outputTest) credentials() (readable bool) {
	header, err := secret.NewAuthorization(x.Username, x.PasswordFile, x.APIKeyFile).Header()
	if err != nil {
		x.add("", "credentials", Fault, 0, "%v; the agent's user has to be able to read it", err)
		// The way there can be looked at without them.
		x.Username, x.PasswordFile, x.APIKeyFile, x.anonymous = "", "", "", true
		return false
	}
	x.anonymous = header == ""
	switch {
	case x.APIKeyFile != "" && !strings.HasPrefix(header, "ApiKey "):
		x.add("", "credentials", Fault, 0, "the API key file %s is empty", x.APIKeyFile)
		return false
	case strings.HasPrefix(header, "Basic ") && header == basic(x.Username, ""):
		x.add("", "credentials", Fault, 0, "the password file %s is empty", x.PasswordFile)
		return false
	}
	return true
}

// basic is the header of a user and a password.
func basic(user, password string) string {
	var r http.Request
	r.Header = make(http.Header)
	r.SetBasicAuth(user, password)
	return r.Header.Get("Authorization")
}

// cluster tests what is the same at all addresses.
func (x *outputTest) cluster(ctx context.Context) {
	s, err := newSender(&x.Options)
	if err != nil {
		x.add("", "client", Fault, 0, "%v", err)
		return
	}
	defer s.close()
	if !x.user(ctx, s) {
		return
	}
	x.privileges(ctx, s)
	if x.test.For != ForAudit {
		x.index(ctx, s)
	}
	x.role()
}

// look is sender.do for a question that has to be answered soon.
func (x *outputTest) look(ctx context.Context, s *sender, build func(http.Header) esapi.Request) (reply, time.Duration, error) {
	ctx, cancel := context.WithTimeout(ctx, x.test.patience)
	defer cancel()
	began := time.Now()
	r, err := s.do(ctx, 0, build, nil)
	return r, time.Since(began), err
}
