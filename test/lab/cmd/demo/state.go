package main

import (
	"encoding/json"
	"os"
	"path/filepath"

	"github.com/swarmgauge/swarmgauge/test/lab"
)

// files are where the background process and those who ask for it meet.
type files struct{ dir, lock, pid, log, state string }

func openFiles() (files, error) {
	cache, err := lab.CacheDir()
	if err != nil {
		return files{}, err
	}
	dir := filepath.Join(cache, "demo")
	return files{
		dir:   dir,
		lock:  filepath.Join(dir, "lock"),
		pid:   filepath.Join(dir, "pid"),
		log:   filepath.Join(dir, "log"),
		state: filepath.Join(dir, "state.json"),
	}, os.MkdirAll(dir, 0o755)
}

// state is what runs, once all of it does.
type state struct {
	// Engine says in words which engine it is, and Containers how many containers
	// were started there.
	Engine     string
	Containers int
	// Elasticsearch and Agent are URLs; Kibana is one where there is a Kibana.
	Elasticsearch, Agent, Kibana string
}

func (f files) load() (*state, error) {
	text, err := os.ReadFile(f.state)
	if err != nil {
		return nil, err
	}
	st := new(state)
	return st, json.Unmarshal(text, st)
}

// save makes the state appear whole or not at all.
func (f files) save(st *state) error {
	text, err := json.Marshal(st)
	if err != nil {
		return err
	}
	if err := os.WriteFile(f.state+".new", text, 0o644); err != nil {
		return err
	}
	return os.Rename(f.state+".new", f.state)
}
