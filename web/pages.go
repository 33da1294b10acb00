package web

import (
	"context"
	"fmt"
	"net/http"
	"net/url"
	"path"
	"slices"
	"strings"
	"time"

	"github.com/swarmgauge/swarmgauge/collector"
	"github.com/swarmgauge/swarmgauge/metric"
)

// Recent are the newest two samples of a container, of which a rate can be made.
type Recent struct {
	// Previous has Time 0 where there is one sample only.
	Previous, Newest metric.Sample
}

// pages are those for people: tables of what there is with its numbers of now, under the
// paths of cAdvisor's pages.
type pages struct{ o *Options }

// page is what one page shows.
type page struct {
	Prefix, Title, Version string
	At                     time.Time
	Trail                  []link
	Node                   *metric.Node
	// Facts, Tables and Labels are of one container, Children what is below it.
	Facts    []fact
	Tables   []numbers
	Labels   []metric.Label
	JSON     string
	Heading  string
	Children []child
}

type link struct{ Name, URL string }

type fact struct{ Name, Value string }

// numbers is a table of one row for each interface, device or filesystem.
type numbers struct {
	Title   string
	Columns []string // of the numbers
	Rows    []numbersRow
}

type numbersRow struct {
	Name   string
	Values []string
}

// child is one line of the table of containers.
type child struct {
	Name, URL, Path, Image, Service string
	Values                          []string // by childColumns
}

// childColumns are the headings of a child's numbers.
var childColumns = [...]string{"CPU cores", "CPU limit", "memory", "working set", "memory limit", "net in", "net out", "disk read", "disk write", "tasks"} // immutable

// serveContainers answers /containers/<cgroup path>.
func (p *pages) serveContainers(w http.ResponseWriter, r *http.Request) {
	var all collector.Readings
	if !p.read(w, r, &all) {
		return
	}
	of := path.Clean("/" + strings.TrimPrefix(r.URL.Path, p.o.Prefix+containersPath))
	for i := range all.Containers {
		if all.Containers[i].Container.Path == of {
			p.serveContainer(w, r, &all, &all.Containers[i], nil)
			return
		}
	}
	if below := nearestBelow(all.Containers, of); len(below) > 0 {
		// With -docker_only the cgroup itself isn't measured, and what is below it is.
		p.serveList(w, r, &all, below, page{Title: of, Trail: p.trail(of), Heading: "Containers below"})
		return
	}
	http.Error(w, fmt.Sprintf("failed to get container %q with error: unknown container %q", of, of), http.StatusNotFound)
}

// runtime answers /docker/ and /docker/<name or id>, or those of another runtime.
func (p *pages) runtime(below, name string) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		var all collector.Readings
		if !p.read(w, r, &all) {
			return
		}
		trail := []link{{"node", p.o.Prefix + containersPath + "/"}, {name, p.o.Prefix + below + "/"}}
		asked := strings.TrimPrefix(r.URL.Path, p.o.Prefix+below+"/")
		if asked == "" {
			var list []*collector.Reading
			for i := range all.Containers {
				if all.Containers[i].Container.Runtime == name {
					list = append(list, &all.Containers[i])
				}
			}
			p.serveList(w, r, &all, list, page{Title: name + " containers", Trail: trail[:1], Heading: "Containers"})
			return
		}
		listed := make([]collector.Listed, len(all.Containers))
		for i := range all.Containers {
			listed[i].Container = all.Containers[i].Container
		}
		found, err := find(listed, name, asked)
		if err != nil {
			http.Error(w, fmt.Sprintf("failed to get container %q with error: %v", "/"+asked, err), http.StatusNotFound)
			return
		}
		i := slices.IndexFunc(all.Containers, func(r collector.Reading) bool { return r.Container == found })
		p.serveContainer(w, r, &all, &all.Containers[i], trail)
	})
}

// read reads the newest samples of all, or answers that it can't.
func (p *pages) read(w http.ResponseWriter, r *http.Request, all *collector.Readings) bool {
	if err := p.o.Containers.Latest(r.Context(), all); err != nil {
		http.Error(w, "failed to get containers: "+err.Error(), http.StatusInternalServerError)
		return false
	}
	sortByPath(all.Containers)
	return true
}

// nearestBelow returns those below a path that have no other one between.
func nearestBelow(all []collector.Reading, of string) []*collector.Reading {
	prefix := strings.TrimSuffix(of, "/") + "/"
	var below []*collector.Reading
	inside := "" // of the last one found
	for i := range all {
		at := all[i].Container.Path
		if at == of || !strings.HasPrefix(at, prefix) || inside != "" && strings.HasPrefix(at, inside) {
			continue
		}
		below, inside = append(below, &all[i]), at+"/"
	}
	return below
}

