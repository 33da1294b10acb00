package shipper

import (
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/swarmgauge/swarmgauge/shipper/estest"
	"github.com/swarmgauge/swarmgauge/test/faults"
)

// TestS09SpoolDeleted takes the spool away from a shipper that publishes and sends, at
// random moments: deleted, moved, and with something else in its place.
func TestS09SpoolDeleted(t *testing.T) {
	t.Parallel() // most of it is waiting
	row := faults.Start(t, "S9")
	blows := 12
	if row.Full() {
		blows = 150
	}
	row.Result("%s; %s", spoolDeleted(t, blows, false), spoolDeleted(t, blows, true))
}

// spoolDeleted returns what it found. If it is ambiguous what was lost, some of that is in
// Elasticsearch all the same: answers are lost, and directories come back.
func spoolDeleted(t *testing.T, blows int, ambiguous bool) string {
	es := estest.New()
	es.OnBulk(func(n, docs int) estest.Fault {
		switch n % 7 { // so that a backlog comes and goes
		case 2, 3, 4:
			return estest.Fault{Status: 503}
		case 5:
			if ambiguous {
				return estest.Fault{Apply: estest.All, Reset: true}
			}
		}
		return estest.Fault{}
	})
	o := testOptions(t, es)
	s, _ := start(t, o)
	dir := s.spool.path
	stop, stopped := make(chan struct{}), make(chan struct{})
	l := newLoad(5)
	go func() { // the loop
		defer close(stopped)
		for {
			select {
			case <-stop:
				return
			case <-time.After(time.Millisecond):
				l.tick(s)
			}
		}
	}()

	var moved []string
	kinds := [...]struct {
		name string
		take func() error
		// putRight is done after the complaint has been seen in DiskFault.
		complaint string
		putRight  func() error
	}{
		{name: "deleted", take: func() error { return os.RemoveAll(dir) }},
		{name: "its batches deleted", take: func() error { return os.RemoveAll(filepath.Join(dir, liveDir)) }},
		{name: "moved", take: func() error {
			moved = append(moved, filepath.Join(t.TempDir(), "moved"))
			return os.Rename(dir, moved[len(moved)-1])
		}},
		{name: "replaced by another directory", take: func() error {
			if err := os.Rename(dir, filepath.Join(t.TempDir(), "moved")); err != nil {
				return err
			}
			return os.Mkdir(dir, 0o700)
		}},
		{name: "replaced by a file", complaint: "not a directory",
			take: func() error {
				if err := os.RemoveAll(dir); err != nil {
					return err
				}
				return os.WriteFile(dir, nil, 0o600)
			},
			putRight: func() error { return os.Remove(dir) }},
		{name: "replaced by a link to itself", complaint: "not a directory",
			take: func() error {
				moved := filepath.Join(t.TempDir(), "moved")
				if err := os.Rename(dir, moved); err != nil {
					return err
				}
				return os.Symlink(moved, dir)
			},
			putRight: func() error { return os.Remove(dir) }},
	}
	const back = "moved away and put back"
	done := map[string]int{}
	slowest := time.Duration(0)
	for blow := range blows {
		time.Sleep(rand.N(20 * time.Millisecond))
		k := kinds[blow%len(kinds)]
		for tries := 0; ; tries++ { // the publisher may make a file while all are removed
			err := k.take()
			if err == nil {
				break
			}
			if tries == 10 || !strings.Contains(err.Error(), "not empty") && !os.IsExist(err) {
				t.Fatalf("%s: %v", k.name, err)
			}
		}
		begin := time.Now()
		if k.complaint != "" {
			eventually(t, k.name+" is told, and what mends it", func() bool {
				fault := s.Stats().DiskFault
				return strings.Contains(fault, k.complaint) && strings.Contains(fault, "-spool-dir")
			})
			if err := k.putRight(); err != nil {
				t.Fatal(err)
			}
		}
		eventually(t, k.name+" is made anew", func() bool {
			return s.Stats().DiskFault == "" && thereIs(filepath.Join(dir, liveDir)) && thereIs(filepath.Join(dir, "lock"))
		})
		slowest = max(slowest, time.Since(begin))
		done[k.name]++
		if ambiguous && k.name == "moved" && blow%2 == 0 {
			// The old one comes back, with what was in it: that is sent, though gaps
			// tell of it.
			if err := os.Rename(dir, filepath.Join(t.TempDir(), "new")); err != nil {
				t.Fatal(err)
			}
			if err := os.Rename(moved[len(moved)-1], dir); err != nil {
				continue // made anew between the two
			}
			eventually(t, back+" is used", func() bool { return s.Stats().DiskFault == "" })
			done[back]++
		}
	}
	close(stop)
	<-stopped
	es.OnBulk(nil)
	eventually(t, "the spool is empty", func() bool { v := s.Stats(); return v.Pending == 0 && v.SpoolBatches == 0 })

	v := s.Stats()
	told := gapDocuments(es)
	if lost := int(v.Dropped["damaged"]); told["damaged"] != lost || lost == 0 || len(told) > 1 {
		t.Errorf("%d documents lost, gaps tell of %v", lost, told)
	}
	if v.Sampled+v.Found != v.Indexed+v.Dropped["damaged"] || v.Dead != 0 || v.DuplicatesUnexpected != 0 {
		t.Errorf("%+v", v)
	}
	indexed := indexedOnce(t, es) // a gap document of a spool that came back is acknowledged twice
	missing := int(v.Sampled) - indexed
	if missing > told["damaged"] || !ambiguous && missing != told["damaged"] {
		t.Errorf("%d of %d documents are missing, gaps tell of %d", missing, v.Sampled, told["damaged"])
	}
	return fmt.Sprintf("%d times taken away (%v): %d documents sampled, %d indexed, each once, %d missing, gaps tell of %d; in use again after %v at most",
		blows, done, v.Sampled, indexed, missing, told["damaged"], slowest.Round(time.Millisecond))
}

func thereIs(path string) bool {
	_, err := os.Lstat(path)
	return err == nil
}
