package proc

import (
	"bytes"
	"io"
	"os"
	"os/exec"
	"syscall"
	"testing"

	"golang.org/x/sys/unix"

	"github.com/swarmgauge/swarmgauge/metric"
	"github.com/swarmgauge/swarmgauge/test/lab"
)

// sleeper in the environment makes the test binary a process that does nothing until its
// standard input ends.
const sleeper = "PROC_TEST_SLEEPER"

func TestMain(m *testing.M) {
	if os.Getenv(sleeper) != "" {
		os.Stdout.WriteString("x")
		io.Copy(io.Discard, os.Stdin)
		return
	}
	if os.Getenv(lister) != "" {
		if err := listProcesses(); err != nil {
			os.Stderr.WriteString(err.Error() + "\n")
			os.Exit(1)
		}
		return
	}
	os.Exit(m.Run())
}

// process is another process, for a test to look at.
type process struct {
	pid int
	cmd *exec.Cmd
}

// startProcess starts one in new namespaces. It ends with the test, if not sooner.
func startProcess(t *testing.T, namespaces uintptr) *process {
	t.Helper()
	p := &process{cmd: exec.Command("/proc/self/exe")}
	p.cmd.Env = []string{sleeper + "=1"}
	p.cmd.SysProcAttr = &syscall.SysProcAttr{Cloneflags: namespaces}
	if _, err := p.cmd.StdinPipe(); err != nil {
		t.Fatal(err)
	}
	ready, err := p.cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := p.cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(p.wait)
	t.Cleanup(p.kill)
	if _, err := ready.Read(make([]byte, 1)); err != nil {
		t.Fatal(err)
	}
	p.pid = p.cmd.Process.Pid
	return p
}

// kill makes the process a zombie.
func (p *process) kill() {
	if p.cmd.Process.Kill() != nil {
		return // it was waited for
	}
	var info unix.Siginfo
	for unix.Waitid(unix.P_PID, p.cmd.Process.Pid, &info, unix.WEXITED|unix.WNOWAIT, nil) == unix.EINTR {
	}
}

// wait ends the zombie.
func (p *process) wait() { p.cmd.Wait() }

func needRoot(t *testing.T) {
	t.Helper()
	if os.Geteuid() != 0 {
		lab.Lack(t, "needs root: go test -c ./proc && sudo ./proc.test -test.run '"+t.Name()+"'")
	}
}

// checkFuzzed checks what holds for every parser and every text: the line that makes no
// sense is one of the text, and no row is without a name or without a number.
func checkFuzzed(t *testing.T, text, bad []byte, s *metric.Sample) {
	t.Helper()
	if bad != nil && !bytes.Contains(text, bad) {
		t.Errorf("bad line %q isn't in %q", bad, text)
	}
	if bad != nil && bytes.IndexByte(bad, '\n') >= 0 {
		t.Errorf("bad line %q is several", bad)
	}
	if len(text) > 0 && text[len(text)-1] != '\n' && bad == nil && s.Len() == 0 && bytes.IndexByte(text, '\n') < 0 {
		t.Errorf("%q was cut off, which nobody said", text)
	}
	for per := range metric.Per(metric.NumPer) {
		for row := range s.Rows(per) {
			if key := s.Key(per, row); per != metric.PerContainer && per != metric.PerNode && per != metric.PerTCP && key.Name == "" {
				t.Errorf("a %v without a name in %q", per, text)
			}
			count := 0
			for col := range per.Width() {
				if _, read := s.GetRow(per.First()+metric.ID(col), row); read {
					count++
				}
			}
			if count == 0 {
				t.Errorf("a %v without a number in %q", per, text)
			}
		}
	}
}
