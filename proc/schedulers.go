package proc

import (
	"os"
	"path/filepath"
	"strings"
)

// Scheduler is the I/O scheduler of a disk.
type Scheduler struct{ Disk, Name string }

// Schedulers returns the scheduler of each disk of the machine, by the sysfs mounted at
// sys; a disk that has a file for it and none chosen has "none". Disks that can't be read
// are left out. The files hold all schedulers, the chosen one in brackets:
//
//	none [mq-deadline] kyber bfq
func Schedulers(sys string) ([]Scheduler, error) {
	disks, err := os.ReadDir(filepath.Join(sys, "block"))
	if err != nil {
		return nil, err
	}
	var all []Scheduler
	for _, disk := range disks {
		if strings.HasPrefix(disk.Name(), "loop") || strings.HasPrefix(disk.Name(), "ram") {
			continue // cAdvisor's list has none of these
		}
		text, err := os.ReadFile(filepath.Join(sys, "block", disk.Name(), "queue", "scheduler"))
		if err != nil {
			continue
		}
		all = append(all, Scheduler{disk.Name(), chosen(string(text))})
	}
	return all, nil
}

// chosen returns the word in brackets, or the only one.
func chosen(text string) string {
	if _, after, ok := strings.Cut(text, "["); ok {
		if name, _, ok := strings.Cut(after, "]"); ok {
			return name
		}
	}
	return strings.TrimSpace(text)
}
