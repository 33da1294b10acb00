package main

import "iter"

// ignoredFlags yields the flags of cAdvisor, klog's included, that an existing command
// line may hold and that have no effect here, each with whether it is a switch. Giving
// one is not an error; the agent says once which ones it ignores.
func ignoredFlags() iter.Seq2[string, flagKind] {
	return func(yield func(string, flagKind) bool) {
		for _, name := range [...]string{
			"log_cadvisor_usage", "storage_driver_es_enable_sniffer", "storage_driver_secure",
			"storage_driver_kafka_ssl_verify", "nosystemd", "logtostderr", "alsologtostderr", "skip_headers",
			"skip_log_headers", "one_output", "add_dir_header",
		} {
			if !yield(name, boolean) {
				return
			}
		}
		for _, name := range [...]string{
			"referenced_reset_interval", "resctrl_interval", "perf_events_config",
			"application_metrics_count_limit", "collector_cert", "collector_key",
			"container_hints",
			// Sweeps start on the same slots of the wall clock on all nodes.
			"initial_splay_factor", "jitter_factor",
			"crio_client_timeout",
			"mesos_agent", "mesos_agent_timeout",
			// Of cAdvisors before 0.30.
			"docker_run", "rkt_path",
			// What only other storage drivers, or Elasticsearch before 7, need.
			"storage_driver_es_type", "storage_driver_buffer_duration",
			"storage_driver_user", "storage_driver_password", "storage_driver_host",
			"storage_driver_db", "storage_driver_table",
			"storage_driver_influxdb_retention_policy", "storage_driver_kafka_broker_list",
			"storage_driver_kafka_topic", "storage_driver_kafka_ssl_cert",
			"storage_driver_kafka_ssl_key", "storage_driver_kafka_ssl_ca",
			"bq_account", "bq_credentials_file", "bq_id", "bq_project_id", "bq_secret",
			"vmodule", "stderrthreshold", "log_dir", "log_file", "log_file_max_size",
			"log_backtrace_at",
		} {
			if !yield(name, valued) {
				return
			}
		}
	}
}

// flagKind says whether a flag may stand without a value.
type flagKind bool

const (
	boolean flagKind = true
	valued  flagKind = false
)

// ignoredFlag takes any value and notes that it was given.
type ignoredFlag struct {
	name  string
	kind  flagKind
	given *[]string
}

// String implements flag.Value.
func (f *ignoredFlag) String() string { return "" }

// Set implements flag.Value.
func (f *ignoredFlag) Set(string) error {
	*f.given = append(*f.given, "-"+f.name)
	return nil
}

// IsBoolFlag tells package flag that the value may be left out.
func (f *ignoredFlag) IsBoolFlag() bool { return bool(f.kind) }
