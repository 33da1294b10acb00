package kibana

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"mime/multipart"
	"net/http"
	"net/textproto"
	"slices"
	"strings"
)

// objectKey names a saved object.
type objectKey struct {
	Type string `json:"type"`
	ID   string `json:"id"`
}

// asset is one saved object as it is to be.
type asset struct {
	objectKey
	title string
	line  []byte // JSON, without a newline
}

// parseAssets reads saved objects, one a line.
func parseAssets(ndjson []byte) (assets []asset, err error) {
	for line := range bytes.Lines(ndjson) {
		line = bytes.TrimSpace(line)
		if len(line) == 0 {
			continue
		}
		var o struct {
			objectKey
			Attributes struct{ Title, Name string }
		}
		if err := json.Unmarshal(line, &o); err != nil {
			return nil, fmt.Errorf("the saved object %.60q: %w", line, err)
		}
		if o.Type == "" || o.ID == "" {
			return nil, fmt.Errorf("the saved object %.60q has no type or no id", line)
		}
		title := o.Attributes.Title
		if title == "" {
			title = o.Attributes.Name
		}
		assets = append(assets, asset{o.objectKey, title, line})
	}
	return assets, nil
}

func (a *asset) String() string { return called(a.Type, a.title) }

// called is what a person calls a saved object.
func called(kind, title string) string {
	if kind == "index-pattern" {
		kind = "data view"
	}
	return fmt.Sprintf("%s %q", kind, title)
}

// saved is one saved object as Kibana has it.
type saved struct {
	objectKey
	Managed    bool            `json:"managed"`
	UpdatedAt  string          `json:"updated_at"`
	Attributes json.RawMessage `json:"attributes"`
	References json.RawMessage `json:"references"`
}

// export returns those of the objects that Kibana has in the space.
//
// Source: Kibana's POST /api/saved_objects/_export answers 400 where one of the objects isn't
// there, with the answer for each of these in attributes.objects.
func (c *Client) export(ctx context.Context, keys []objectKey) (map[objectKey]*saved, error) {
	there := make(map[objectKey]*saved)
	keys = slices.Clone(keys)
	for len(keys) > 0 {
		body, err := json.Marshal(map[string]any{"objects": keys, "includeReferencesDeep": false, "excludeExportDetails": true})
		if err != nil {
			return nil, err
		}
		r, err := c.do(ctx, http.MethodPost, c.inSpace("/api/saved_objects/_export"), "", body)
		if err != nil {
			return nil, err
		}
		switch r.status {
		case http.StatusOK:
			for line := range bytes.Lines(r.body) {
				o := new(saved)
				if len(bytes.TrimSpace(line)) == 0 {
					continue
				}
				if err := json.Unmarshal(line, o); err != nil {
					return nil, lasting("the answer of Kibana at %s to an export can't be read: %v", c, err)
				}
				there[o.objectKey] = o
			}
			return there, nil
		case http.StatusForbidden:
			return nil, c.forbidden(r)
		case http.StatusBadRequest:
			missing, err := c.missing(r)
			if err != nil {
				return nil, err
			}
			before := len(keys)
			keys = slices.DeleteFunc(keys, func(k objectKey) bool { return slices.Contains(missing, k) })
			if len(keys) == before {
				return nil, lasting("Kibana at %s doesn't export its objects (%s)", c, r.said())
			}
		default:
			return nil, lasting("Kibana at %s doesn't export its objects (%s)", c, r.said())
		}
	}
	return there, nil
}

// missing reads which objects an export didn't find.
func (c *Client) missing(r reply) (keys []objectKey, err error) {
	var refused struct {
		Attributes struct {
			Objects []struct {
				objectKey
				Error struct {
					StatusCode int
					Message    string
				}
			}
		}
	}
	if json.Unmarshal(r.body, &refused) != nil || len(refused.Attributes.Objects) == 0 {
		return nil, lasting("Kibana at %s doesn't export its objects (%s)", c, r.said())
	}
	for _, o := range refused.Attributes.Objects {
		if o.Error.StatusCode != http.StatusNotFound {
			return nil, lasting("Kibana at %s doesn't export the %s %s (%d: %s)", c, o.Type, o.ID, o.Error.StatusCode, clipped(o.Error.Message))
		}
		keys = append(keys, o.objectKey)
	}
	return keys, nil
}

// errConflict means that an object is there that wasn't a moment ago.
var errConflict = errors.New("an object is there meanwhile")

