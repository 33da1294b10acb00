package main

import (
	"fmt"
	"slices"
	"strconv"
	"strings"

	"github.com/swarmgauge/swarmgauge/shipper"
)

// finding is one thing that was looked at on this node.
type finding struct {
	// Check is its short name, which stays the same.
	Check string `json:"check"`
	// Status is what came of it.
	Status shipper.Status `json:"status"`
	// Text is a sentence.
	Text string `json:"text"`
	// Mend is the line that puts it right, nil where nothing is to be done or none is known.
	Mend *mendLine `json:"mend,omitempty"`

	mend mend
}

// mend is what puts a finding right, in the parts that each place where an agent runs has
// words of its own for. The zero value is nothing.
type mend struct {
	// What the agent's container is to be given.
	mounts       []bind
	settings     []option
	capabilities []string
	secrets      []swarmSecret
	hostname     string // in a stack's words
	user         string
	memory       string // as Docker writes it: "128M"
	descriptors  int
	// onHost is what does the same where the agent isn't in a container: a command, or
	// options. Settings are options there without it.
	onHost string
	// elsewhere is a command or a request for somebody else than the agent, and at what:
	// then nothing of the above counts.
	elsewhere string
	at        mendPlace
}

// bind is a mount of a directory of the node, or of a volume.
type bind struct {
	source, target string
	writable       bool
	slave          bool // what is mounted below later is seen, too
}

func (b bind) String() string {
	text := b.source + ":" + b.target
	switch {
	case b.slave:
		return text + ":ro,rslave"
	case !b.writable:
		return text + ":ro"
	}
	return text
}

// swarmSecret is a secret of a Swarm, and the command that makes it; "" where it is there.
type swarmSecret struct{ name, make string }

// option is the value of one of the agent's options.
type option struct{ name, value string }

// mendPlace says where a line belongs.
type mendPlace string

const (
	inStack         mendPlace = "stack file"
	inRun           mendPlace = "docker run"
	inCommandLine   mendPlace = "agent"
	onNode          mendPlace = "on the node"
	onElasticsearch mendPlace = "on Elasticsearch"
	onManager       mendPlace = "on a manager"
	onThoseNodes    mendPlace = "on those nodes"
)

// mendLine is a mend in the words of a place.
type mendLine struct {
	At   mendPlace `json:"at"`
	Line string    `json:"line"`
}

// String writes where and what.
func (m *mendLine) String() string { return string(m.At) + ": " + m.Line }

// empty tells that there is nothing to be done.
func (m *mend) empty() bool {
	return len(m.mounts)+len(m.settings)+len(m.capabilities)+len(m.secrets)+m.descriptors == 0 &&
		m.user+m.memory+m.hostname+m.onHost+m.elsewhere == ""
}

// line writes the mend for the place, nil if there is nothing that mends there.
func (m *mend) line(where *place) *mendLine {
	if m.empty() {
		return nil
	}
	if m.elsewhere != "" {
		return &mendLine{m.at, m.elsewhere}
	}
	var line mendLine
	switch where.kind {
	case inService:
		line = mendLine{inStack, m.yaml(where.service)}
	case inContainer:
		line = mendLine{inRun, m.flags()}
	default:
		line = mendLine{inCommandLine, m.onHost}
		if m.onHost == "" {
			line.Line = m.options()
		}
	}
	if line.Line == "" {
		return nil
	}
	return &line
}

// add takes in another mend of the agent's container.
func (m *mend) add(o *mend) {
	if o.elsewhere != "" {
		return
	}
	m.mounts = appendNew(m.mounts, o.mounts)
	m.settings = appendNew(m.settings, o.settings)
	m.capabilities = appendNew(m.capabilities, o.capabilities)
	m.secrets = appendNew(m.secrets, o.secrets)
	m.descriptors = max(m.descriptors, o.descriptors)
	for to, from := range map[*string]string{&m.user: o.user, &m.memory: o.memory, &m.hostname: o.hostname} {
		if from != "" {
			*to = from
		}
	}
}

