package docker

import (
	"cmp"
	"context"
	"fmt"
	"maps"
	"slices"
	"time"

	"github.com/moby/moby/api/types/swarm"
	"github.com/moby/moby/client"

	"github.com/swarmgauge/swarmgauge/metric"
)

const (
	// failedWithin is how long ago a task may have failed to be counted.
	failedWithin = 10 * time.Minute
	// patience is how long a task may take to begin before it is told of.
	patience = 20 * time.Second
	// maxLooked is how many tasks are looked at in one turn, the old ones that a Swarm
	// keeps of each apart: about 1 MB. What is amiss goes first, and may take ten times
	// as many.
	maxLooked      = 250
	maxLookedAmiss = 10 * maxLooked
	// maxTold and maxToldOfService bound the tasks that are told of in one turn.
	maxTold          = 1000
	maxToldOfService = 100
	// maxFailures bounds the failures that are remembered.
	maxFailures = 20000
)

// swarmTasks looks at the tasks of services, which are thousands in a large Swarm: in each
// turn at those of the services that lack some or are being updated, and of some of the
// others, so that all have had their turn after some minutes.
//
// Failures are remembered, because a Swarm keeps only the last few tasks of each slot.
type swarmTasks struct {
	turn     uint64
	looked   map[string]uint64 // turn in which a service's tasks were looked at last, by id
	failures map[string]failure
}

// failure is a task that has failed.
type failure struct {
	service string
	at      time.Time
}

// read asks for the tasks of the services whose turn it is, and adds to the state what they
// tell.
func (t *swarmTasks) read(ctx context.Context, c *client.Client, services []swarm.Service, state *metric.SwarmState) error {
	t.begin(state)
	chosen, all := t.choose(state.Services)
	if len(chosen) > 0 {
		filters := client.Filters{}
		if !all {
			for id := range chosen {
				filters = filters.Add("service", id)
			}
		}
		tasks, err := c.TaskList(ctx, client.TaskListOptions{Filters: filters})
		if err != nil {
			return err
		}
		t.look(tasks.Items, services, chosen, state)
	}
	t.count(state)
	return nil
}

// begin begins a turn: it forgets services that are gone and failures that are old.
func (t *swarmTasks) begin(state *metric.SwarmState) {
	t.turn++
	if t.looked == nil {
		t.looked, t.failures = map[string]uint64{}, map[string]failure{}
	}
	is := make(map[string]bool, len(state.Services))
	for i := range state.Services {
		is[state.Services[i].ID] = true
	}
	maps.DeleteFunc(t.looked, func(id string, _ uint64) bool { return !is[id] })
	maps.DeleteFunc(t.failures, func(_ string, f failure) bool {
		return !is[f.service] || state.Time.Sub(f.at) > failedWithin
	})
}

// choose returns the services whose tasks are looked at in this turn, by id, and whether
// these are all.
func (t *swarmTasks) choose(services []metric.Service) (chosen map[string]*metric.Service, all bool) {
	amiss := func(s *metric.Service) bool {
		return s.Running < s.Desired || s.UpdateState == string(swarm.UpdateStateUpdating) ||
			s.UpdateState == string(swarm.UpdateStateRollbackStarted)
	}
	order := make([]*metric.Service, len(services))
	for i := range services {
		order[i] = &services[i]
	}
	// Those first that have waited longest.
	slices.SortStableFunc(order, func(a, b *metric.Service) int { return cmp.Compare(t.looked[a.ID], t.looked[b.ID]) })
	chosen = map[string]*metric.Service{}
	room := map[bool]int{true: maxLookedAmiss, false: maxLooked}
	for _, s := range order {
		is := amiss(s)
		if room[is] <= 0 {
			continue
		}
		room[is] -= int(min(max(s.Desired, s.Running, 1), maxLookedAmiss))
		chosen[s.ID] = s
		t.looked[s.ID] = t.turn
	}
	return chosen, len(chosen) == len(services)
}

// taskPlace is where a service has one task at a time: a slot, or a node.
type taskPlace struct {
	service string
	slot    int
	node    string // of a global service
}

// placed are the tasks of one place.
type placed struct {
	runs       bool
	next, last *swarm.Task // the one that shall run, and the last one before it
}

// look takes what the tasks of the chosen services say.
func (t *swarmTasks) look(tasks []swarm.Task, services []swarm.Service, chosen map[string]*metric.Service, state *metric.SwarmState) {
	iterations := map[string]uint64{} // of jobs
	for i := range services {
		if job := services[i].JobStatus; job != nil {
			iterations[services[i].ID] = job.JobIteration.Index
		}
	}
	places := map[taskPlace]*placed{}
	for _, s := range chosen {
		s.Pending = 0
	}
	for i := range tasks {
		task := &tasks[i]
		s := chosen[task.ServiceID]
		if s == nil {
			continue // of a container that only has a Swarm's network, or a new service
		}
		if task.JobIteration != nil && task.JobIteration.Index != iterations[task.ServiceID] {
			continue // the job was begun anew since
		}
		at := taskPlace{service: task.ServiceID, slot: task.Slot}
		if task.Slot == 0 {
			at.node = task.NodeID
		}
		p := places[at]
		if p == nil {
			p = new(placed)
			places[at] = p
		}
		t.enter(task, p, state.Time)
	}
	wanted := map[string]uint64{} // places of global services that have a task
	for at, p := range places {
		s := chosen[at.service]
		if p.next != nil {
			s.Pending++
		}
		if at.slot == 0 && (p.runs || p.next != nil) {
			wanted[at.service]++
		}
	}
	for id, n := range wanted {
		// The engine doesn't count one that waits to be started again.
		chosen[id].Desired = max(chosen[id].Desired, n)
	}
	tellTasks(places, chosen, state)
}