// put brings objects into the space: new ones, which aren't overwritten if they are there
// meanwhile (errConflict), or in the place of others.
//
// New objects are brought without overwrite=true not only for what another agent may do at
// the same time: Kibana would overwrite a person's own copy of one, too, which it knows by
// its originId.
func (c *Client) put(ctx context.Context, assets []asset, overwrite bool) error {
	if len(assets) == 0 {
		return nil
	}
	body, contentType, err := importForm(assets)
	if err != nil {
		return err
	}
	path := fmt.Sprintf("/api/saved_objects/_import?overwrite=%t", overwrite)
	r, err := c.do(ctx, http.MethodPost, c.inSpace(path), contentType, body)
	if err != nil {
		return err
	}
	switch r.status {
	case http.StatusOK:
		return c.imported(ctx, r, assets)
	case http.StatusForbidden:
		return c.forbidden(r)
	case http.StatusUnprocessableEntity:
		return lasting("Kibana at %s can't take the dashboards, which are of a newer form than it knows (%s): upgrade it, and please report its version", c, r.said())
	case http.StatusRequestEntityTooLarge:
		return lasting("a proxy before Kibana at %s, or its savedObjects.maxImportPayloadBytes, refuses %d bytes (%s): allow them", c, len(body), r.said())
	}
	return lasting("Kibana at %s refuses the import (%s)", c, r.said())
}

// importForm makes the multipart form that an import wants. Its file has to be named .ndjson.
func importForm(assets []asset) (body []byte, contentType string, err error) {
	var b bytes.Buffer
	w := multipart.NewWriter(&b)
	part, err := w.CreatePart(textproto.MIMEHeader{
		"Content-Disposition": {`form-data; name="file"; filename="swarmgauge.ndjson"`},
		"Content-Type":        {"application/ndjson"},
	})
	if err != nil {
		return nil, "", err
	}
	for _, a := range assets {
		part.Write(append(a.line, '\n')) // to memory
	}
	if err := w.Close(); err != nil {
		return nil, "", err
	}
	return b.Bytes(), w.FormDataContentType(), nil
}

// importFailure is one entry of errors in the answer to an import.
type importFailure struct {
	objectKey
	Title string
	Meta  struct{ Title string }
	Error struct {
		Type          string
		DestinationID string `json:"destinationId"`
		Message       string
		References    []objectKey
		Destinations  []struct{ ID string }
	}
}

// imported reads the answer to an import: 200 alone is no success.
func (c *Client) imported(ctx context.Context, r reply, assets []asset) error {
	var answer struct {
		Success        *bool
		Errors         []importFailure
		SuccessResults []struct {
			objectKey
			DestinationID string `json:"destinationId"`
		}
	}
	if json.Unmarshal(r.body, &answer) != nil || answer.Success == nil {
		return lasting("the answer of Kibana at %s to an import can't be read", c)
	}
	if !*answer.Success || len(answer.Errors) > 0 {
		return c.failed(answer.Errors)
	}
	done := make(map[objectKey]bool)
	for _, o := range answer.SuccessResults {
		done[o.objectKey] = true
		if o.DestinationID != "" && o.DestinationID != o.ID {
			c.remove(ctx, objectKey{o.Type, o.DestinationID})
			return lasting("in another space of Kibana at %s there is a %s with the id %s, so that Kibana would give this one another: delete it there, where it was imported by hand, or set -kibana-space to that space", c.base, o.Type, o.ID)
		}
	}
	for _, a := range assets {
		if !done[a.objectKey] {
			return lasting("Kibana at %s says that the import succeeded, and nothing of the %v", c, &a)
		}
	}
	return nil
}

// failed makes one sentence of the errors of an import.
func (c *Client) failed(failures []importFailure) error {
	var all []string
	for _, f := range failures {
		title := f.Meta.Title
		if title == "" {
			title = f.Title
		}
		what := called(f.Type, title)
		switch f.Error.Type {
		case "conflict", "ambiguous_conflict":
			if f.Error.Type == "conflict" && f.Error.DestinationID == "" {
				return errConflict
			}
			copies := []string{f.Error.DestinationID}
			if f.Error.DestinationID == "" {
				copies = copies[:0]
				for _, d := range f.Error.Destinations {
					copies = append(copies, d.ID)
				}
			}
			what += fmt.Sprintf(" has a copy in this space (id %s), which isn't overwritten: delete the copy", strings.Join(copies, ", "))
		case "missing_references":
			var missing []string
			for _, k := range f.Error.References {
				missing = append(missing, k.Type+" "+k.ID)
			}
			what += " refers to what isn't there: " + strings.Join(missing, ", ")
		case "unsupported_type":
			what += " is of a type that this Kibana doesn't have"
		default:
			what += ": " + clipped(f.Error.Type+" "+f.Error.Message)
		}
		all = append(all, what)
	}
	if len(all) == 0 {
		return lasting("Kibana at %s says that the import didn't succeed, and not why: its log does", c)
	}
	return lasting("Kibana at %s refuses some objects: %s", c, strings.Join(all, "; "))
}

// remove deletes an object that Kibana has made under another id, as far as it may.
func (c *Client) remove(ctx context.Context, k objectKey) {
	c.do(ctx, http.MethodDelete, c.inSpace("/api/saved_objects/"+k.Type+"/"+k.ID), "", nil) // what stays is told
}

// forbidden says which privileges are missing.
func (c *Client) forbidden(r reply) error {
	return lasting("the user may not read or write what is needed in Kibana at %s (%s): give his role the Kibana privileges All of Dashboards, Data View Management, Tag Management and Saved Objects Management in that space", c, r.said())
}