func appendNew[T comparable](list, more []T) []T {
	for _, v := range more {
		if !slices.Contains(list, v) {
			list = append(list, v)
		}
	}
	return list
}

// yaml writes an override file of the stack, in one line. What has to be done before is a
// comment.
func (m *mend) yaml(service string) string {
	var keys []string
	add := func(format string, values ...any) { keys = append(keys, fmt.Sprintf(format, values...)) }
	if m.hostname != "" {
		add("hostname: %q", m.hostname)
	}
	if len(m.mounts) > 0 {
		add("volumes: [%s]", quoted(m.mounts))
	}
	if len(m.settings) > 0 {
		var list []string
		for _, s := range m.settings {
			// A dollar would be a variable of who deploys.
			list = append(list, envName(s.name)+": "+strconv.Quote(strings.ReplaceAll(s.value, "$", "$$")))
		}
		add("environment: {%s}", strings.Join(list, ", "))
	}
	if len(m.capabilities) > 0 {
		add("cap_add: [%s]", strings.Join(m.capabilities, ", "))
	}
	if m.user != "" {
		add("user: %q", m.user)
	}
	if m.descriptors > 0 {
		add("ulimits: {nofile: {soft: %[1]d, hard: %[1]d}}", m.descriptors)
	}
	var names, external, first []string
	for _, s := range m.secrets {
		names = append(names, s.name)
		external = append(external, s.name+": {external: true}")
		if s.make != "" {
			first = append(first, s.make)
		}
	}
	if len(names) > 0 {
		add("secrets: [%s]", strings.Join(names, ", "))
	}
	if m.memory != "" {
		add("deploy: {resources: {limits: {memory: %s}}}", m.memory)
	}
	if len(keys) == 0 {
		return ""
	}
	text := fmt.Sprintf("services: {%s: {%s}}", service, strings.Join(keys, ", "))
	if len(names) > 0 {
		text += fmt.Sprintf(", secrets: {%s}", strings.Join(external, ", "))
	}
	var volumes []string
	for _, b := range m.mounts {
		if !strings.HasPrefix(b.source, "/") {
			volumes = append(volumes, b.source+": {}")
		}
	}
	if len(volumes) > 0 {
		text += fmt.Sprintf(", volumes: {%s}", strings.Join(volumes, ", "))
	}
	text = `{version: "3.8", ` + text + "}"
	if len(first) > 0 {
		text += " # first, on a manager: " + strings.Join(first, " && ")
	}
	return text
}

func quoted[T fmt.Stringer](list []T) string {
	var all []string
	for _, v := range list {
		all = append(all, strconv.Quote(v.String()))
	}
	return strings.Join(all, ", ")
}

// flags writes flags of docker run.
func (m *mend) flags() string {
	var all []string
	add := func(flag, value string) { all = append(all, flag+" "+shellWord(value)) }
	if m.hostname != "" {
		all = append(all, `--hostname "$(hostname)"`)
	}
	for _, b := range m.mounts {
		add("-v", b.String())
	}
	for _, s := range m.settings {
		add("-e", envName(s.name)+"="+s.value)
	}
	for _, c := range m.capabilities {
		add("--cap-add", c)
	}
	if m.user != "" {
		add("--user", m.user)
	}
	if m.descriptors > 0 {
		add("--ulimit", fmt.Sprintf("nofile=%[1]d:%[1]d", m.descriptors))
	}
	if m.memory != "" {
		add("--memory", m.memory)
	}
	return strings.Join(all, " ")
}

// options writes options of the agent.
func (m *mend) options() string {
	var all []string
	for _, s := range m.settings {
		all = append(all, shellWord("-"+s.name+"="+s.value))
	}
	return strings.Join(all, " ")
}

// shellWord quotes what a shell would take apart.
func shellWord(s string) string {
	if strings.ContainsFunc(s, func(r rune) bool { return !strings.ContainsRune(plainInShell, r) }) {
		return "'" + strings.ReplaceAll(s, "'", `'\''`) + "'"
	}
	return s
}

const plainInShell = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789-_=:,./@%+"
