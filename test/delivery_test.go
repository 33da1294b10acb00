package test

import (
	"cmp"
	"crypto/ecdsa"
	"crypto/elliptic"
	crand "crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/json"
	"encoding/pem"
	"errors"
	"fmt"
	"math"
	"math/big"
	"math/rand/v2"
	"net"
	"net/http"
	"net/http/httptest"
	"net/http/httputil"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/swarmgauge/swarmgauge/test/lab"
)

// second is the sampling and the shipping interval of the agents here: each slot is a
// second of the Unix time.
const second = int64(time.Second)

// cgroupsOfTest makes cgroups with a process each and returns the prefix of their paths.
func cgroupsOfTest(t testing.TB, names ...string) (prefix string) {
	t.Helper()
	parent := fmt.Sprintf("swarmgauge-delivery-%d-%d", os.Getpid(), time.Now().UnixNano())
	t.Cleanup(func() { removeCgroups(t, parent) })
	for _, name := range names {
		path := filepath.Join(parent, name)
		dirs := makeCgroups(t, path)
		c := exec.Command("sleep", "3600")
		c.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
		if err := c.Start(); err != nil {
			t.Fatal(err)
		}
		for _, dir := range dirs {
			if err := os.WriteFile(filepath.Join(dir, "cgroup.procs"), fmt.Append(nil, c.Process.Pid), 0); err != nil {
				t.Error(err)
			}
		}
		t.Cleanup(func() {
			c.Process.Kill()
			c.Wait()
			removeCgroups(t, path)
		})
	}
	return "/" + parent + "/"
}

// makeCgroups makes a cgroup in every hierarchy that this machine has writable, and
// returns its directories.
func makeCgroups(t testing.TB, path string) (dirs []string) {
	t.Helper()
	roots := cgroupDirs("")
	isRoot := func(dir string) bool {
		_, err := os.Stat(filepath.Join(dir, "cgroup.procs"))
		return err == nil
	}
	if isRoot(roots[0]) {
		roots = roots[:1] // the unified hierarchy; below it are its children
	}
	for _, root := range roots {
		if !isRoot(root) {
			continue
		}
		dir := filepath.Join(root, path)
		if err := os.MkdirAll(dir, 0o755); err != nil {
			continue // a hierarchy that is read-only
		}
		// Without CPUs and memory of its own a v1 cpuset takes no process.
		for _, file := range [...]string{"cpuset.cpus", "cpuset.mems"} {
			for _, below := range [...]string{filepath.Dir(path), path} {
				if given, err := os.ReadFile(filepath.Join(root, file)); err == nil {
					os.WriteFile(filepath.Join(root, below, file), given, 0)
				}
			}
		}
		dirs = append(dirs, dir)
	}
	if len(dirs) == 0 {
		lab.Lack(t, "This test makes cgroups: run it as root on a machine whose /sys/fs/cgroup is writable (sudo go test ./test)")
	}
	return dirs
}

// target is an Elasticsearch with an index of its own for a test, and what an agent needs
// to ship there.
type target struct {
	*lab.ElasticsearchServer
	index string
	dir   string
}

func newTarget(t testing.TB, s *lab.ElasticsearchServer, index string) *target {
	return &target{s, index, t.TempDir()}
}

// options are those of an agent that measures some cgroups every second and ships every
// second.
func (g *target) options(prefix string, more ...string) []string {
	return append([]string{
		"-docker_only", "-raw_cgroup_prefix_whitelist=" + prefix, "-docker=", "-docker_root=" + filepath.Join(g.dir, "docker"),
		"-housekeeping_interval=1s", "-ship-interval=1s", "-node-name=" + g.index,
		"-spool-dir=" + filepath.Join(g.dir, "spool"),
		"-storage_driver=elasticsearch", "-storage_driver_es_host=" + g.URL(), "-storage_driver_es_index=" + g.index,
	}, more...)
}

// file writes a file for an option that names one, and returns its path.
func (g *target) file(t testing.TB, name, content string) (path string) {
	t.Helper()
	path = filepath.Join(g.dir, name)
	if err := os.WriteFile(path, []byte(content), 0o600); err != nil {
		t.Fatal(err)
	}
	return path
}

