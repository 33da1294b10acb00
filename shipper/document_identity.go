package shipper

import (
	"bytes"
	"math"
	"strconv"
	"strings"
	"time"
	"unicode/utf8"

	"github.com/swarmgauge/swarmgauge/cadvisor"
	"github.com/swarmgauge/swarmgauge/metric"
)

// What documents take of a container's labels at most. Text beyond the lengths (in
// bytes) is cut off; labels beyond the number are left out, the last by key first.
const (
	maxLabels     = 64
	maxLabelKey   = 256
	maxLabelValue = 1024
)

// identity is the part of a container's documents that is the same in all of them.
type identity struct {
	text []byte
	slot int64 // in which it was used last
}

// identity returns the text for c, which must not be changed after.
func (e *Encoder) identity(c *metric.Container, slot int64) []byte {
	id := e.identities[c]
	if id == nil {
		id = &identity{text: appendIdentity(nil, e.node, c)}
		e.identities[c] = id
	}
	id.slot = slot
	return id.text
}

// appendHost appends what all documents say of the agent and its machine.
func (e *Encoder) appendHost(dst []byte, node *metric.Node) []byte {
	dst = append(dst, `,"event.module":"swarmgauge","ecs.version":"`+ecsVersion+`","agent.type":"swarmgauge"`...)
	dst = appendText(dst, `,"agent.version":`, e.options.AgentVersion)
	dst = appendText(dst, `,"agent.name":`, node.Name)
	dst = appendText(dst, `,"agent.ephemeral_id":`, e.options.EphemeralID)
	dst = appendText(dst, `,"machine_name":`, node.Name)
	dst = appendText(dst, `,"host.name":`, node.Name)
	dst = appendText(dst, `,"host.id":`, node.MachineID)
	dst = appendText(dst, `,"host.boot.id":`, node.BootID)
	dst = appendText(dst, `,"host.architecture":`, node.Architecture)
	dst = append(dst, `,"host.os.type":"linux"`...)
	dst = appendText(dst, `,"host.os.full":`, node.OS)
	dst = appendText(dst, `,"host.os.kernel":`, node.Kernel)
	return appendText(dst, `,"swarm.cluster.id":`, node.ClusterID)
}

// appendIdentity appends what all documents say of c. Health and exit are not among it:
// events have their own.
func appendIdentity(dst []byte, node *metric.Node, c *metric.Container) []byte {
	dst = appendText(dst, `,"container_Name":`, c.DisplayName())
	dst = appendText(dst, `,"container.id":`, c.ID)
	dst = appendText(dst, `,"container.name":`, c.Name)
	dst = appendText(dst, `,"container.runtime":`, c.Runtime)
	dst = appendImage(dst, c.Image, c.ImageID)
	dst = appendDate(dst, `,"container.created":"`, c.Created)
	dst = appendDate(dst, `,"container.started":"`, c.Started)
	dst = append(dst, `,"container.instance":"`...)
	dst = strconv.AppendUint(dst, c.Instance, 10)
	dst = append(dst, '"')
	if c.ID != "" {
		dst = append(dst, `,"container.restart_count":`...)
		dst = strconv.AppendInt(dst, int64(c.RestartCount), 10)
	}
	dst = appendText(dst, `,"container.state":`, c.State)
	dst = appendText(dst, `,"container.unidentified":`, c.Unidentified)

	if node.SwarmID == "" && c.Swarm.NodeID != "" {
		// The task's labels say it also where the engine can't be asked.
		dst = appendText(dst, `,"swarm.node.id":`, c.Swarm.NodeID)
		dst = appendText(dst, `,"swarm.node.name":`, node.Name)
	}
	dst = appendText(dst, `,"swarm.stack":`, c.Swarm.Stack)
	dst = appendText(dst, `,"swarm.service.id":`, c.Swarm.ServiceID)
	dst = appendText(dst, `,"swarm.service.name":`, c.Swarm.ServiceName)
	dst = appendText(dst, `,"swarm.task.id":`, c.Swarm.TaskID)
	dst = appendText(dst, `,"swarm.task.name":`, c.Swarm.TaskName)
	dst = appendTaskSlot(dst, c.Swarm.Slot)
	return appendLabels(dst, c.Labels)
}

