package main

import (
	"bytes"
	"context"
	"fmt"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
)

// thing is a container, a network or an image of the fake engine.
type thing struct {
	kind, name string
	ours       bool // it has the label
}

// fakeEngine knows what the demo asks of an engine that was there.
type fakeEngine struct {
	t      *testing.T
	things []thing
}

func (f *fakeEngine) docker(_ context.Context, args ...string) (string, error) {
	kind := "container"
	if args[0] == "network" || args[0] == "image" {
		kind, args = args[0], args[1:]
	}
	switch args[0] {
	case "ps", "ls":
		var lines []string
		for _, thing := range f.things {
			fits := thing.kind == kind
			for i, a := range args {
				if a == "--filter" {
					switch key, value, _ := strings.Cut(args[i+1], "="); key {
					case "label":
						fits = fits && thing.ours && value == label
					case "name", "reference":
						fits = fits && strings.Contains(thing.name, value)
					default:
						f.t.Errorf("unknown filter %q", args[i+1])
					}
				}
			}
			switch {
			case !fits:
			case slices.Contains(args, "--quiet"):
				lines = append(lines, "id-"+thing.name)
			case slices.Contains(args, "{{.Repository}}:{{.Tag}}"):
				lines = append(lines, thing.name+":latest")
			default:
				lines = append(lines, thing.name)
			}
		}
		return strings.Join(lines, "\n"), nil
	case "rm":
		for _, a := range args[1:] {
			i := slices.IndexFunc(f.things, func(t thing) bool { return t.kind == kind && (a == t.name || a == "id-"+t.name) })
			if strings.HasPrefix(a, "--") {
				continue
			}
			if i < 0 {
				f.t.Errorf("%s %s isn't there", kind, a)
				continue
			}
			f.things = slices.Delete(f.things, i, i+1)
		}
		return "", nil
	}
	return "", fmt.Errorf("unexpected: docker %v", args)
}

// What is somebody else's stays, whatever it is called, and its names are told in one sentence.
func TestClaim(t *testing.T) {
	strangers := []thing{
		{"container", "demo_web", false}, {"network", network, false}, {"image", image, false},
		{"container", "my_demo_web", false}, {"container", "demo_website", false}, {"network", network + "2", false},
	}
	left := []thing{{"container", "demo_web", true}, {"container", kibanaName, true}, {"network", network, true}, {"image", image, true}}
	run := func(things ...thing) (*fakeEngine, error) {
		f := &fakeEngine{t, slices.Clone(things)}
		return f, (&engine{docker: f.docker, image: image}).claim(t.Context())
	}
	f, err := run(strangers...)
	if err == nil || !strings.Contains(err.Error(), "somebody else's under names that the demo needs: demo_web, "+network+", "+image+";") {
		t.Errorf("error %v", err)
	}
	if !slices.Equal(f.things, strangers) {
		t.Errorf("left %v of somebody else's", f.things)
	}
	for i := range 3 {
		if f, err := run(strangers[i]); err == nil || len(f.things) != 1 {
			t.Errorf("%v: %v, left %v", strangers[i], err, f.things)
		}
		others := slices.DeleteFunc(slices.Clone(left), func(t thing) bool { return t.name == strangers[i].name })
		if f, err := run(append(others, strangers[i])...); err == nil || len(f.things) != len(others)+1 {
			t.Errorf("%v beside ours: %v, left %v", strangers[i], err, f.things)
		}
	}
	// What a demo has left that was killed is in nobody's way.
	f, err = run(append(left, strangers[3:]...)...)
	if err != nil || !slices.Equal(f.things, strangers[3:]) {
		t.Errorf("%v, left %v", err, f.things)
	}
}

// An engine on which the demo doesn't start keeps what is in its way.
func TestStartLoadRefused(t *testing.T) {
	f := &fakeEngine{t, []thing{{"container", "demo_cache", false}}}
	e := &engine{docker: f.docker, image: image}
	if _, err := e.startLoad(t.Context()); err == nil || !strings.Contains(err.Error(), "demo_cache") {
		t.Errorf("error %v", err)
	}
	if err := e.removeLoad(t.Context()); err != nil || len(f.things) != 1 {
		t.Errorf("%v, left %v", err, f.things)
	}
}

// Documents that are missing are an error that says whom to ask.
func TestShowIncomplete(t *testing.T) {
	f := func(documents []document, st state, want ...string) {
		t.Helper()
		synctest.Test(t, func(t *testing.T) {
			var out bytes.Buffer
			err := showFound(t.Context(), &out, &st, func(context.Context, string) ([]document, error) { return documents, nil })
			if len(want) == 0 && err != nil {
				t.Error(err)
			}
			for _, text := range want {
				if err == nil || !strings.Contains(err.Error(), text) {
					t.Errorf("error %v, want %q in it", err, text)
				}
			}
		})
	}
	two := []document{{Name: "demo_web"}, {Name: "demo_cache"}}
	f(nil, state{Agent: "http://a", Containers: 2}, "no document has come", "http://a/healthz?details")
	f(nil, state{Containers: 2}, "no document has come", ": docker exec "+managerContainer)
	f(nil, state{Host: "tcp://h:1", Containers: 2}, ": DOCKER_HOST=tcp://h:1 docker exec "+managerContainer)
	f(two, state{Containers: 3}, "of 2 of the 3 containers", managerContainer)
	f(two, state{Containers: 2})
}