// awaitDelivery waits until Elasticsearch has everything that the agent has sampled or
// found, and nothing else but what it tells of sweeps that a busy machine made it miss.
func (g *target) awaitDelivery(t testing.TB, a *agent, limit time.Duration) {
	t.Helper()
	noGaps := map[string]any{"bool": map[string]any{"must_not": []any{term("event.dataset", "swarmgauge.gap")}}}
	waitFor(t, limit, "everything to be in Elasticsearch", func() error {
		before := a.delivery(t)
		if before.Pending > 0 || before.Indexed == 0 {
			return fmt.Errorf("%+v", before)
		}
		n, err := count(t, g.ElasticsearchServer, g.index, noGaps)
		if err != nil {
			return err
		}
		if after := a.delivery(t); after.Sampled != before.Sampled {
			return errors.New("the agent has sampled meanwhile")
		}
		if n != before.Indexed || before.Sampled+before.Found != before.Indexed {
			return fmt.Errorf("Elasticsearch has %d documents, and the agent says %+v", n, before)
		}
		return nil
	})
}

// delivery is what /healthz?details says of the documents.
type delivery struct {
	Sampled, Found, Indexed, Pending, Dead int
	Dropped                                map[string]int
	Replayed, Restored                     int
	Memory                                 int `json:"memory_bytes"`
	Oldest                                 time.Time
}

// health is /healthz?details.
type health struct {
	Alive    bool
	Status   string
	Problems []string
	Notes    []string
	Delivery delivery
}

func (a *agent) health(t testing.TB) (h health) {
	t.Helper()
	text, err := httpGet(t, a.URL+"/healthz?details")
	if err != nil {
		t.Fatal(err)
	}
	if err := json.Unmarshal([]byte(text), &h); err != nil {
		t.Fatalf("%v in %s", err, text)
	}
	return h
}

func (a *agent) delivery(t testing.TB) delivery {
	t.Helper()
	return a.health(t).Delivery
}

// awaitProblem waits until the agent's health has a problem with each of these texts, and
// makes sure that it goes on sampling.
func (a *agent) awaitProblem(t testing.TB, texts ...string) {
	t.Helper()
	waitFor(t, 30*time.Second, "the problem to be told", func() error {
		h := a.health(t)
		all := strings.Join(h.Problems, "\n")
		for _, text := range texts {
			if !strings.Contains(all, text) {
				return fmt.Errorf("no %q in %+v", text, h)
			}
		}
		if !h.Alive || h.Status != "degraded" {
			t.Errorf("alive %v, status %q with problems %q", h.Alive, h.Status, h.Problems)
		}
		return nil
	})
	before := a.delivery(t)
	waitFor(t, 10*time.Second, "more samples", func() error {
		if now := a.delivery(t); now.Sampled == before.Sampled || now.Pending == 0 {
			return fmt.Errorf("%+v, before %+v", now, before)
		}
		return nil
	})
}

// awaitHealth waits until the agent has no problem.
func (a *agent) awaitHealth(t testing.TB) {
	t.Helper()
	waitFor(t, 60*time.Second, "the agent to be well", func() error {
		if h := a.health(t); h.Status != "ok" {
			return fmt.Errorf("%s: %q", h.Status, h.Problems)
		}
		return nil
	})
}

// stopInTime ends the agent in order, which takes five seconds at most.
func (a *agent) stopInTime(t testing.TB) {
	t.Helper()
	if took := a.stop(t); took > 5*time.Second {
		t.Errorf("the agent took %v to end after SIGTERM", took)
	}
}

// slotsOf returns the slots of the documents by subject, those of the node and of the
// cgroups with the prefix only.
func slotsOf(docs []document, prefix string) map[string][]int64 {
	slots := map[string][]int64{}
	for _, d := range docs {
		if name := d.text("container_Name"); d.dataset() == "node" || d.dataset() == "container" && strings.HasPrefix(name, prefix) {
			slots[name] = append(slots[name], d.slot())
		}
	}
	return slots
}

// gap is a gap document of sweeps that an agent has missed.
type gap struct{ first, last, sweeps int64 }

