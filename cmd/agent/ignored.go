package main

import "strings"

// ignoredSentence says that an option of cAdvisor has no effect here.
func ignoredSentence(name string) string {
	return "the option " + name + " of cAdvisor has no effect here: " + whyIgnored(name)
}

// whyIgnored returns in a few words why an option of cAdvisor, with or without its dash, has
// no effect here.
func whyIgnored(name string) string {
	name = strings.TrimPrefix(name, "-")
	for _, i := range ignoredReasons() {
		if i.name == name || strings.HasSuffix(i.name, "*") && strings.HasPrefix(name, i.name[:len(i.name)-1]) {
			return i.why
		}
	}
	return "it isn't needed"
}

// ignoredReason is why an option is ignored, or all whose names begin with what stands
// before the asterisk.
type ignoredReason struct{ name, why string }

func ignoredReasons() []ignoredReason {
	const (
		klog    = "logs go to standard error as JSON, or as text with -log-format=console"
		otherDB = "documents go to Elasticsearch, with the options -storage_driver_es_host and -es-*"
		slots   = "sweeps start on the same slots of the wall clock on all nodes"
	)
	return []ignoredReason{
		{"initial_splay_factor", slots},
		{"jitter_factor", slots},
		{"log_cadvisor_usage", "the agent's own use of the machine is on /metrics"},
		{"referenced_reset_interval", "the agent only reads: it resets none of the kernel's marks of what was referenced"},
		{"resctrl_interval", "groups of resctrl are read as they are; none is made"},
		{"perf_events_config", "perf events are not counted"},
		{"application_metrics_count_limit", "metrics of applications are not collected"},
		{"collector_cert", "metrics of applications are not collected"},
		{"collector_key", "metrics of applications are not collected"},
		{"container_hints", "interfaces and filesystems are found without hints"},
		{"crio_client_timeout", "CRI-O is not asked: its containers are known by their cgroups"},
		{"mesos_agent", "cAdvisor itself has given up Mesos"},
		{"mesos_agent_timeout", "cAdvisor itself has given up Mesos"},
		{"rkt_path", "cAdvisor itself has given up rkt"},
		{"docker_run", "the engine's folder of sockets and pids isn't read"},
		{"nosystemd", "containers are found with either cgroup driver"},
		{"storage_driver_es_type", "Elasticsearch has no types any more"},
		{"storage_driver_es_enable_sniffer", "the nodes of Elasticsearch are those in -storage_driver_es_host"},
		{"storage_driver_buffer_duration", "-ship-interval says how often documents are made"},
		{"storage_driver_user", "the user for Elasticsearch is -es-user, or in an API key"},
		{"storage_driver_password", "a password doesn't belong on a command line: -es-password-file names its file"},
		{"storage_driver_secure", "https in -storage_driver_es_host is TLS"},
		{"storage_driver_*", otherDB},
		{"bq_*", otherDB},
		{"logtostderr", klog},
		{"alsologtostderr", klog},
		{"stderrthreshold", "-log-level says what is logged"},
		{"vmodule", "-log-level says what is logged"},
		{"log_*", klog},
		{"skip_headers", klog},
		{"skip_log_headers", klog},
		{"one_output", klog},
		{"add_dir_header", klog},
	}
}
