package kibanatest

import (
	"encoding/json"
	"fmt"
	"maps"
	"slices"
)

// Edit is what a person does to an object with a click on Save. It panics for an object that
// isn't there.
func (s *Server) Edit(kind, id string, f func(attributes map[string]any)) {
	s.mu.Lock()
	defer s.mu.Unlock()
	o := s.objects[ref{kind, id}]
	if o == nil {
		panic(fmt.Sprintf("there is no %s %s", kind, id))
	}
	attributes := maps.Clone(o.Attributes)
	f(attributes)
	o.Attributes, o.UpdatedAt = attributes, s.now()
}

// Remove is what a person does to an object with a click on Delete.
func (s *Server) Remove(kind, id string) { s.set(func() { delete(s.objects, ref{kind, id}) }) }

// Place puts an object into a space, as if a person had made it: it isn't managed unless the
// line says so.
func (s *Server) Place(space, line string) {
	var o object
	if err := json.Unmarshal([]byte(line), &o); err != nil {
		panic(err)
	}
	s.set(func() {
		o.space, o.UpdatedAt = space, s.now()
		s.objects[o.ref] = &o
	})
}

// Attributes returns those of an object, nil if it isn't there.
func (s *Server) Attributes(kind, id string) map[string]any {
	s.mu.Lock()
	defer s.mu.Unlock()
	if o := s.objects[ref{kind, id}]; o != nil {
		return maps.Clone(o.Attributes)
	}
	return nil
}

// Line returns an object as JSON, as its last import had it; "" if it isn't there.
func (s *Server) Line(kind, id string) string {
	s.mu.Lock()
	defer s.mu.Unlock()
	if o := s.objects[ref{kind, id}]; o != nil {
		return string(o.line)
	}
	return ""
}

// IDs returns the objects of a space as "type/id", in order.
func (s *Server) IDs(space string) (ids []string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for k, o := range s.objects {
		if o.space == space {
			ids = append(ids, k.Type+"/"+k.ID)
		}
	}
	slices.Sort(ids)
	return ids
}