// gapsOf returns the gaps of all agents whose documents these are, the one that ends first
// first, and fails the test for one that tells of anything but missed sweeps.
func gapsOf(t *testing.T, docs []document) (gaps []gap) {
	t.Helper()
	for _, d := range docs {
		if d.dataset() != "gap" {
			continue
		}
		first, _ := d.number("gap.first_slot")
		last, _ := d.number("gap.last_slot")
		sweeps, _ := d.number("gap.sweeps")
		if sweeps < 1 || last-first+1 < sweeps {
			t.Errorf("%v sweeps missed in the slots from %.0f to %.0f, because of %s: %v", sweeps, first, last, d.text("gap.reason"), d)
			continue
		}
		gaps = append(gaps, gap{int64(first), int64(last), int64(sweeps)})
	}
	slices.SortFunc(gaps, func(a, b gap) int { return cmp.Compare(a.last, b.last) })
	return gaps
}

// sweepsOf returns how many missed sweeps the gaps within these slots tell of.
func sweepsOf(gaps []gap, first, last int64) (n int64) {
	for _, g := range gaps {
		if first <= g.first && g.last <= last {
			n += g.sweeps
		}
	}
	return n
}

// untold returns the slots from first to last that are absent, and that no gap tells of. Two
// gaps that were told in one document have slots between them that were sampled: so it tells
// of no more slots than it has missed sweeps.
func untold(slots []int64, gaps []gap, first, last int64) (absent []int64) {
	left := slices.Clone(gaps)
	for slot := first; slot <= last; slot++ {
		if slices.Contains(slots, slot) {
			continue
		}
		tells := func(g gap) bool { return g.first <= slot && slot <= g.last && g.sweeps > 0 }
		if i := slices.IndexFunc(left, tells); i >= 0 {
			left[i].sweeps--
			continue
		}
		absent = append(absent, slot)
	}
	return absent
}

// checkTold fails the test unless every slot from the first document of each subject to its
// last one is either there or told in a gap, and every sweep that the agent has counted as
// missed is in one.
func checkTold(t *testing.T, docs []document, prefix string, missed int) {
	t.Helper()
	gaps, subjects := gapsOf(t, docs), slotsOf(docs, prefix)
	if told := sweepsOf(gaps, math.MinInt64, math.MaxInt64); told < int64(missed) {
		t.Errorf("the agent has missed %d sweeps, and its gaps tell of %d: %+v", missed, told, gaps)
	}
	if len(subjects) != 4 {
		t.Errorf("documents of %d subjects, want those of three cgroups and the node", len(subjects))
	}
	for subject, slots := range subjects {
		if absent := untold(slots, gaps, slots[0], slots[len(slots)-1]); len(absent) > 0 {
			t.Errorf("%s has no documents for the slots %d, and no gap tells of them: %+v", subject, absent, gaps)
		}
		for _, g := range gaps {
			sampled := func(slot int64) bool { return g.first <= slot && slot <= g.last }
			if whole := g.last-g.first+1 == g.sweeps; whole && slices.ContainsFunc(slots, sampled) {
				t.Errorf("%s has a document for a slot that was missed: %+v", subject, g)
			}
		}
	}
}

// checkSlots fails the test if more slots from first to last are absent than the agent says it
// has missed. It doesn't look where they are, as checkTold does: tests that delete documents
// on their way delete gaps, too.
func checkSlots(t *testing.T, subject string, slots []int64, first, last int64, missed int) {
	t.Helper()
	var absent []int64
	for slot := first; slot <= last; slot++ {
		if !slices.Contains(slots, slot) {
			absent = append(absent, slot)
		}
	}
	if len(absent) > missed {
		t.Errorf("%s has no documents for the slots %d from %d to %d; the agent says it missed %d", subject, absent, first, last, missed)
	}
}

