package shipper

import (
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/swarmgauge/swarmgauge/test/lab"
)

// TestElasticsearch ships to real servers: what the fake takes for Elasticsearch's ways, they
// have to have.
func TestElasticsearch(t *testing.T) {
	for _, version := range lab.ElasticsearchVersions() {
		t.Run(version, func(t *testing.T) {
			es := lab.ElasticsearchFor(t, lab.ElasticsearchConfig{
				Version: version,
				Users: []lab.ElasticsearchUser{
					{Name: "admin", Password: "adminpassword", Roles: []string{"superuser"}},
					{Name: "writer", Password: "writerpassword", Roles: []string{"writer"}},
					{Name: "reader", Password: "readerpassword", Roles: []string{"writer", "reader"}},
				},
				Roles: `writer:
  indices:
    - names: ['cadvisor-*']
      privileges: ['create_doc', 'auto_configure']
reader:
  indices:
    - names: ['cadvisor-*']
      privileges: ['view_index_metadata']
`,
				Settings: map[string]string{"http.max_content_length": "1mb"},
			})
			options := func(user, prefix string) Options {
				o := testOptions(t, nil)
				o.Addresses, o.IndexPrefix = []string{es.URL()}, prefix
				o.Username, o.PasswordFile = user, filepath.Join(t.TempDir(), "password")
				if err := os.WriteFile(o.PasswordFile, []byte(user+"password\n"), 0o600); err != nil {
					t.Fatal(err)
				}
				return o
			}
			count := func(index string) int {
				t.Helper()
				if _, err := es.Do(t.Context(), http.MethodPost, "/"+index+"/_refresh", nil); err != nil {
					t.Fatal(err)
				}
				answer, err := es.Do(t.Context(), http.MethodGet, "/"+index+"/_count", nil)
				if err != nil {
					t.Fatal(err)
				}
				return int(answer.(map[string]any)["count"].(float64))
			}
			indexed := func(s *Shipper, docs int64) {
				t.Helper()
				for deadline := time.Now().Add(2 * time.Minute); s.Stats().Indexed < docs; time.Sleep(10 * time.Millisecond) {
					if time.Now().After(deadline) {
						t.Fatalf("not %d documents are indexed: %+v", docs, s.Stats())
					}
				}
			}
			held := func(s *Shipper, sentence string) {
				t.Helper()
				eventually(t, "it is held", func() bool { return s.Stats().Held })
				if v := s.Stats(); !strings.Contains(v.Trouble, sentence) || v.Indexed != 0 || v.Dead != 0 {
					t.Errorf("%+v", v)
				}
			}

			// Without the template, and without the privilege for it, nothing is sent.
			l := newLoad(10)
			o := options("writer", "cadvisor")
			s, stop := start(t, o)
			l.tick(s)
			held(s, "manage_index_templates")
			stop()
			// What it has asked made the index of today without the template; the sentence
			// says that it has to go.
			today := "cadvisor-" + time.Now().UTC().Format("2006.01.02")
			if !strings.Contains(s.Stats().Trouble, today+" was made without it") {
				t.Errorf("held because: %s", s.Stats().Trouble)
			}
			if _, err := es.Do(t.Context(), http.MethodDelete, "/"+today, nil); err != nil {
				t.Fatal(err)
			}

			// An administrator's agent installs it; a batch above 1 MB is split.
			admin := options("admin", "cadvisor")
			s, stop = start(t, admin)
			many := newLoad(1500)
			many.slot += 24 * 3600e9
			many.tick(s)
			indexed(s, 1500)
			if v := s.Stats(); v.Requests < 3 || v.DuplicatesExpected+v.DuplicatesUnexpected+v.Dead != 0 {
				t.Errorf("%+v", v)
			}
			if n := count("cadvisor"); n != 1500 {
				t.Errorf("%d documents behind the alias", n)
			}
			stop()

			// The writer may go on, if it is told that the template is there; another
			// user sees it at the indices.
			o.NoTemplate = true
			s, stop = start(t, o)
			indexed(s, 10)
			l.tick(s)
			indexed(s, 20)
			stop()
			o = options("reader", "cadvisor")
			s, stop = start(t, o)
			l.tick(s)
			indexed(s, 10)
			stop()
			if n := count("cadvisor"); n != 1530 {
				t.Errorf("%d documents behind the alias", n)
			}

			// Forbidden indices, wrong passwords, and cAdvisor's own index in the way.
			o = options("writer", "elsewhere")
			o.NoTemplate = true
			s, stop = start(t, o)
			l.tick(s)
			held(s, "create_doc and auto_configure")
			stop()
			o = options("admin", "cadvisor")
			os.WriteFile(o.PasswordFile, []byte("wrong"), 0o600)
			s, stop = start(t, o)
			l.tick(s)
			held(s, "doesn't accept the credentials")
			stop()
			if _, err := es.Do(t.Context(), http.MethodPut, "/legacy", map[string]any{}); err != nil {
				t.Fatal(err)
			}
			s, stop = start(t, options("admin", "legacy"))
			l.tick(s)
			held(s, "in the way of the alias")
			stop()

			// A day's index that is closed, then opened.
			const day = "/cadvisor-2026.03.01"
			if _, err := es.Do(t.Context(), http.MethodPost, day+"/_close", nil); err != nil {
				t.Fatal(err)
			}
			s, stop = start(t, options("admin", "cadvisor"))
			l.tick(s)
			held(s, "closed")
			if _, err := es.Do(t.Context(), http.MethodPost, day+"/_open", nil); err != nil {
				t.Fatal(err)
			}
			indexed(s, 10)
			stop()

			// A server that is killed and comes back: nothing lost, nothing twice.
			s, stop = start(t, options("admin", "cadvisor"))
			for i := range 30 {
				l.tick(s)
				if i == 10 {
					if err := es.Kill(); err != nil {
						t.Fatal(err)
					}
				}
			}
			if err := es.Start(t.Context()); err != nil {
				t.Fatal(err)
			}
			indexed(s, 300)
			stop()
			if n := count("cadvisor"); n != 1840 {
				t.Errorf("%d documents behind the alias", n)
			}
			if v := s.Stats(); v.DuplicatesUnexpected != 0 || v.Dead != 0 {
				t.Errorf("%+v", v)
			}
		})
	}
}
