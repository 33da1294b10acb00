package test

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"os/exec"
	"slices"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"
	"unicode/utf8"
)

// document is one line that an agent with -storage_driver=stdout printed: fields by their
// names, which are flat and dotted but for the objects labels and container_stats.
type document map[string]any

// text returns a field of text, "" if there is none.
func (d document) text(field string) string {
	s, _ := d[field].(string)
	return s
}

// number returns a numeric field, and whether it is there.
func (d document) number(field string) (float64, bool) {
	v, ok := d[field].(float64)
	return v, ok
}

// stat returns a number of container_stats by its path; false if a step isn't there.
func (d document) stat(path ...string) (float64, bool) {
	var v any = d["container_stats"]
	for _, step := range path {
		object, _ := v.(map[string]any)
		v = object[step]
	}
	n, ok := v.(float64)
	return n, ok
}

// time is when the last sample was taken, to the microsecond.
func (d document) time() time.Time {
	us, _ := d.number("timestamp")
	return time.UnixMicro(int64(us))
}

// date returns a field that is a date, the zero time if there is none.
func (d document) date(field string) time.Time {
	at, err := time.Parse(time.RFC3339, d.text(field))
	if err != nil {
		return time.Time{}
	}
	return at
}

// fieldsBelow returns the names of the fields that begin with prefix.
func (d document) fieldsBelow(prefix string) (names []string) {
	for name := range d {
		if strings.HasPrefix(name, prefix) {
			names = append(names, name)
		}
	}
	slices.Sort(names)
	return names
}

// sum returns the sum of a field over the documents that have it.
func sum(documents []document, field string) (total float64) {
	for _, d := range documents {
		v, _ := d.number(field)
		total += v
	}
	return total
}

// printer is an agent whose documents a test reads from its standard output.
type printer struct {
	cmd *exec.Cmd
	log bytes.Buffer // standard error; complete once the agent has ended

	mu        sync.Mutex // guards what follows
	line      []byte     // one that isn't complete yet
	documents []document
	malformed []string
}

// startPrinter starts the agent that cmd is, with -storage_driver=stdout among its
// options, and waits for its first document: what begins later it sees begin. It is ended
// with the test, which fails if a line was not valid JSON in UTF-8; its log is shown if
// the test failed.
func startPrinter(t testing.TB, cmd *exec.Cmd) *printer {
	t.Helper()
	p := &printer{cmd: cmd}
	cmd.Stdout, cmd.Stderr = p, &p.log
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		p.stop()
		for _, line := range p.malformed {
			t.Errorf("not one JSON object in UTF-8: %.2000q", line)
		}
		if t.Failed() {
			t.Logf("the log of %s:\n%s", strings.Join(cmd.Args, " "), p.log.String())
		}
	})
	waitFor(t, 30*time.Second, "the agent's first document", func() error {
		if len(p.find(func(document) bool { return true })) == 0 {
			return errNotYet
		}
		return nil
	})
	return p
}

// stop ends the agent, unless it has ended.
func (p *printer) stop() {
	p.cmd.Process.Signal(syscall.SIGTERM)
	killer := time.AfterFunc(10*time.Second, func() { p.cmd.Process.Kill() })
	p.cmd.Wait()
	killer.Stop()
}

// take returns the documents so far, and forgets them.
func (p *printer) take() (taken []document) {
	p.mu.Lock()
	defer p.mu.Unlock()
	taken, p.documents = p.documents, nil
	return taken
}

// Write takes a part of the agent's output.
func (p *printer) Write(b []byte) (int, error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.line = append(p.line, b...)
	for {
		line, rest, ok := bytes.Cut(p.line, []byte("\n"))
		if !ok {
			return len(b), nil
		}
		var d document
		if err := json.Unmarshal(line, &d); err != nil || !utf8.Valid(line) {
			p.malformed = append(p.malformed, string(line))
		} else {
			p.documents = append(p.documents, d)
		}
		p.line = rest
	}
}

// find returns the documents so far that keep accepts, in their order.
func (p *printer) find(keep func(document) bool) (found []document) {
	p.mu.Lock()
	defer p.mu.Unlock()
	for _, d := range p.documents {
		if keep(d) {
			found = append(found, d)
		}
	}
	return found
}

