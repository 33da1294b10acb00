package test

import (
	"debug/elf"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
)

// mostImage is the most that the image may hold, in bytes.
const mostImage = 20e6

// The binary, built as the Dockerfile has it built, needs nothing of an image, and the image
// holds little more.
func TestImageIsSmallAndStatic(t *testing.T) {
	text, err := os.ReadFile("../Dockerfile")
	if err != nil {
		t.Fatal(err)
	}
	build, image, ok := strings.Cut(string(text), "\nFROM scratch\n")
	if !ok || strings.Contains(image, "\nFROM ") || strings.Contains(image, "\nRUN ") || strings.Contains(image, "\nADD ") {
		t.Fatal("the image isn't made on scratch, of copies alone: this test doesn't know what is in it")
	}
	run := regexp.MustCompile(`(?m)^RUN (.* go build .*) -o /agent \./cmd/agent$`).FindStringSubmatch(build)
	if run == nil {
		t.Fatal("the Dockerfile has no line that builds /agent, or one that this test can't read")
	}
	binary := filepath.Join(t.TempDir(), "agent")
	cmd := exec.Command("sh", "-c", run[1]+` -o "$AGENT" ./cmd/agent`)
	cmd.Dir, cmd.Env = "..", append(os.Environ(), "VERSION=v1.2.3", "AGENT="+binary)
	if out, err := cmd.CombinedOutput(); err != nil {
		t.Fatalf("%s: %v\n%s", run[1], err, out)
	}
	if out, err := exec.Command(binary, "version").CombinedOutput(); err != nil || !strings.HasPrefix(string(out), "swarmgauge v1.2.3 ") {
		t.Errorf("it says that it is %q, %v: the build argument VERSION doesn't get there", out, err)
	}

	file, err := elf.Open(binary)
	if err != nil {
		t.Fatal(err)
	}
	defer file.Close()
	for _, p := range file.Progs {
		if p.Type == elf.PT_INTERP {
			t.Error("it has an interpreter, which the image lacks: it isn't static")
		}
	}
	if libraries, err := file.ImportedLibraries(); err != nil || len(libraries) > 0 {
		t.Errorf("it needs the libraries %q, %v", libraries, err)
	}

	size := int64(0)
	for line := range strings.Lines(image) {
		words := strings.Fields(line)
		if len(words) == 0 || words[0] != "COPY" {
			continue
		}
		if len(words) != 4 || words[1] != "--from=build" {
			t.Fatalf("the test can't read %q", line)
		}
		from := words[2]
		if from == "/agent" {
			from = binary
		}
		info, err := os.Stat(from)
		switch {
		case os.IsNotExist(err) && strings.HasSuffix(from, "/ca-certificates.crt"):
			size += 500e3 // more than Debian's
		case err != nil:
			t.Fatalf("how large is %s of the image? %v", from, err)
		default:
			size += info.Size()
		}
	}
	t.Logf("the image holds %.1f MB", float64(size)/1e6)
	if size < 1e6 || size > mostImage {
		t.Errorf("the image holds %d bytes, and may hold %.0f", size, mostImage)
	}
}