// Elasticsearch is away for a minute while one agent lives on and another one is killed
// twenty times at random moments, before, during and after the outage, and each fourth time
// in its first second: every slot that was published is there, and none is there twice.
func TestOutageAndKills(t *testing.T) {
	lab.Need(t, lab.Elasticsearch)
	prefix := cgroupsOfTest(t, "one", "two", "three")
	s := lab.ElasticsearchFor(t, lab.ElasticsearchConfig{})
	lives, dies := newTarget(t, s, "lives"), newTarget(t, s, "dies")
	const kills, outage = 20, time.Minute

	survivor := startAgent(t, lives.options(prefix)...)
	lives.awaitDelivery(t, survivor, 30*time.Second)

	random := rand.New(rand.NewPCG(uint64(time.Now().UnixNano()), 0))
	type run struct {
		ready, killed time.Time // ready is zero if nobody waited for it
		missed        int
	}
	var runs []run
	live := func() {
		if len(runs)%4 == 1 {
			// It reads the spool of those before it, and may be about to write to it. What it
			// destroyed would be missing from what they published.
			within := second
			if len(runs)%8 == 1 {
				within /= 20 // it answers after some 25 ms
			}
			a := launchAgent(t, nil, dies.options(prefix)...)
			time.Sleep(time.Duration(random.Int64N(within)))
			a.kill()
			runs = append(runs, run{killed: time.Now()})
			return
		}
		a := startAgent(t, dies.options(prefix)...)
		r := run{ready: time.Now()}
		time.Sleep(time.Second + time.Duration(random.Int64N(4*second)))
		r.missed = int(a.metric(t, "swarmgauge_slots_missed_total"))
		r.killed = time.Now()
		a.kill()
		runs = append(runs, r)
	}
	for range 3 {
		live()
	}
	if err := s.Stop(); err != nil {
		t.Fatal(err)
	}
	for stopped := time.Now(); time.Since(stopped) < outage; {
		live()
	}
	if held := survivor.delivery(t); held.Pending == 0 {
		t.Errorf("nothing waits after a minute without Elasticsearch: %+v", held)
	}
	started := make(chan error, 1)
	go func() { started <- s.Start(t.Context()) }()
	for range 2 {
		live()
	}
	if err := <-started; err != nil {
		t.Fatal(err)
	}
	for range max(2, kills-len(runs)) {
		live()
	}

	last := startAgent(t, dies.options(prefix)...)
	waitFor(t, 2*time.Minute, "what the killed agents left", func() error {
		if d := last.delivery(t); d.Pending > 0 || d.Indexed == 0 {
			return fmt.Errorf("%+v", d)
		}
		return nil
	})
	lives.awaitDelivery(t, survivor, 2*time.Minute)

	t.Run("lives", func(t *testing.T) {
		if d := survivor.delivery(t); d.Dead > 0 || total(d.Dropped) > 0 {
			t.Errorf("lost: %+v", d)
		}
		missed := int(survivor.metric(t, "swarmgauge_slots_missed_total"))
		survivor.stopInTime(t)
		docs := documents(t, s, lives.index, nil)
		checkOnce(t, docs)
		checkFlows(t, docs)
		checkFields(t, s, lives.index, docs)
		checkTold(t, docs, prefix, missed)
		for subject, slots := range slotsOf(docs, prefix) {
			if span := slots[len(slots)-1] - slots[0]; span < int64(outage/time.Second) {
				t.Errorf("%s has documents of %d s", subject, span)
			}
		}
	})
	t.Run("dies", func(t *testing.T) {
		if d := last.delivery(t); d.Dead > 0 || total(d.Dropped) > 0 {
			t.Errorf("lost: %+v", d)
		}
		last.stopInTime(t)
		docs := documents(t, s, dies.index, nil)
		checkOnce(t, docs)
		checkFlows(t, docs)
		gaps, subjects := gapsOf(t, docs), slotsOf(docs, prefix)
		if len(subjects) != 4 {
			t.Errorf("documents of %d subjects, want those of three cgroups and the node", len(subjects))
		}
		early := 0
		for _, r := range runs {
			if r.ready.IsZero() {
				early++ // it need not have published anything
				continue
			}
			// The first sweep comes with the first slot, and the first document, which
			// needs two, with the second. The batch of the newest slot may have been
			// under way to the disk at the kill.
			first, last := r.ready.Unix()+2, r.killed.Unix()-1
			// So may the gap behind the last batch; but the agent had counted its sweeps.
			unwritten := int64(r.missed) - sweepsOf(gaps, r.ready.Unix(), r.killed.Unix())
			for subject, slots := range subjects {
				end := last
				for end > last-unwritten && !slices.Contains(slots, end) {
					end--
				}
				if absent := untold(slots, gaps, first, end); len(absent) > 0 {
					t.Errorf("%s has no documents for the slots %d from %d to %d, and no gap tells of them: %+v", subject, absent, first, end, gaps)
				}
			}
		}
		t.Logf("%d kills, %d of them early, %d documents, %d gaps", len(runs), early, len(docs), len(gaps))
	})
}

