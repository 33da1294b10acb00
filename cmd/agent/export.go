package main

import (
	"bytes"
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"time"

	"github.com/swarmgauge/swarmgauge/kibana"
	"github.com/swarmgauge/swarmgauge/shipper"
)

// exportSetup writes what setup would bring as files, and says how to import them. It asks
// nobody.
func (p program) exportSetup(o *options, flags *setupFlags) error {
	objects, err := o.kibanaObjects()
	if err != nil {
		return err
	}
	elastic, kib := redact(o.ESHost), "KIBANA"
	if o.KibanaHost != "" {
		kib = redact(o.KibanaHost)
	}
	if o.KibanaSpace != "" {
		kib += "/s/" + o.KibanaSpace
	}
	type file struct {
		name, how string
		content   []byte
	}
	const sends = "curl -X %s -H 'Content-Type: application/json' --data-binary @%s '%s'"
	template := shipper.IndexTemplate(o.ESIndex)
	if flags.ilm {
		template = shipper.IndexTemplateWithPolicy(o.ESIndex)
	}
	files := []file{}
	add := func(name, how string, content []byte) { files = append(files, file{name, how, content}) }
	path := func(name string) string { return filepath.Join(flags.export, name) }
	if flags.ilm {
		const name = "swarmgauge-lifecycle-policy.json"
		add(name, fmt.Sprintf(sends, "PUT", path(name), elastic+"/_ilm/policy/"+o.ESIndex), indented(shipper.LifecyclePolicy(time.Duration(o.Retention))))
	}
	const templateName, objectsName = "swarmgauge-index-template.json", "swarmgauge.ndjson"
	add(templateName, fmt.Sprintf(sends, "PUT", path(templateName), elastic+"/_index_template/"+o.ESIndex), indented(template))
	add(objectsName, fmt.Sprintf("curl -H 'kbn-xsrf: true' -F file=@%s '%s/api/saved_objects/_import', or Stack Management → Saved Objects → Import", path(objectsName), kib), objects)
	if flags.rules {
		for _, rule := range kibana.Rules(o.ESIndex, o.KibanaSpace) {
			name := "swarmgauge-rule-" + rule.ID + ".json"
			add(name, fmt.Sprintf("curl -H 'kbn-xsrf: true' -H 'Content-Type: application/json' --data-binary @%s '%s/api/alerting/rule/%s'", path(name), kib, rule.ID), indented(rule.Body))
		}
	}
	if err := os.MkdirAll(flags.export, 0o755); err != nil {
		return fmt.Errorf("-export: %w", err)
	}
	for _, f := range files {
		if err := os.WriteFile(path(f.name), f.content, 0o644); err != nil {
			return fmt.Errorf("-export: %w", err)
		}
		fmt.Fprintf(p.stdout, "%s\n  %s\n", path(f.name), f.how)
	}
	return nil
}

// indented returns JSON for people.
func indented(text []byte) []byte {
	var b bytes.Buffer
	if err := json.Indent(&b, text, "", "  "); err != nil {
		panic(err) // our own
	}
	b.WriteByte('\n')
	return b.Bytes()
}
