package cgroup

import (
	"os"
	"path/filepath"
	"testing"
)

func TestOwnMemoryLimit(t *testing.T) {
	dir := t.TempDir()
	write := func(name, text string) {
		t.Helper()
		path := filepath.Join(dir, name)
		if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(path, []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	// f puts what the process sees below a new root; $ in mountinfo is that root.
	f := func(cgroup, mountinfo string, files map[string]string, want uint64) {
		t.Helper()
		dir = t.TempDir()
		write("proc/self/cgroup", cgroup)
		write("proc/self/mountinfo", os.Expand(mountinfo, func(string) string { return dir }))
		for name, text := range files {
			write(name, text)
		}
		limit, ok, err := OwnMemoryLimit(filepath.Join(dir, "proc"))
		if err != nil || ok != (want != 0) || ok && limit != want {
			t.Errorf("%q: %d, %v, %v; want %d", cgroup, limit, ok, err, want)
		}
	}
	const v2 = "30 23 0:26 / ${root}/sys rw,relatime - cgroup2 cgroup2 rw\n"
	f("0::/a.slice/b.service\n", v2, map[string]string{
		"sys/a.slice/memory.max": "104857600\n", "sys/a.slice/b.service/memory.max": "max\n",
	}, 100<<20)
	f("0::/a.slice/b.service\n", v2, map[string]string{
		"sys/a.slice/memory.max": "104857600\n", "sys/a.slice/b.service/memory.max": "52428800\n",
	}, 50<<20)
	f("0::/a.slice/b.service\n", v2, map[string]string{"sys/a.slice/b.service/memory.max": "max\n"}, 0)

	// A container: a cgroup namespace of its own, and the node's mount beside it.
	f("0::/\n", "40 23 0:26 /../../.. ${root}/host ro - cgroup2 cgroup2 rw\n"+v2, map[string]string{
		"host/memory.max": "1048576\n", "sys/memory.max": "134217728\n",
	}, 128<<20)

	// v1: without a namespace a container's mount begins at its own cgroup.
	const v1 = "31 23 0:27 /docker/1 ${root}/cpu ro - cgroup cgroup rw,cpu,cpuacct\n32 23 0:28 /docker/1 ${root}/memory ro - cgroup cgroup rw,memory\n"
	f("3:cpu,cpuacct:/docker/1\n4:memory:/docker/1\n0::/\n", v1, map[string]string{"memory/memory.limit_in_bytes": "25165824\n"}, 24<<20)
	f("4:memory:/docker/1\n", v1, map[string]string{"memory/memory.limit_in_bytes": "9223372036854771712\n"}, 0)
	f("4:memory:/docker/2\n", v1, map[string]string{"memory/memory.limit_in_bytes": "25165824\n"}, 0) // not to be seen
}

// What the kernel says of this process is understood.
func TestOwnMemoryLimitHere(t *testing.T) {
	limit, ok, err := OwnMemoryLimit("/proc")
	if err != nil {
		t.Fatal(err)
	}
	if ok && limit < 1<<20 {
		t.Errorf("%d bytes are not enough for this test", limit)
	}
}

// Whatever the three files say: there is an end, and a limit is one that a file has.
func FuzzOwnMemoryLimit(f *testing.F) {
	f.Add("0::/a.slice/b.service\n", "30 23 0:26 / / rw,relatime - cgroup2 cgroup2 rw\n", "104857600\n")
	f.Add("4:memory:/docker/1\n", "32 23 0:28 /docker/1 /nowhere ro - cgroup cgroup rw,memory\n", "max\n")
	f.Add("0::/../..\n4:cpu,memory:/..\n", "40 23 0:26 /../../.. / ro - cgroup2 cgroup2 rw\n", "18446744073709551615")
	f.Add("0::\n:::\n", "30 23 0:26 / . rw - cgroup2 cgroup2 rw\n", "-1")
	dir := f.TempDir()
	for _, folder := range []string{"proc/self", "v1/a", "v2/a"} {
		if err := os.MkdirAll(filepath.Join(dir, folder), 0o755); err != nil {
			f.Fatal(err)
		}
	}
	ours := "30 23 0:26 / " + dir + "/v2 rw - cgroup2 cgroup2 rw\n32 23 0:28 / " + dir + "/v1 ro - cgroup cgroup rw,memory\n"
	f.Fuzz(func(t *testing.T, cgroup, mountinfo, text string) {
		for name, content := range map[string]string{
			"proc/self/cgroup": cgroup, "proc/self/mountinfo": mountinfo + "\n" + ours,
			"v1/a/memory.limit_in_bytes": text, "v2/a/memory.max": text,
		} {
			if err := os.WriteFile(filepath.Join(dir, name), []byte(content), 0o644); err != nil {
				t.Fatal(err)
			}
		}
		limit, ok, err := OwnMemoryLimit(filepath.Join(dir, "proc"))
		if ok && (err != nil || limit >= unlimited) || !ok && err == nil && limit != unlimited {
			t.Errorf("%d, %v, %v", limit, ok, err)
		}
	})
}
