package shipper

import (
	"crypto/tls"
	"crypto/x509"
	"errors"
	"net"
	"net/http"

	"github.com/swarmgauge/swarmgauge/secret"
)

// fate is what becomes of a document, or of a request, after Elasticsearch's answer.
type fate uint8

const (
	// delivered: stored now.
	delivered fate = iota
	// exists: a document with that _id is there already (409). For a batch that was
	// tried before it is the lost answer of that attempt, and means delivered; for
	// a batch that never was, another document owns the _id, and ours is buried
	// with an alarm instead of being taken for stored.
	exists
	// again: the server can't now; the same bytes later. Also every answer that
	// doesn't tell whether the request was carried out: the _ids make it harmless.
	again
	// unreached: there was no connection to send anything on. As again, and sooner,
	// because asking costs the server nothing.
	unreached
	// hold: nothing will pass until somebody repairs something. Keep everything,
	// say what is wrong, and try one batch now and then.
	hold
	// split: the request is too large; both halves of it for themselves.
	split
	// bisect: the request as a whole was refused, and perhaps one document of it is
	// to blame; both halves of it for themselves.
	bisect
	// refused: this document will never be accepted. It is buried in the dead-letter
	// directory, unless so much is refused that the fault must lie in the
	// configuration: see judge.
	refused
	fates // the number of fates
)

// rule is one row of the tables of fates. The first row that fits decides.
type rule struct {
	// status is an HTTP status, or its class: 5 stands for 500 to 599; 0 fits all.
	status int
	// kind is Elasticsearch's error.type; "" fits all.
	kind string
	fate fate
	// advice says what is wrong and what repairs it; "" where the server's own
	// reason says it.
	advice string
}

// kindFailureStore stands for the error type of an item that went into the failure store
// (Elasticsearch 8.19 and 9.1 on), which has none.
const kindFailureStore = "failure_store"

// kindForeign stands for the error type of an answer that isn't Elasticsearch's: it has neither
// an error of Elasticsearch's nor its product header.
const kindForeign = "not Elasticsearch's"

// kindBlock is the error type of what a block of the cluster or of an index is in the way of.
const kindBlock = "cluster_block_exception"

// What is said of an item and of a request alike.
const (
	adviceBlock = "Elasticsearch is blocked for writing: lift the block that its reason names, of the cluster with PUT _cluster/settings (null for cluster.blocks.read_only or cluster.blocks.read_only_allow_delete), " +
		"of an index with PUT INDEX/_settings (null for index.blocks.write, index.blocks.read_only or index.blocks.read_only_allow_delete); or free disk space there"
	adviceFlood       = "Elasticsearch has made the index read-only because its disk is almost full (flood-stage watermark): free disk space there"
	adviceBusy        = "Elasticsearch has too much to do now: what waits is sent later, and nothing is to be done unless it lasts"
	adviceUnavailable = "Elasticsearch can't take this now, as its reason says (it starts, or lacks a master or a shard): what waits is sent later; if it lasts, see _cluster/health"
	adviceFailed      = "Elasticsearch or a proxy has failed: what waits is sent later; if it lasts, see the log of whoever answers"
	adviceProxy       = "a proxy answers instead of Elasticsearch: see that Elasticsearch runs, and that the proxy finds it"
)

