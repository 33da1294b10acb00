package shipper

import (
	"context"
	"math/rand/v2"
	"net/http/httptest"
	"os"
	"os/exec"
	"strconv"
	"testing"
	"time"

	"go.uber.org/zap"

	"github.com/swarmgauge/swarmgauge/shipper/estest"
)

// runUntilKilled is an agent that puts batches as fast as they are stored and prints for
// each that is, how many documents it had; until it is killed.
func runUntilKilled(dir, address string) {
	s, err := New(context.Background(), Options{
		SpoolDir: dir, Addresses: []string{address}, Log: zap.NewNop(),
		Encoder: EncoderOptions{AgentVersion: "test", Interval: testInterval},
	})
	if err != nil {
		os.Stderr.WriteString(err.Error())
		os.Exit(1)
	}
	s.lanes.phase = 0
	go s.Run(context.Background())
	l := newLoad(20)
	l.slot = time.Now().UnixNano() // the runs must not measure the same instants
	for n := int64(1); ; n++ {
		l.tick(s)
		for s.Stats().Batches < n {
			time.Sleep(100 * time.Microsecond)
		}
		os.Stdout.WriteString("x")
	}
}

// TestKill kills an agent again and again while its Elasticsearch loses every third answer:
// what was stored arrives, and arrives once.
func TestKill(t *testing.T) {
	kills := 20
	if n, err := strconv.Atoi(os.Getenv("SHIPPER_KILLS")); err == nil {
		kills = n
	} else if testing.Short() {
		t.Skip("skipped by -short; run: go test -run TestKill ./shipper (SHIPPER_KILLS=1000 for more)")
	}
	es := estest.New()
	es.OnBulk(func(n, docs int) estest.Fault {
		switch n % 6 {
		case 1:
			return estest.Fault{Apply: estest.All, Reset: true}
		case 3:
			return estest.Fault{Apply: docs / 2, Reset: true}
		}
		return estest.Fault{}
	})
	srv := httptest.NewServer(es)
	defer srv.Close()
	o := testOptions(t, nil)
	stored := 0
	for range kills {
		out, err := os.CreateTemp(t.TempDir(), "stored")
		if err != nil {
			t.Fatal(err)
		}
		cmd := exec.Command(os.Args[0])
		cmd.Env = append(os.Environ(), killedAgent+"="+o.SpoolDir, "SHIPPER_TEST_ADDRESS="+srv.URL)
		cmd.Stdout, cmd.Stderr = out, os.Stderr
		if err := cmd.Start(); err != nil {
			t.Fatal(err)
		}
		time.Sleep(30*time.Millisecond + rand.N(100*time.Millisecond))
		cmd.Process.Kill()
		cmd.Wait()
		fi, err := out.Stat()
		if err != nil {
			t.Fatal(err)
		}
		stored += int(fi.Size()) * 20
		out.Close()
	}
	es.OnBulk(nil)
	o.Addresses = []string{srv.URL}
	s, _ := start(t, o)
	eventually(t, "the spool is empty", func() bool { return s.Stats().Pending == 0 })
	// A batch that was stored and not yet counted when the kill came may be there
	// beyond what was counted: one for each kill.
	n := es.Len()
	if n < stored || n > stored+20*kills {
		t.Errorf("%d documents indexed of %d stored", n, stored)
	}
	audit(t, es, n)
	if v := s.Stats(); v.DuplicatesUnexpected != 0 || v.Dead != 0 || v.Dropped["damaged"] != 0 {
		t.Errorf("%+v", v)
	}
	if stored == 0 {
		t.Error("nothing was stored: the agents were killed too early")
	}
	t.Logf("%d kills, %d documents, %d requests", kills, n, es.Requests())
}
