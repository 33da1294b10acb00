package lab

import (
	"strings"
	"testing"
)

// A successor of a Podman whose holder was killed ends its containers.
func TestPodman(t *testing.T) {
	Need(t, PodmanPart)
	ctx := t.Context()
	killed, err := StartPodman(ctx)
	if err != nil {
		t.Fatal(err)
	}
	id, err := killed.Podman(ctx, "run", "--detach", PodmanImage, "sleep", "1000")
	if err != nil {
		t.Fatal(err)
	}
	cgroup, err := killed.Podman(ctx, "inspect", "--format", "{{.State.CgroupPath}}", id)
	if err != nil || cgroup != "/libpod_parent/libpod-"+id {
		t.Errorf("cgroup of %s: %q (%v)", id, cgroup, err)
	}
	killed.unlock()
	p := PodmanFor(t)
	if left, err := p.Podman(ctx, "ps", "--all", "--quiet"); err != nil || left != "" {
		t.Errorf("containers %q are left (%v)", left, err)
	}
}

// A plain containerd runs what it is told, in the namespace that it is told.
func TestContainerd(t *testing.T) {
	c := ContainerdFor(t, PodmanFor(t), "lab-one", "lab-two")
	id := strings.Repeat("abcd", 16)
	if err := c.Run(t.Context(), "lab-one", id, nil, "sleep", "1000"); err != nil {
		t.Fatal(err)
	}
	for namespace, want := range map[string]string{"lab-one": id, "lab-two": ""} {
		if tasks, err := c.Ctr(t.Context(), namespace, "tasks", "ls", "--quiet"); err != nil || tasks != want {
			t.Errorf("tasks of %s: %q (%v), want %q", namespace, tasks, err, want)
		}
	}
}