// trail returns the way from the node to a cgroup.
func (p *pages) trail(of string) []link {
	trail := []link{{"node", p.url("/")}}
	for i, c := range of {
		if c == '/' && i > 0 {
			trail = append(trail, link{of[strings.LastIndexByte(of[:i], '/')+1 : i], p.url(of[:i])})
		}
	}
	return trail
}

// url returns the address of a cgroup's page.
func (p *pages) url(of string) string {
	return (&url.URL{Path: p.o.Prefix + containersPath + of}).EscapedPath()
}

func (p *pages) serveList(w http.ResponseWriter, r *http.Request, all *collector.Readings, list []*collector.Reading, of page) {
	of.Node, of.At = all.Node, newest(list)
	of.Children = p.children(r.Context(), list)
	p.write(w, &of)
}

func newest(list []*collector.Reading) time.Time {
	var at int64
	for _, r := range list {
		at = max(at, r.Sample.Time)
	}
	if at == 0 {
		return time.Time{}
	}
	return time.Unix(0, at).UTC()
}

func (p *pages) serveContainer(w http.ResponseWriter, r *http.Request, all *collector.Readings, of *collector.Reading, trail []link) {
	c := of.Container
	recent := p.recent(r.Context(), of)
	out := page{
		Title: c.DisplayName(), Trail: trail, Node: all.Node, At: time.Unix(0, recent.Newest.Time).UTC(),
		Facts: containerFacts(c), Labels: c.Labels, Heading: "Containers below",
		JSON: (&url.URL{Path: p.o.Prefix + apiPath + "v1.3/containers" + c.Path}).EscapedPath(),
	}
	if trail == nil {
		out.Trail = p.trail(c.Path)
	}
	if c.Path == metric.Root {
		out.Title, out.Trail = all.Node.Name, nil
		out.Facts = nodeFacts(all.Node)
	}
	out.Facts = append(out.Facts, limitFacts(&recent.Newest)...)
	out.Facts = append(out.Facts, usageFacts(recent)...)
	if of.NetworkOf == "" {
		out.Tables = append(out.Tables, interfaceTable(recent))
	} else {
		out.Facts = append(out.Facts, fact{"network", "counted for " + of.NetworkOf + ", whose it is"})
	}
	out.Tables = append(out.Tables, deviceTable(recent), filesystemTable(&recent.Newest))
	out.Children = p.children(r.Context(), nearestBelow(all.Containers, c.Path))
	p.write(w, &out)
}

// recent returns the newest two samples, or what is there.
func (p *pages) recent(ctx context.Context, of *collector.Reading) *Recent {
	recent := new(Recent)
	if p.o.Recent == nil || p.o.Recent(ctx, of.Container.Path, recent) != nil {
		recent.Previous.Time = 0
		recent.Newest.CopyFrom(&of.Sample) // it ended a moment ago
	}
	return recent
}

func (p *pages) children(ctx context.Context, list []*collector.Reading) []child {
	children := make([]child, 0, len(list))
	for _, r := range list {
		c := r.Container
		s := p.recent(ctx, r)
		in, out := s.rate(metric.NetworkReceiveBytes), s.rate(metric.NetworkTransmitBytes)
		if r.NetworkOf != "" {
			in, out = "shared", "shared"
		}
		children = append(children, child{
			Name: c.DisplayName(), URL: p.url(c.Path), Path: c.Path, Image: c.Image, Service: c.Swarm.ServiceName,
			Values: []string{
				s.cores(metric.CPUUsage), cpuLimit(&s.Newest),
				size(&s.Newest, metric.MemoryUsage), size(&s.Newest, metric.MemoryWorkingSet), size(&s.Newest, metric.MemoryLimit),
				in, out, s.rate(metric.DiskReadBytes), s.rate(metric.DiskWriteBytes), count(&s.Newest, metric.PidsCurrent),
			},
		})
	}
	return children
}

// contentSecurityPolicy lets a page have its style sheet and nothing else.
const contentSecurityPolicy = "default-src 'none'; style-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'"

func (p *pages) write(w http.ResponseWriter, of *page) {
	of.Prefix, of.Version = p.o.Prefix, p.o.Containers.Version
	h := w.Header()
	h.Set("Content-Type", "text/html; charset=utf-8")
	h.Set("Content-Security-Policy", contentSecurityPolicy)
	h.Set("X-Content-Type-Options", "nosniff")
	h.Set("Referrer-Policy", "no-referrer")
	h.Set("Cache-Control", "no-store")
	var m markup
	of.write(&m)
	w.Write([]byte(m.b.String()))
}
