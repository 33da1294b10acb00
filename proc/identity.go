package proc

import (
	"bufio"
	"bytes"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"os"
	"path"
	"runtime"
	"strings"

	"github.com/prometheus/procfs"

	"github.com/swarmgauge/swarmgauge/metric"
)

// IdentityOptions say where to find what procfs doesn't know of the node.
type IdentityOptions struct {
	// MachineIDs are files that may hold the machine id; the first good one counts. Each is
	// looked for below HostRoot, and then all as they are.
	MachineIDs []string
	// BootIDs are files that may hold the boot's id, looked for in the same way; the first
	// readable one counts. The procfs itself has it where there are none.
	BootIDs []string
	// HostRoot is where the node's root filesystem is mounted, "/" for an agent
	// that isn't in a container; "" where it isn't.
	HostRoot string
}

// Identity returns who the node is, as far as its files tell. It doesn't fill in Name,
// SwarmID and EngineVersion, leaves empty what can't be known, and returns the reasons for
// that as an error, together with the rest.
func (fs *FS) Identity(o IdentityOptions) (metric.Node, error) {
	node := metric.Node{Architecture: runtime.GOARCH}
	var missing []error
	text := func(name string) string {
		b, err := fs.read(name)
		if err != nil {
			missing = append(missing, err)
		}
		return string(bytes.TrimSpace(b))
	}
	node.Kernel = text("sys/kernel/osrelease")
	if len(o.BootIDs) == 0 {
		node.BootID = text("sys/kernel/random/boot_id")
	} else if id, err := bootID(o.HostRoot, o.BootIDs); err != nil {
		missing = append(missing, err)
	} else {
		node.BootID = id
	}

	table, err := procfs.NewFS(fs.root)
	if err != nil {
		return node, errors.Join(append(missing, err)...)
	}
	if stat, err := table.Stat(); err != nil {
		missing = append(missing, fmt.Errorf("%s: %w", fs.path("stat"), err))
	} else {
		node.CPUs = len(stat.CPU)
	}
	if memory, err := table.Meminfo(); err != nil {
		missing = append(missing, fmt.Errorf("%s: %w", fs.path("meminfo"), err))
	} else if memory.MemTotalBytes != nil {
		node.MemoryBytes = *memory.MemTotalBytes
	}
	if node.MachineID, err = machineID(o.HostRoot, o.MachineIDs); err != nil {
		missing = append(missing, err)
	}
	if o.HostRoot != "" {
		if node.OS, err = osName(o.HostRoot); err != nil {
			missing = append(missing, fmt.Errorf("the distribution's name: %w", err))
		}
	}
	return node, errors.Join(missing...)
}

// machineID returns the id in the first of the files that has one: 32 hexadecimal digits
// (machine-id(5)). Images may come with an empty file, or one that says "uninitialized".
func machineID(root string, files []string) (string, error) {
	return goodText("the machine id", root, files, func(file, id string) error {
		if _, err := hex.DecodeString(id); err != nil || len(id) != 32 {
			return fmt.Errorf("%s: %q isn't a machine id", file, clip([]byte(id)))
		}
		return nil
	})
}

// bootID returns what the first readable of the files says.
func bootID(root string, files []string) (string, error) {
	return goodText("the boot id", root, files, func(_, _ string) error { return nil })
}

// goodText returns the text of the first of the files that has a good one. What the node has
// goes before what the agent's own image has. Errors say what is looked for.
func goodText(what, root string, files []string, good func(file, text string) error) (string, error) {
	var failed []error
	try := func(file string, read func() ([]byte, error)) (string, bool) {
		b, err := read()
		text := strings.TrimSpace(string(b))
		if err == nil {
			err = good(file, text)
		}
		if err != nil {
			failed = append(failed, fmt.Errorf("%s: %w", what, err))
		}
		return text, err == nil
	}
	if root != "" && root != "/" {
		for _, file := range files {
			if text, ok := try(path.Join(root, file), func() ([]byte, error) { return readBelow(root, file) }); ok {
				return text, nil
			}
		}
	}
	for _, file := range files {
		if text, ok := try(file, func() ([]byte, error) { return os.ReadFile(file) }); ok {
			return text, nil
		}
	}
	return "", errors.Join(failed...)
}

// mostText is how much is read of a file that tells who the node is.
const mostText = 64 << 10

// readBelow reads a file of the system at root. Symbolic links there lead nowhere outside of
// it.
func readBelow(root, name string) ([]byte, error) {
	dir, err := os.OpenRoot(root)
	if err != nil {
		return nil, err
	}
	defer dir.Close()
	file, err := dir.Open(strings.TrimLeft(path.Clean("/"+name), "/"))
	if err != nil {
		var where *os.PathError
		if errors.As(err, &where) {
			where.Op, where.Path = "open", path.Join(root, name) // and not below an unnamed root
		}
		return nil, err
	}
	defer file.Close()
	return io.ReadAll(io.LimitReader(file, mostText))
}

// osName returns PRETTY_NAME of the os-release of the system at root (os-release(5)).
func osName(root string) (string, error) {
	text, err := readBelow(root, "etc/os-release")
	if err != nil {
		if text, err = readBelow(root, "usr/lib/os-release"); err != nil {
			return "", err
		}
	}
	return prettyName(bytes.NewReader(text)), nil
}

// prettyName returns the value of PRETTY_NAME, "Linux" if there is none, which is what
// os-release(5) says then.
func prettyName(r io.Reader) string {
	for lines := bufio.NewScanner(r); lines.Scan(); {
		value, ok := strings.CutPrefix(strings.TrimSpace(lines.Text()), "PRETTY_NAME=")
		if !ok {
			continue
		}
		return unquoteShell(value)
	}
	return "Linux"
}

// unquoteShell returns a word of a shell without its quotes, and without the backslashes that
// the double ones need.
func unquoteShell(word string) string {
	inner, quoted := strings.CutPrefix(word, `"`)
	if inner, ok := strings.CutSuffix(inner, `"`); quoted && ok {
		return strings.NewReplacer(`\\`, `\`, `\"`, `"`, `\$`, `$`, "\\`", "`").Replace(inner)
	}
	return strings.Trim(word, `'"`)
}