// itemFates says what becomes of one document of a _bulk request, by the status and the
// error type of its item. Sources: the exceptions' own status() in Elasticsearch 7.17
// and 8.19, and what those versions were seen to answer.
var itemFates = [...]rule{
	{200, "", delivered, ""},
	{201, kindFailureStore, delivered, "counted, and degraded: Elasticsearch took the document into its failure store instead of the index"},
	{201, "", delivered, ""},
	{409, "version_conflict_engine_exception", exists, ""},

	// Overload and fail-over: passes by itself. A node that flooded its disk says
	// 429 cluster_block_exception since 7.x and 403 before.
	{429, kindBlock, hold, adviceFlood},
	{429, "", again, adviceBusy},
	{503, "", again, adviceUnavailable},
	{5, "", again, adviceFailed},

	// What an operator repairs.
	{403, kindBlock, hold, adviceBlock},
	{403, "", hold, "the user may not write to the index: it needs the privileges create_doc and auto_configure on it"},
	{401, "", hold, "Elasticsearch doesn't accept the credentials: check the user and its password file, or the API key file"},
	{404, "index_not_found_exception", hold, "the index doesn't exist and may not be created automatically: allow it in action.auto_create_index, or give the user auto_configure"},
	{404, "", hold, "Elasticsearch misses what the index or its template names, as its reason says: make that, or take the name away"},
	{400, "invalid_alias_name_exception", hold, "an index with the plain name of the prefix is in the way of the alias, probably written by cAdvisor: delete or reindex it, or choose another -storage_driver_es_index"},
	{400, "index_closed_exception", hold, "the day's index is closed: open it, or delete it"},
	{400, "invalid_index_name_exception", hold, "-storage_driver_es_index isn't a valid name of an index: lower case, without spaces and \\/*?\"<>|,#:"},
	{400, "validation_exception", hold, "the cluster has as many shards as it allows: delete old indices or raise cluster.max_shards_per_node"},

	// What never will be accepted: document_parsing_exception, mapper_parsing_exception,
	// strict_dynamic_mapping_exception, illegal_argument_exception and the like.
	{4, "", refused, ""},
	{0, "", again, ""},
}

// requestFates says what becomes of a whole request, by its HTTP status. Rows with a
// kind are for answers that carry an Elasticsearch error.
var requestFates = [...]rule{
	{200, "", delivered, ""}, // each document by its item
	{413, "", split, ""},
	{429, kindBlock, hold, adviceFlood},
	{429, "", again, adviceBusy},
	{408, "", again, "the request wasn't there in time for who answers: the way there is slow, or he has too much to do; what waits is sent later"},
	{425, "", again, "what answers takes requests later: nothing is to be done unless it lasts"},
	{502, kindForeign, again, adviceProxy},
	{503, kindForeign, again, adviceProxy},
	{504, kindForeign, again, adviceProxy},
	{503, "", again, adviceUnavailable},
	{5, "", again, adviceFailed},
	{401, "", hold, "Elasticsearch doesn't accept the credentials: check the user and its password file, or the API key file"},
	{403, kindBlock, hold, adviceBlock},
	{403, "", hold, "Elasticsearch or a proxy forbids the request: the user needs the privileges create_doc and auto_configure on the indices"},
	{407, "", hold, "a proxy wants credentials: set NO_PROXY for Elasticsearch, or give the proxy's in HTTPS_PROXY"},
	{404, "", hold, "there is no _bulk at this address: check host, port and path of -storage_driver_es_host"},
	{405, "", hold, "whatever answers at this address doesn't take _bulk: check host, port and path of -storage_driver_es_host"},
	{406, "", hold, "the server doesn't take application/x-ndjson: it isn't Elasticsearch 7.17 or newer"},
	{415, "", hold, "the server doesn't take gzipped application/x-ndjson: it isn't Elasticsearch 7.17 or newer, or http.compression is off in between"},
	{400, "", bisect, ""},
	{3, "", hold, "the address redirects elsewhere: give the final address in -storage_driver_es_host"},
	{4, "", hold, "Elasticsearch or a proxy refuses the request, as its reason says: check -storage_driver_es_host, and what is in between"},
	{0, "", again, ""},
}

// decide returns the first row of the table that fits.
func decide(table []rule, status int, kind string) *rule {
	for i := range table {
		r := &table[i]
		if (r.status == 0 || r.status == status || r.status == status/100) && (r.kind == "" || r.kind == kind) {
			return r
		}
	}
	return &table[len(table)-1]
}

// transportRule is one row of the table of requests that got no answer, or none from
// Elasticsearch. The first row that fits decides.
type transportRule struct {
	what   string // for docs/operations.md
	fits   func(error) bool
	fate   fate
	advice string
}