func total(counts map[string]int) (sum int) {
	for _, n := range counts {
		sum += n
	}
	return sum
}

const (
	adminPassword = "admin-password"
	agentPassword = "agent-password"
)

// What stands between an agent and Elasticsearch is told in a sentence that says what
// repairs it, costs no document, and needs no restart once it is repaired.
func TestDeliveryIsHeldAndResumed(t *testing.T) {
	lab.Need(t, lab.Elasticsearch)
	prefix := cgroupsOfTest(t, "one", "two", "three")
	s := lab.ElasticsearchFor(t, lab.ElasticsearchConfig{
		Users: []lab.ElasticsearchUser{
			{Name: "admin", Password: adminPassword},
			{Name: "agent", Password: agentPassword, Roles: []string{"agent"}},
			{Name: "writer", Password: agentPassword, Roles: []string{"writer"}},
		},
		Roles: `
agent:
  cluster: [manage_index_templates]
  indices:
  - names: ['*']
    privileges: [create_doc, auto_configure]
writer:
  indices:
  - names: ['*']
    privileges: [create_doc, auto_configure]
`,
	})
	f := func(name string, test func(*testing.T, *target, string)) {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			test(t, newTarget(t, s, name), prefix)
		})
	}
	f("password", testWrongPassword)
	f("privileges", testLeastPrivileges)
	f("authority", testUntrustedAuthority)
	f("unreachable", testUnreachableAtStart)
	f("later", testConfiguredLater)
	f("stranger", testStranger)
	f("blocks", testBlocks)
	f("disk", testReadOnlySpool)
	f("partial", testPartialWindow)
}

func testWrongPassword(t *testing.T, g *target, prefix string) {
	password := g.file(t, "password", "wrong\n")
	a := startAgent(t, g.options(prefix, "-es-user=agent", "-es-password-file="+password)...)
	a.awaitProblem(t, "doesn't accept the credentials", "password file")
	g.file(t, "password", agentPassword+"\n")
	g.awaitWhole(t, a, prefix)
}

// awaitWhole waits until all is delivered that the agent has sampled since its start, and
// checks that no slot is missing and none there twice.
func (g *target) awaitWhole(t *testing.T, a *agent, prefix string) {
	t.Helper()
	g.awaitDelivery(t, a, 90*time.Second)
	a.awaitHealth(t)
	missed := int(a.metric(t, "swarmgauge_slots_missed_total"))
	a.stopInTime(t)
	docs := documents(t, g.ElasticsearchServer, g.index, nil)
	checkOnce(t, docs)
	checkTold(t, docs, prefix, missed)
}

// A user who may write documents and do nothing else: an administrator installs the
// template that the agent prints, and deletes the index that has shown that it wasn't there.
func testLeastPrivileges(t *testing.T, g *target, prefix string) {
	a := startAgent(t, g.options(prefix, "-es-user=writer", "-es-password-file="+g.file(t, "password", agentPassword))...)
	a.awaitProblem(t, "index template", "manage_index_templates", "agent template", "delete that index")
	if n, err := count(t, g.ElasticsearchServer, g.index+"-*", nil); n != 1 || err != nil {
		t.Fatalf("%d documents before there is a template: %v", n, err)
	}

	body, err := exec.Command(buildAgent(t), "template", "-storage_driver_es_index="+g.index).Output()
	if err != nil {
		t.Fatal(err)
	}
	mustAsk[any](t, g.ElasticsearchServer, http.MethodPut, "/_index_template/"+g.index, string(body))
	for name := range mustAsk[map[string]any](t, g.ElasticsearchServer, http.MethodGet, "/"+g.index+"-*", nil) {
		mustAsk[any](t, g.ElasticsearchServer, http.MethodDelete, "/"+name, nil)
	}
	g.awaitWhole(t, a, prefix)
	checkFields(t, g.ElasticsearchServer, g.index, documents(t, g.ElasticsearchServer, g.index, nil))
}