// enter takes one task into its place.
func (t *swarmTasks) enter(task *swarm.Task, p *placed, now time.Time) {
	newer := func(than *swarm.Task) bool { return than == nil || task.CreatedAt.After(than.CreatedAt) }
	state, wanted := task.Status.State, isWanted(task.DesiredState)
	switch {
	case wanted && state == swarm.TaskStateRunning:
		p.runs = true
	case wanted && isBefore(state):
		if newer(p.next) {
			p.next = task
		}
	case newer(p.last):
		p.last = task
	}
	failed := state == swarm.TaskStateFailed || state == swarm.TaskStateRejected
	if failed && now.Sub(task.Status.Timestamp) <= failedWithin && len(t.failures) < maxFailures {
		t.failures[task.ID] = failure{task.ServiceID, task.Status.Timestamp}
	}
}

// isWanted tells whether a task with that desired state shall run; one that waits until
// the last one was away long enough shall become ready, one of a job complete.
func isWanted(desired swarm.TaskState) bool {
	return desired == swarm.TaskStateRunning || desired == swarm.TaskStateReady || desired == swarm.TaskStateComplete
}

// isBefore tells whether a task in that state has not run yet.
func isBefore(state swarm.TaskState) bool {
	switch state {
	case swarm.TaskStateNew, swarm.TaskStateAllocated, swarm.TaskStatePending, swarm.TaskStateAssigned, swarm.TaskStateAccepted,
		swarm.TaskStatePreparing, swarm.TaskStateReady, swarm.TaskStateStarting:
		return true
	}
	return false
}

// hasEnded tells whether a task in that state has ended though it should run: nobody asked
// it to, and it isn't a job's that has done its work.
func hasEnded(state swarm.TaskState, s *metric.Service) bool {
	switch state {
	case swarm.TaskStateFailed, swarm.TaskStateRejected, swarm.TaskStateOrphaned:
		return true
	case swarm.TaskStateComplete:
		return !s.Job()
	}
	return false
}

// count tells how many tasks of each service have failed, and that none waits where the
// engine itself says that all run.
func (t *swarmTasks) count(state *metric.SwarmState) {
	failed := map[string]int64{}
	for _, f := range t.failures {
		failed[f.service]++
	}
	for i := range state.Services {
		s := &state.Services[i]
		if t.looked[s.ID] > 0 {
			s.Failed = failed[s.ID]
		}
		if s.Pending < 0 && s.Running >= s.Desired {
			s.Pending = 0
		}
	}
}

// tellTasks puts into the state which tasks should run and don't, and what has failed in
// their places.
func tellTasks(places map[taskPlace]*placed, chosen map[string]*metric.Service, state *metric.SwarmState) {
	names := make(map[string]string, len(state.Nodes))
	for i := range state.Nodes {
		names[state.Nodes[i].ID] = state.Nodes[i].Name
	}
	order := slices.SortedFunc(maps.Keys(places), func(a, b taskPlace) int {
		return cmp.Or(cmp.Compare(chosen[a.service].Name, chosen[b.service].Name), cmp.Compare(a.service, b.service),
			cmp.Compare(a.slot, b.slot), cmp.Compare(a.node, b.node))
	})
	told := map[string]int{}
	for _, at := range order {
		p, s := places[at], chosen[at.service]
		if p.runs {
			continue // that another one is on its way is an update
		}
		tell := func(task *swarm.Task) {
			if told[s.ID] < maxToldOfService && len(state.Tasks) < maxTold {
				told[s.ID]++
				state.Tasks = append(state.Tasks, swarmTask(task, s, names))
			}
		}
		if p.next != nil && (p.next.Status.Err != "" || state.Time.Sub(p.next.Status.Timestamp) > patience) {
			tell(p.next)
		}
		if p.last != nil && hasEnded(p.last.Status.State, s) && (p.next != nil || s.Running < s.Desired) {
			tell(p.last)
		}
	}
}

func swarmTask(t *swarm.Task, s *metric.Service, nodes map[string]string) metric.SwarmTask {
	to := metric.SwarmTask{
		ID:           clean(t.ID, maxText),
		Name:         fmt.Sprintf("%s.%d.%s", s.Name, t.Slot, t.ID),
		Slot:         t.Slot,
		Service:      s,
		NodeID:       clean(t.NodeID, maxText),
		NodeName:     nodes[t.NodeID],
		State:        clean(string(t.Status.State), maxText),
		DesiredState: clean(string(t.DesiredState), maxText),
		Since:        t.Status.Timestamp,
		Message:      clean(t.Status.Message, maxText),
		Error:        clean(t.Status.Err, maxText),
		ExitCode:     metric.UnknownExit,
	}
	if t.Slot == 0 {
		to.Name = fmt.Sprintf("%s.%s.%s", s.Name, t.NodeID, t.ID) // as the engine names its container
	}
	to.Name = clean(to.Name, maxText)
	if spec := t.Spec.ContainerSpec; spec != nil {
		to.Image = clean(spec.Image, maxText)
	}
	if c := t.Status.ContainerStatus; c != nil && c.ContainerID != "" {
		to.ContainerID = clean(c.ContainerID, maxText)
		if s := t.Status.State; s == swarm.TaskStateFailed || s == swarm.TaskStateComplete {
			to.ExitCode = c.ExitCode
		}
	}
	return to
}