// appendTaskSlot appends the number of a replica; nothing for 0, which a task of a global
// service has.
func appendTaskSlot(dst []byte, slot int) []byte {
	if slot <= 0 {
		return dst
	}
	dst = append(dst, `,"swarm.task.slot":`...)
	return strconv.AppendInt(dst, int64(slot), 10)
}

// appendText appends a member with a text value; nothing for "", which says nothing.
func appendText(dst []byte, key, value string) []byte {
	if value == "" {
		return dst
	}
	dst = append(dst, key...)
	return cadvisor.AppendString(dst, value)
}

// appendDate appends a member whose key ends with the opening quote of its value;
// nothing for the zero time, and for years that Elasticsearch's format doesn't have.
func appendDate(dst []byte, key string, t time.Time) []byte {
	if year := t.UTC().Year(); t.IsZero() || year < 0 || year > 9999 {
		return dst
	}
	dst = append(dst, key...)
	dst = appendTime(dst, t)
	return append(dst, '"')
}

func appendHealth(dst []byte, health string) []byte {
	return appendText(dst, `,"container.health":`, health)
}

// appendExit appends how a container ended; exit, which is nil while the runtime has
// not told, knows about the OOM killer.
func appendExit(dst []byte, code int, exit *metric.Exit) []byte {
	dst = append(dst, `,"container.exit_code":`...)
	dst = strconv.AppendInt(dst, int64(code), 10)
	if exit != nil {
		dst = append(dst, `,"container.oom_killed":`...)
		dst = strconv.AppendBool(dst, exit.OOMKilled)
	}
	return dst
}

// appendImage appends the parts of an image reference, "name[:tag][@digest]", and the
// digests known of it: the reference's own and the image's id.
func appendImage(dst []byte, image, id string) []byte {
	name, digest, _ := strings.Cut(image, "@")
	tag := ""
	if strings.HasPrefix(name, "sha256:") {
		name, digest = "", name // asked for by its id
	} else if colon := strings.LastIndexByte(name, ':'); colon > strings.LastIndexByte(name, '/') {
		name, tag = name[:colon], name[colon+1:] // a colon before a slash is a registry's port
	}
	dst = appendText(dst, `,"container.image.name":`, name)
	dst = appendText(dst, `,"container.image.tag":`, tag)
	switch {
	case digest != "" && id != "" && digest != id:
		dst = appendText(dst, `,"container.image.hash.all":[`, digest)
		return append(appendText(dst, ",", id), ']')
	case id != "":
		return appendText(dst, `,"container.image.hash.all":`, id)
	}
	return appendText(dst, `,"container.image.hash.all":`, digest)
}

// appendLabels appends the labels as one object. Elasticsearch refuses a whole document
// for a key that is empty, has a NUL or comes twice, and cleaning may make keys equal:
// of these the first one stays.
func appendLabels(dst []byte, labels []metric.Label) []byte {
	var keys [maxLabels][]byte // encoded, in a buffer that lives until this returns
	n := 0
	var scratch []byte
next:
	for i := range labels {
		if n == maxLabels {
			break
		}
		key := strings.ReplaceAll(clip(labels[i].Key, maxLabelKey), "\x00", "\ufffd")
		if strings.Trim(key, " .") == "" {
			continue
		}
		start := len(scratch)
		scratch = cadvisor.AppendString(scratch, strings.ToValidUTF8(key, "\ufffd"))
		encoded := scratch[start:]
		for _, other := range keys[:n] {
			if bytes.Equal(encoded, other) {
				continue next
			}
		}
		keys[n] = encoded
		if n == 0 {
			dst = append(dst, `,"labels":{`...)
		} else {
			dst = append(dst, ',')
		}
		dst = append(dst, encoded...)
		dst = append(dst, ':')
		dst = cadvisor.AppendString(dst, clip(labels[i].Value, maxLabelValue))
		n++
	}
	if n > 0 {
		dst = append(dst, '}')
	}
	return dst
}

// clip returns the first max bytes of s at most, and no part of a character.
func clip(s string, max int) string {
	if len(s) <= max {
		return s
	}
	end := max
	for end > max-utf8.UTFMax && !utf8.RuneStart(s[end]) {
		end--
	}
	return s[:end]
}

// appendKept appends a whole number, unless Elasticsearch's signed long couldn't hold it.
func appendKept(dst []byte, key string, n uint64) []byte {
	if n > math.MaxInt64 {
		return dst
	}
	dst = append(dst, key...)
	return strconv.AppendUint(dst, n, 10)
}