// proxyTo returns a reverse proxy to Elasticsearch.
func proxyTo(t testing.TB, s *lab.ElasticsearchServer) http.Handler {
	t.Helper()
	to, err := url.Parse(s.URL())
	if err != nil {
		t.Fatal(err)
	}
	proxy := httputil.NewSingleHostReverseProxy(to)
	proxy.Transport = &http.Transport{TLSClientConfig: &tls.Config{InsecureSkipVerify: true}} // of the lab
	return proxy
}

func testUntrustedAuthority(t *testing.T, g *target, prefix string) {
	encrypted := httptest.NewTLSServer(proxyTo(t, g.ElasticsearchServer))
	t.Cleanup(encrypted.Close)
	authority := g.file(t, "ca.pem", certificatePEM(otherAuthority(t)))
	a := startAgent(t, g.options(prefix, "-storage_driver_es_host="+encrypted.URL, "-es-ca-file="+authority,
		"-es-user=agent", "-es-password-file="+g.file(t, "password", agentPassword))...)
	a.awaitProblem(t, "certificate", "CA file")
	g.file(t, "ca.pem", certificatePEM(encrypted.Certificate().Raw))
	g.awaitWhole(t, a, prefix)
}

// otherAuthority returns the certificate of an authority that has signed nothing.
func otherAuthority(t testing.TB) (der []byte) {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), crand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	c := &x509.Certificate{
		SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: "another authority"}, IsCA: true, BasicConstraintsValid: true,
		NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(time.Hour),
	}
	der, err = x509.CreateCertificate(crand.Reader, c, c, key.Public(), key)
	if err != nil {
		t.Fatal(err)
	}
	return der
}

func certificatePEM(der []byte) string {
	return string(pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der}))
}

// later is a proxy to Elasticsearch that is started after the agent that ships to it.
type later struct {
	*httptest.Server
	address string
}

func proxyLater(t testing.TB, s *lab.ElasticsearchServer) *later {
	l := &later{Server: httptest.NewUnstartedServer(proxyTo(t, s))}
	l.address = l.Listener.Addr().String()
	l.Listener.Close() // the address stays ours unless the machine runs out of ports
	return l
}

func (l *later) start(t testing.TB) {
	t.Helper()
	var err error
	if l.Listener, err = net.Listen("tcp", l.address); err != nil {
		t.Fatal(err)
	}
	l.Server.Start()
	t.Cleanup(l.Close)
}

// again starts a proxy that was closed at the same address.
func (l *later) again(t testing.TB) {
	t.Helper()
	l.Server = httptest.NewUnstartedServer(l.Config.Handler)
	l.Listener.Close()
	l.start(t)
}

func testUnreachableAtStart(t *testing.T, g *target, prefix string) {
	server := proxyLater(t, g.ElasticsearchServer)
	a := startAgent(t, g.options(prefix, "-storage_driver_es_host=http://"+server.address,
		"-es-user=agent", "-es-password-file="+g.file(t, "password", agentPassword))...)
	a.awaitProblem(t, "connection refused")
	server.start(t)
	g.awaitWhole(t, a, prefix)
}

// Something answers at the address, and it isn't Elasticsearch.
func testStranger(t *testing.T, g *target, prefix string) {
	elasticsearch := proxyTo(t, g.ElasticsearchServer)
	var repaired atomic.Bool
	front := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if repaired.Load() {
			elasticsearch.ServeHTTP(w, r)
			return
		}
		w.Header().Set("Content-Type", "text/html")
		fmt.Fprint(w, "<html><body>It works!</body></html>")
	}))
	t.Cleanup(front.Close)
	a := startAgent(t, g.options(prefix, "-storage_driver_es_host="+front.URL,
		"-es-user=agent", "-es-password-file="+g.file(t, "password", agentPassword))...)
	a.awaitProblem(t, "isn't Elasticsearch", "-storage_driver_es_host")
	repaired.Store(true)
	g.awaitWhole(t, a, prefix)
}