// container returns the measurements of a container so far.
func (p *printer) container(id string) []document {
	return p.find(func(d document) bool {
		return d.text("event.dataset") == "swarmgauge.container" && d.text("container.id") == id
	})
}

// events returns the events of a container so far.
func (p *printer) events(id string) []document {
	return p.find(func(d document) bool {
		return d.text("event.dataset") == "swarmgauge.event" && d.text("container.id") == id
	})
}

// actions returns what happened to a container so far, as "start", "die 7",
// "health_status healthy", in the order of the documents.
func (p *printer) actions(id string) (actions []string) {
	for _, e := range p.events(id) {
		action := e.text("event.action")
		switch action {
		case "die":
			action = fmt.Sprintf("%s %v", action, e["container.exit_code"])
		case "health_status":
			action += " " + e.text("container.health")
		}
		actions = append(actions, action)
	}
	return actions
}

// awaitActions waits until an agent has told exactly these actions of a container.
func (p *printer) awaitActions(t testing.TB, limit time.Duration, id string, want ...string) {
	t.Helper()
	waitFor(t, limit, "events", func() error {
		if got := p.actions(id); !slices.Equal(got, want) {
			return fmt.Errorf("events of %.12s: %q, want %q", id, got, want)
		}
		return nil
	})
}

// after waits for the first measurement of a container whose last sample was taken after at.
func (p *printer) after(t testing.TB, id string, at time.Time) (found document) {
	t.Helper()
	waitFor(t, 20*time.Second, "a measurement", func() error {
		for _, d := range p.container(id) {
			if d.time().After(at) {
				found = d
				return nil
			}
		}
		return fmt.Errorf("no document of %.12s after %v", id, at)
	})
	return found
}

// engine is what can be told about containers: lab.Engine and lab.Node.
type engine interface {
	Docker(ctx context.Context, args ...string) (string, error)
}

// docker runs the docker command and returns its output.
func docker(t testing.TB, e engine, args ...string) string {
	t.Helper()
	out, err := e.Docker(t.Context(), args...)
	if err != nil {
		t.Fatal(err)
	}
	return out
}

// inspected is what docker inspect says of a container, as far as documents have it.
type inspected struct {
	ID           string `json:"Id"`
	Name         string
	Created      time.Time
	Image        string
	RestartCount float64
	State        struct {
		Status     string
		ExitCode   int
		StartedAt  time.Time
		FinishedAt time.Time
		OOMKilled  bool
		Pid        int
		Health     *struct{ Status string }
	}
	Config struct {
		Image  string
		Labels map[string]string
	}
}

func inspect(t testing.TB, e engine, container string) inspected {
	t.Helper()
	var one []inspected
	out := docker(t, e, "container", "inspect", container)
	if err := json.Unmarshal([]byte(out), &one); err != nil || len(one) != 1 {
		t.Fatalf("docker inspect %s: %v: %.500s", container, err, out)
	}
	return one[0]
}

// identityOf compares who a document says it is about with what the engine says.
func identityOf(d document, want inspected) error {
	var wrong []string
	check := func(field string, got, want any) {
		if got != want {
			wrong = append(wrong, fmt.Sprintf("%s is %v, want %v", field, got, want))
		}
	}
	name, tag, _ := strings.Cut(want.Config.Image, ":")
	check("container.name", d.text("container.name"), strings.TrimPrefix(want.Name, "/"))
	check("container_Name", d.text("container_Name"), strings.TrimPrefix(want.Name, "/"))
	check("container.runtime", d.text("container.runtime"), "docker")
	check("container.image.name", d.text("container.image.name"), name)
	check("container.image.tag", d.text("container.image.tag"), tag)
	check("container.image.hash.all", d["container.image.hash.all"], want.Image)
	check("container.state", d.text("container.state"), want.State.Status)
	check("container.restart_count", d["container.restart_count"], want.RestartCount)
	check("container.created", d.date("container.created"), want.Created.UTC().Truncate(time.Millisecond))
	check("container.started", d.date("container.started"), want.State.StartedAt.UTC().Truncate(time.Millisecond))
	labels, _ := d["labels"].(map[string]any)
	check("the number of labels", len(labels), len(want.Config.Labels))
	for key, value := range want.Config.Labels {
		check("label "+key, labels[key], value)
	}
	if len(wrong) > 0 {
		return fmt.Errorf("document of %s: %s", want.Name, strings.Join(wrong, "; "))
	}
	return nil
}
