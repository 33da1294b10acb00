package proc

import (
	"os"
	"path/filepath"
	"slices"
	"testing"
)

func TestSchedulers(t *testing.T) {
	sys := t.TempDir()
	for disk, text := range map[string]string{"vda": "none [mq-deadline] kyber bfq \n", "nvme0n1": "[none] mq-deadline\n", "zram0": "none\n", "loop0": "[none]\n"} {
		dir := filepath.Join(sys, "block", disk, "queue")
		if err := os.MkdirAll(dir, 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(filepath.Join(dir, "scheduler"), []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	if err := os.MkdirAll(filepath.Join(sys, "block", "dm-0"), 0o755); err != nil {
		t.Fatal(err)
	}
	got, err := Schedulers(sys)
	want := []Scheduler{{"nvme0n1", "none"}, {"vda", "mq-deadline"}, {"zram0", "none"}}
	if err != nil || !slices.Equal(got, want) {
		t.Errorf("got %v, %v", got, err)
	}
	if _, err := Schedulers(sys + "/nowhere"); err == nil {
		t.Error("a sysfs that isn't there has no error")
	}
}