// transportFates says what becomes of a request without an answer. Nearly always it is not
// known whether the server carried it out; what TLS refuses waits for an operator.
var transportFates = [...]transportRule{
	{"something else than Elasticsearch answers (no `X-Elastic-Product`)", is(errProduct), hold, "check -storage_driver_es_host; for OpenSearch, or behind a proxy that removes the header, set -es-product-check=false"},
	{"a web page with status 200", is(errPage), hold, "check host, port and path of -storage_driver_es_host"},
	{"the file of a password, API key or CA can't be read", is(secret.ErrUnreadable), hold, "the file has to be there, with content of its kind, and readable for the agent's user"},
	{"the certificate's authority is unknown", as[x509.UnknownAuthorityError], hold, "the certificate of Elasticsearch is signed by an authority that isn't trusted here: give its CA file"},
	{"the certificate is for another name", as[x509.HostnameError], hold, "the certificate of Elasticsearch is for another host name: use the name that stands in it"},
	{"the certificate has expired, or isn't valid yet", as[x509.CertificateInvalidError], hold, "the certificate of Elasticsearch isn't valid now: renew it, or check both clocks"},
	{"the certificate can't be verified", as[*tls.CertificateVerificationError], hold, "the certificate of Elasticsearch can't be verified: check the CA file"},
	{"no TLS at an https address", func(err error) bool {
		return as[tls.RecordHeaderError](err) || errors.Is(err, http.ErrSchemeMismatch)
	}, hold, "Elasticsearch doesn't speak TLS at this address: use http:// or the right port"},
	{"the server ends the TLS handshake", as[tls.AlertError], hold, "Elasticsearch ended the TLS handshake: check the CA file and its client certificate settings"},
	{"no connection: refused, no route, no such name, nothing within 5 s", noConnection, unreached, ""},
	{"reset, cut short, nothing acknowledged for 20 s, no answer within 33 s", func(error) bool { return true }, again, ""},
}

func is(target error) func(error) bool { return func(err error) bool { return errors.Is(err, target) } }

func as[E error](err error) bool {
	_, ok := errors.AsType[E](err)
	return ok
}

// noConnection tells that nothing of the request can have reached anybody.
func noConnection(err error) bool {
	var op *net.OpError
	return errors.As(err, &op) && (op.Op == "dial" || op.Op == "proxyconnect")
}

// transportFate returns what the table says, and what repairs it.
func transportFate(err error) (fate, string) {
	for i := range transportFates {
		if r := &transportFates[i]; r.fits(err) {
			return r.fate, r.advice
		}
	}
	return again, ""
}

// problem is one document that wasn't simply stored.
type problem struct {
	// doc is the document's place in the batch, from 0.
	doc    int
	fate   fate
	status int
	// kind and reason are Elasticsearch's error.type and error.reason; advice is ours.
	kind, reason, advice string
}

// sentence says what happened to the document, for an operator.
func (p *problem) sentence() string {
	said := p.kind
	if p.reason != "" {
		said += ": " + p.reason
	}
	if p.advice == "" {
		return said
	}
	return p.advice + " (" + said + ")"
}

// The share of a batch beyond which refusals are taken for a fault of the configuration,
// and the number of batches that have to be delivered meanwhile to prove that they are
// not: a batch of one bad document is refused as a whole, too.
const (
	refusedShare    = 10 // percent
	provenByBatches = 10
)

// judge says what becomes of a batch of docs documents in which there were problems:
// delivered (all of it has come to an end; what is refused and what exists unexpectedly
// is to be buried), again, or hold. culprit is the problem that decided, or nil.
//
// The batch is kept whole until all of it has come to an end, and is sent again as it is,
// rather than cut down to the items that are left: what is stored by then answers 409,
// which costs the server a lookup and us nothing; a batch that shrinks would have to be
// rewritten on disk, durably, for each answer.
//
// A reason that comes in one batch after the other, in a tenth of each at most, is no fault
// of the configuration here: it is a container whose documents the mapping doesn't take, as
// long as it runs, and to hold all others for its sake would be the greater loss. They are
// buried with their reason, told in a gap, and can be sent once more when the mapping is
// mended (D13).
//
// healthy tells that many other batches were delivered since this one was first refused.
func judge(problems []problem, docs int, healthy bool) (fate, *problem) {
	var waits, held, bad *problem
	refusals := 0
	for i := range problems {
		switch p := &problems[i]; p.fate {
		case again:
			waits = p
		case hold:
			held = p
		case refused:
			refusals++
			bad = p
		}
	}
	switch {
	case held != nil:
		return hold, held
	case refusals*100 > docs*refusedShare && !healthy:
		return hold, bad
	case waits != nil:
		return again, waits
	}
	return delivered, nil
}
