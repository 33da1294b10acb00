package main

import (
	"encoding/json"
	"os"
	"path/filepath"

	"github.com/swarmgauge/swarmgauge/test/lab"
)

// files are where the background process and those who ask for it meet.
type files struct{ dir, lock, pid, log, state string }

// openFiles returns those of one of the background processes.
func openFiles(name string) (files, error) {
	cache, err := lab.CacheDir()
	if err != nil {
		return files{}, err
	}
	dir := filepath.Join(cache, "demo-"+name)
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
	// Engine says in words which engine it is, Host is the value of DOCKER_HOST for it, and
	// Address where ports that it publishes are; the last two are of an engine that the demo
	// started. Containers is how many containers were started there.
	Engine, Host, Address string
	Containers            int
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