// An index that is read-only by an administrator's hand, or by the server's when its disk
// is almost full.
func testBlocks(t *testing.T, g *target, prefix string) {
	a := startAgent(t, g.options(prefix, "-es-user=agent", "-es-password-file="+g.file(t, "password", agentPassword))...)
	g.awaitDelivery(t, a, 60*time.Second)
	block := func(setting string, value any) {
		t.Helper()
		mustAsk[any](t, g.ElasticsearchServer, http.MethodPut, "/"+g.index+"-*/_settings", map[string]any{setting: value})
	}
	f := func(setting, sentence string) {
		t.Helper()
		block(setting, true)
		a.awaitProblem(t, sentence)
		block(setting, nil)
		a.awaitHealth(t)
	}
	f("index.blocks.read_only_allow_delete", "disk")
	f("index.blocks.write", "lift the block")
	g.awaitWhole(t, a, prefix)
}

// A spool directory that can't be written: documents go through memory, to the disk again
// once it takes them.
func testReadOnlySpool(t *testing.T, g *target, prefix string) {
	if os.Getuid() != 0 {
		lab.Lack(t, "This test mounts a file system: run it as root (sudo go test ./test -run TestDeliveryIsHeldAndResumed/disk)")
	}
	spool := filepath.Join(g.dir, "mount")
	if err := os.Mkdir(spool, 0o755); err != nil {
		t.Fatal(err)
	}
	if err := syscall.Mount("swarmgauge-test", spool, "tmpfs", syscall.MS_RDONLY, "size=16m"); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := syscall.Unmount(spool, syscall.MNT_DETACH); err != nil {
			t.Error(err)
		}
	})
	server := proxyLater(t, g.ElasticsearchServer)
	a := startAgent(t, g.options(prefix, "-storage_driver_es_host=http://"+server.address, "-spool-dir="+filepath.Join(spool, "spool"),
		"-es-user=agent", "-es-password-file="+g.file(t, "password", agentPassword))...)
	a.awaitProblem(t, "Documents are kept in memory", "read-only file system")
	waitFor(t, 20*time.Second, "documents in memory", func() error { // the problem is told before there are any
		if d := a.delivery(t); d.Memory == 0 {
			return fmt.Errorf("%+v", d)
		}
		return nil
	})
	if err := syscall.Mount("swarmgauge-test", spool, "tmpfs", syscall.MS_REMOUNT, "size=16m"); err != nil {
		t.Fatal(err)
	}
	waitFor(t, 90*time.Second, "the disk to be used", func() error {
		if h := a.health(t); strings.Contains(strings.Join(h.Problems, "\n"), "in memory") || h.Delivery.Memory > 0 {
			return fmt.Errorf("%+v", h)
		}
		return nil
	})
	server.start(t)
	g.awaitWhole(t, a, prefix)
}

// An agent that is asked to end publishes the window that it is in, and the next one ships
// it if there is no time left.
func testPartialWindow(t *testing.T, g *target, prefix string) {
	options := g.options(prefix, "-ship-interval=10s", "-es-user=agent", "-es-password-file="+g.file(t, "password", agentPassword))
	a := startAgent(t, options...)
	waitFor(t, 20*time.Second, "some samples", func() error {
		if n := a.metric(t, "swarmgauge_samples_total"); n < 12 {
			return fmt.Errorf("%v", n)
		}
		return nil
	})
	ended := time.Now()
	a.stopInTime(t)

	a = startAgent(t, options...)
	newest := map[string]document{} // of the first agent
	waitFor(t, 60*time.Second, "the first agent's documents", func() error {
		if d := a.delivery(t); d.Pending > 0 || d.Indexed == 0 {
			return fmt.Errorf("%+v", d)
		}
		return nil
	})
	for _, d := range documents(t, g.ElasticsearchServer, g.index, nil) {
		if name := d.text("container_Name"); strings.HasPrefix(name, prefix) && d.time().Before(ended) {
			newest[name] = d
		}
	}
	if len(newest) != 3 {
		t.Errorf("documents of %d cgroups, want 3", len(newest))
	}
	for _, d := range newest {
		if lost := ended.Sub(d.time()); lost > 1500*time.Millisecond {
			t.Errorf("the last %v before the end are not in %v", lost, d)
		}
	}
}
