package lab

import (
	"errors"
	"net/http"
	"testing"
)

// What was indexed is there after a crash and a restart, at the same address.
func TestElasticsearch(t *testing.T) {
	for _, version := range ElasticsearchVersions() {
		t.Run(version, func(t *testing.T) {
			s := ElasticsearchFor(t, ElasticsearchConfig{Version: version})
			ctx := t.Context()
			bulk := `{"create":{"_index":"days","_id":"1"}}` + "\n" + `{"n":7}` + "\n"
			answer, err := s.Do(ctx, http.MethodPost, "/_bulk?refresh=true", bulk)
			if err != nil {
				t.Fatal(err)
			}
			if answer.(map[string]any)["errors"] != false {
				t.Fatalf("bulk answer %v", answer)
			}
			if err := s.Kill(); err != nil {
				t.Fatal(err)
			}
			if err := s.Start(ctx); err != nil {
				t.Fatal(err)
			}
			answer, err = s.Do(ctx, http.MethodGet, "/days/_doc/1", nil)
			if err != nil {
				t.Fatal(err)
			}
			if n := answer.(map[string]any)["_source"].(map[string]any)["n"]; n != 7.0 {
				t.Errorf("document has n = %v, want 7", n)
			}
			if err := s.Stop(); err != nil {
				t.Error(err)
			}
		})
	}
}

// A user of the file realm has the rights of its roles and no others.
func TestElasticsearchUsers(t *testing.T) {
	s := ElasticsearchFor(t, ElasticsearchConfig{
		Users: []ElasticsearchUser{
			{Name: "admin", Password: "admin-password"},
			{Name: "agent", Password: "agent-password", Roles: []string{"writer"}},
		},
		Roles: "writer:\n  indices:\n  - names: ['days-*']\n    privileges: ['create_doc', 'auto_configure']\n",
	})
	agent := *s
	agent.config.Users = s.config.Users[1:]
	f := func(s *ElasticsearchServer, method, path string, want int) {
		t.Helper()
		status := http.StatusOK
		_, err := s.Do(t.Context(), method, path, map[string]any{"n": 1})
		if refused := (*StatusError)(nil); errors.As(err, &refused) {
			status = refused.Status
		} else if err != nil {
			t.Fatal(err)
		}
		if status != want {
			t.Errorf("%s %s: status %d, want %d", method, path, status, want)
		}
	}
	f(&agent, http.MethodPut, "/days-1/_create/1", http.StatusOK)
	f(&agent, http.MethodPut, "/others/_create/1", http.StatusForbidden)
	f(s, http.MethodPut, "/others/_create/1", http.StatusOK)
	agent.config.Users = []ElasticsearchUser{{Name: "agent", Password: "wrong"}}
	f(&agent, http.MethodPut, "/days-1/_create/2", http.StatusUnauthorized)
}
