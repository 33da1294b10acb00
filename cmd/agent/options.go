package main

import (
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"path"
	"runtime"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/swarmgauge/swarmgauge/cadvisor"
	"github.com/swarmgauge/swarmgauge/kibana"
	"github.com/swarmgauge/swarmgauge/shipper"
	"github.com/swarmgauge/swarmgauge/web"
)

// options are all settings. The precedence is flag, then environment, then default.
type options struct {
	// cAdvisor's, with its names, its defaults and its meaning.
	Port                       int
	ListenIP                   string
	HousekeepingInterval       time.Duration
	MaxHousekeepingInterval    time.Duration
	AllowDynamicHousekeeping   bool
	GlobalHousekeepingInterval time.Duration
	UpdateMachineInfoInterval  time.Duration
	StorageDuration            time.Duration
	DockerOnly                 bool
	RawCgroupPrefixes          string
	Docker                     string
	DockerTLS                  bool
	DockerTLSCert              string
	DockerTLSKey               string
	DockerTLSCA                string
	DockerRoot                 string
	Podman                     string
	Containerd                 string
	ContainerdNamespace        string
	MachineIDFile              string
	BootIDFile                 string
	MaxProcs                   int
	StorageDrivers             string // as given
	ESHost                     string
	ESIndex                    string
	EnableMetrics              string
	DisableMetrics             string
	EnableLoadReader           bool
	StoreContainerLabels       bool
	AllowedLabels              string
	EnvPrefixes                string
	DockerEnvPrefixes          string
	ContainerdEnvPrefixes      string
	PrometheusEndpoint         string
	URLBasePrefix              string
	AuthFile                   string
	AuthRealm                  string
	DigestFile                 string
	DigestRealm                string
	Profiling                  bool
	DisableRootStats           bool
	Verbosity                  int
	Version                    bool
	EventAgeLimit              string
	EventCountLimit            string

	// Our own.
	PodmanRoot     string
	ContainerdRun  string
	ProcRoot       string
	CgroupRoot     string
	SysRoot        string
	HostRoot       string
	NodeName       string
	NodeID         string
	ShipInterval   time.Duration
	SpoolDir       string
	SpoolBudget    byteSize
	SpoolReplay    time.Duration
	ESUser         string
	ESPasswordFile string
	ESAPIKeyFile   string
	ESCAFile       string
	ESTemplate     bool
	ESProductCheck bool
	Retention      age

	KibanaHost         string
	KibanaSpace        string
	KibanaUser         string
	KibanaPasswordFile string
	KibanaAPIKeyFile   string
	KibanaCAFile       string

	LogLevel      string
	LogFormat     string
	AuthPagesOnly bool
	AllowedHosts  string

	// StorageDriver is the one of StorageDrivers that documents wait for, or go to alone:
	// "elasticsearch", "stdout", or "" for none. They go to standard output as well if
	// PrintToo is set.
	StorageDriver string
	PrintToo      bool

	// ignored are cAdvisor's flags that were given and mean nothing here; unknown are
	// sentences about environment variables that belong to no option.
	ignored, unknown []string
	// passwordShown tells that there is a password in the command line.
	passwordShown bool
	// origins say where those options come from that aren't left at their defaults, by
	// name.
	origins map[string]string
}

const envPrefix = "SWARMGAUGE_"

// flags declares every option. Defaults are cAdvisor's for cAdvisor's options, with
// one exception that the usage text states.
func (o *options) flags(output io.Writer) *flag.FlagSet {
	fs := flag.NewFlagSet("agent", flag.ContinueOnError)
	fs.SetOutput(output)

	fs.IntVar(&o.Port, "port", 8080, "port of the HTTP server")
	fs.StringVar(&o.ListenIP, "listen_ip", "", "address of the HTTP server; empty for all")
	fs.DurationVar(&o.HousekeepingInterval, "housekeeping_interval", time.Second, "time between two samples of a container")
	fs.DurationVar(&o.MaxHousekeepingInterval, "max_housekeeping_interval", time.Minute, "longest time between two samples with -allow_dynamic_housekeeping")
	fs.BoolVar(&o.AllowDynamicHousekeeping, "allow_dynamic_housekeeping", false, "sample idle containers less often (cAdvisor: true; here a short spike is worth more than the CPU time that this saves)")
	fs.DurationVar(&o.GlobalHousekeepingInterval, "global_housekeeping_interval", time.Minute, "time after which the agent forgets what it knows of the cgroup tree and lists it anew, in case it was wrong; cgroups that come and go are noticed in every sweep")
	fs.DurationVar(&o.UpdateMachineInfoInterval, "update_machine_info_interval", 5*time.Minute, "time between looks at the machine itself")
	fs.DurationVar(&o.StorageDuration, "storage_duration", 2*time.Minute, "how long samples are kept in memory")
	fs.BoolVar(&o.DockerOnly, "docker_only", false, "leave out cgroups that no container runtime made, such as systemd units")
	fs.StringVar(&o.RawCgroupPrefixes, "raw_cgroup_prefix_whitelist", "", "comma-separated cgroup path prefixes: of the cgroups that no container runtime made, those are measured, even with -docker_only, and no others, even without it")
	fs.StringVar(&o.Docker, "docker", "unix:///var/run/docker.sock", "the engine's API; used for events, and on the leader of a Swarm for its state, if it answers; never needed")
	fs.BoolVar(&o.DockerTLS, "docker-tls", false, "use TLS to reach the engine")
	fs.StringVar(&o.DockerTLSCert, "docker-tls-cert", "cert.pem", "client certificate for -docker-tls")
	fs.StringVar(&o.DockerTLSKey, "docker-tls-key", "key.pem", "client key for -docker-tls")
	fs.StringVar(&o.DockerTLSCA, "docker-tls-ca", "ca.pem", "CA for -docker-tls")
	fs.StringVar(&o.DockerRoot, "docker_root", "/var/lib/docker", "the engine's data directory as the agent sees it, looked for below /host and /rootfs, too, where it isn't set; its folder containers tells who containers are, and the folders of layers and volumes, where they are mounted, what they take on disk")
	fs.StringVar(&o.Podman, "podman", "unix:///var/run/podman/podman.sock", "Podman's API; tells labels, states and health if it answers, never needed")
	fs.StringVar(&o.Containerd, "containerd", "/run/containerd/containerd.sock", "containerd's socket, looked for in /var/run, too, where it isn't set; tells labels, images and the time of creation if it answers, never needed")
	fs.StringVar(&o.ContainerdNamespace, "containerd-namespace", "k8s.io", "containerd's namespace: cgroups below a parent of that name are taken for its containers; others are known by their cgroups or by -containerd-run, all namespaces but Docker's")
	fs.StringVar(&o.MachineIDFile, "machine_id_file", "/etc/machine-id,/var/lib/dbus/machine-id", "comma-separated files that may hold the machine id, each looked for below -host-root first; the first good one counts")
	fs.StringVar(&o.BootIDFile, "boot_id_file", "", "comma-separated files that may hold the boot's id, each looked for below -host-root first; the first readable one counts (default sys/kernel/random/boot_id below -proc-root)")
	fs.IntVar(&o.MaxProcs, "max_procs", 0, "CPUs that the agent may use at once; 0 for one, which is all it needs (cAdvisor: all)")
	fs.StringVar(&o.StorageDrivers, "storage_driver", "", "where documents go: elasticsearch, stdout, both with a comma between them, or empty to keep them in the spool until there is an Elasticsearch; cAdvisor's others (bigquery, influxdb, kafka, redis, statsd) are accepted, and nothing is sent there")
	fs.StringVar(&o.ESHost, "storage_driver_es_host", "http://localhost:9200", "comma-separated URLs of Elasticsearch")
	fs.StringVar(&o.ESIndex, "storage_driver_es_index", kibana.DefaultPrefix, "prefix of the daily indices, and name of their alias and template")

	fs.StringVar(&o.EnableMetrics, "enable_metrics", "", "comma-separated groups of metrics that /metrics shows of containers, in place of all that -disable_metrics leaves; what is read of processes and sockets is read only if its group is on")
	fs.StringVar(&o.DisableMetrics, "disable_metrics", cadvisor.DisabledByDefault, "comma-separated groups of metrics that /metrics leaves out")
	fs.BoolVar(&o.EnableLoadReader, "enable_load_reader", false, "count tasks by their states, and average the load from them over 10 s (on cgroup v2, too)")
	fs.BoolVar(&o.StoreContainerLabels, "store_container_labels", true, "show all labels of containers on /metrics; with false, those in -whitelisted_container_labels alone")
	fs.StringVar(&o.AllowedLabels, "whitelisted_container_labels", "", "comma-separated keys of labels that /metrics shows with -store_container_labels=false")

	fs.StringVar(&o.EnvPrefixes, "env_metadata_whitelist", "", "comma-separated beginnings of keys: environment variables of containers that /metrics shows as labels; no other variable is ever kept")
	fs.StringVar(&o.DockerEnvPrefixes, "docker_env_metadata_whitelist", "", "the same for Docker's containers, where -env_metadata_whitelist isn't set")
	fs.StringVar(&o.ContainerdEnvPrefixes, "containerd_env_metadata_whitelist", "", "the same for containerd's containers, where -env_metadata_whitelist isn't set")

	fs.StringVar(&o.PrometheusEndpoint, "prometheus_endpoint", web.DefaultMetricsPath, "path of the metrics for Prometheus")
	fs.StringVar(&o.URLBasePrefix, "url_base_prefix", "", "path that stands before all others, such as /gauge behind a proxy")

	fs.StringVar(&o.EventAgeLimit, "event_storage_age_limit", "default=24h", "comma-separated list of type=time: how long events are kept for the API; types are default, containerCreation, containerDeletion, oom and oomKill")
	fs.StringVar(&o.EventCountLimit, "event_storage_event_limit", "default=100000", "comma-separated list of type=number: how many events are kept; 0 for none")

	fs.StringVar(&o.PodmanRoot, "podman-root", "/var/lib/containers", "Podman's data directory as the agent sees it, looked for below /host and /rootfs, too, where it isn't set; read are its folder storage/overlay-containers and, where it is mounted, for the size of layers storage/overlay")
	fs.StringVar(&o.ContainerdRun, "containerd-run", "/run/containerd", "containerd's state directory as the agent sees it, looked for in /var/run and below /host and /rootfs, too, where it isn't set; only its folder io.containerd.runtime.v2.task is read")
	o.httpFlags(fs)

	fs.StringVar(&o.ProcRoot, "proc-root", "/proc", "where the node's /proc is mounted; where it isn't set, the first that there is of /host/proc, /rootfs/proc and /proc")
	fs.StringVar(&o.CgroupRoot, "cgroup-root", "/sys/fs/cgroup", "where the node's /sys/fs/cgroup is mounted; where it isn't set, the first that there is of /host/sys/fs/cgroup, /rootfs/sys/fs/cgroup and /sys/fs/cgroup")
	fs.StringVar(&o.SysRoot, "sys-root", "/sys", "where the node's /sys is mounted; a container's own shows the same machine, but not the node's network interfaces; where it isn't set, the first that there is of /host/sys, /rootfs/sys and /sys")
	fs.StringVar(&o.HostRoot, "host-root", "", "where the node's / is mounted, if it is: gives the machine id, the distribution's name and all filesystems (default / where the agent isn't in a container, else /host or /rootfs if that is it)")
	fs.StringVar(&o.NodeName, "node-name", "", "name of this node in documents (default the host name)")
	fs.StringVar(&o.NodeID, "node-id", "", "Swarm id of this node (default what its tasks say)")
	fs.DurationVar(&o.ShipInterval, "ship-interval", 10*time.Second, "time that one document covers, a multiple of -housekeeping_interval; where it isn't set, the next one from 10 s on")
	fs.StringVar(&o.SpoolDir, "spool-dir", "/var/lib/swarmgauge", "where documents wait until Elasticsearch has them")
	o.SpoolBudget = 1 << 30
	fs.Var(&o.SpoolBudget, "spool-budget", "most disk space for waiting documents, as 500MiB or 2GiB; the oldest are dropped, counted, beyond it")
	fs.DurationVar(&o.SpoolReplay, "spool-replay", 30*time.Minute, "how long delivered documents are kept in what -spool-budget has to spare, so that \"agent replay\" can send them once more; 0 for not at all")
	fs.StringVar(&o.ESUser, "es-user", "", "user for Elasticsearch")
	fs.StringVar(&o.ESPasswordFile, "es-password-file", "", "file with the password of -es-user; read again when it changes")
	fs.StringVar(&o.ESAPIKeyFile, "es-api-key-file", "", "file with an API key, encoded or as id:key; read again when it changes")
	fs.StringVar(&o.ESCAFile, "es-ca-file", "", "file with the CA certificates for Elasticsearch; read again when it changes")
	fs.BoolVar(&o.ESTemplate, "es-template", true, "install the index template; with false it has to be there")
	fs.BoolVar(&o.ESProductCheck, "es-product-check", true, "refuse servers that don't say that they are Elasticsearch; false for OpenSearch and proxies")
	fs.Var(&o.Retention, "retention", "age, such as 30d, from which on daily indices are deleted, once a whole day is older than that; empty: nothing is ever deleted")
	o.kibanaFlags(fs)
	fs.StringVar(&o.LogLevel, "log-level", "info", "debug, info, warn or error")
	fs.StringVar(&o.LogFormat, "log-format", "auto", "console, json, or auto: console on a terminal")

	for name, kind := range ignoredFlags() {
		fs.Var(&ignoredFlag{name, kind, &o.ignored}, name, "accepted for cAdvisor's sake, without effect")
	}
	return fs
}

// parseOptions reads the command line and the environment. Errors are usageErrors of
// one sentence; flag.ErrHelp comes back as it is, the help having been printed.
func parseOptions(args, environ []string, stdout io.Writer) (*options, []string, error) {
	return parseOptionsAnd(args, environ, stdout, func(*options, *flag.FlagSet) {}, printOptions)
}

// parseOptionsAnd is parseOptions for a command that has options more, which declare adds, or
// a help of its own.
func parseOptionsAnd(args, environ []string, stdout io.Writer, declare func(*options, *flag.FlagSet), help func(*flag.FlagSet, io.Writer)) (*options, []string, error) {
	o := new(options)
	fs := o.flags(io.Discard)
	declare(o, fs)
	rest, err := o.parse(fs, args, environ, stdout, help)
	if err != nil {
		return nil, nil, err
	}
	return o, rest, nil
}

// parse is parseOptions for a set of flags that may have more than those of the options,
// and for a help of its own.
func (o *options) parse(fs *flag.FlagSet, args, environ []string, stdout io.Writer, help func(*flag.FlagSet, io.Writer)) (rest []string, err error) {
	if err := fs.Parse(normalize(fs, args)); err != nil {
		if errors.Is(err, flag.ErrHelp) {
			help(fs, stdout)
			return nil, err
		}
		return nil, usageError{explain(fs, err)}
	}
	o.passwordShown = redact(o.ESHost) != o.ESHost || redact(o.KibanaHost) != o.KibanaHost
	o.origins = map[string]string{}
	fs.Visit(func(f *flag.Flag) { o.origins[f.Name] = fromFlag })
	if o.Version {
		printCAdvisorVersion(stdout)
		return nil, flag.ErrHelp
	}
	if err := o.fromEnvironment(fs, environ); err != nil {
		return nil, usageError{err}
	}
	o.find(fs, "")
	o.derive()
	if err := o.check(); err != nil {
		return nil, usageError{err}
	}
	return fs.Args(), nil
}

// fromFlag is the origin of an option of the command line. Others are the name of the
// environment variable, found, or what the option follows from.
const fromFlag = "flag"

// normalize rewrites each flag whose name differs from a declared one only in '-' and
// '_', which are the same to us.
func normalize(fs *flag.FlagSet, args []string) []string {
	same := func(name string) string { return strings.ReplaceAll(name, "_", "-") }
	declared := map[string]string{}
	fs.VisitAll(func(f *flag.Flag) { declared[same(f.Name)] = f.Name })

	out := slices.Clone(args)
	for i, arg := range args {
		if arg == "--" || !strings.HasPrefix(arg, "-") {
			continue
		}
		name, value, hasValue := strings.Cut(strings.TrimLeft(arg, "-"), "=")
		if known, ok := declared[same(name)]; ok {
			out[i] = "-" + known
			if hasValue {
				out[i] += "=" + value
			}
		}
	}
	return out
}

// explain turns an error of package flag into a sentence that helps.
func explain(fs *flag.FlagSet, err error) error {
	const undefined = "flag provided but not defined: -"
	if name, ok := strings.CutPrefix(err.Error(), undefined); ok {
		var names []string
		fs.VisitAll(func(f *flag.Flag) { names = append(names, f.Name) })
		return fmt.Errorf("there is no option -%s; did you mean -%s? \"agent run -help\" lists all", name, nearest(name, names))
	}
	return explainValue(fs, err)
}

// fromEnvironment sets each option that the command line left alone from SWARMGAUGE_NAME,
// or from the file that SWARMGAUGE_NAME_FILE names.
func (o *options) fromEnvironment(fs *flag.FlagSet, environ []string) error {
	env := map[string]string{}
	for _, kv := range environ {
		if name, value, ok := strings.Cut(kv, "="); ok && strings.HasPrefix(name, envPrefix) {
			env[name] = value
		}
	}
	var errs []error
	var names []string
	fs.VisitAll(func(f *flag.Flag) {
		if f.Name == versionFlag {
			return // a question, and no setting
		}
		name := envName(f.Name)
		names = append(names, name)
		value, set := env[name]
		file, fromFile := env[name+"_FILE"]
		delete(env, name)
		delete(env, name+"_FILE")
		if o.origins[f.Name] == fromFlag || !set && !fromFile {
			return
		}
		if set && fromFile {
			errs = append(errs, fmt.Errorf("%s and %s_FILE are both set; keep one", name, name))
			return
		}
		o.origins[f.Name] = name
		if fromFile {
			o.origins[f.Name] = name + "_FILE (" + file + ")"
			content, err := os.ReadFile(file)
			if err != nil {
				errs = append(errs, fmt.Errorf("%s_FILE: %w", name, err))
				return
			}
			value = strings.TrimRight(string(content), "\r\n")
		}
		if err := fs.Set(f.Name, value); err != nil {
			errs = append(errs, fmt.Errorf("invalid value %q in %s: %s", value, o.origins[f.Name], right(f, err.Error())))
		}
	})
	for name := range env {
		o.unknown = append(o.unknown, fmt.Sprintf("there is no option for the environment variable %s; did you mean %s?", name, nearest(name, names)))
	}
	slices.Sort(o.unknown)
	return errors.Join(errs...)
}

func envName(flag string) string {
	return envPrefix + strings.ToUpper(strings.ReplaceAll(flag, "-", "_"))
}

// check refuses what can't work: a sentence for each fault.
func (o *options) check() error {
	var errs []error
	refuse := func(err error) { errs = append(errs, err) }
	refuseIf := func(is bool, format string, values ...any) {
		if is {
			refuse(fmt.Errorf(format, values...))
		}
	}
	oneOf := func(name, value string, valid ...string) {
		refuseIf(!slices.Contains(valid, value), "-%s can't be %q; did you mean %q? It is one of %s", name, value, nearest(value, valid), strings.Join(valid, ", "))
	}
	for driver := range strings.SplitSeq(o.StorageDrivers, ",") {
		if driver != "" && !slices.Contains(otherDrivers(), driver) { // nobody means these who writes something else
			oneOf("storage_driver", driver, "elasticsearch", "stdout")
		}
	}
	if _, err := o.groups(); err != nil {
		refuse(explainGroup(err))
	}
	if err := shipper.CheckIndexPrefix(o.ESIndex); err != nil {
		refuse(fmt.Errorf("-storage_driver_es_index can't be %q: %w", o.ESIndex, err))
	}
	if _, err := o.eventLimits(); err != nil {
		refuse(err)
	}
	var err error
	if o.URLBasePrefix, err = cleanPath("url_base_prefix", o.URLBasePrefix); err != nil {
		refuse(err)
	}
	if o.PrometheusEndpoint, err = cleanPath("prometheus_endpoint", o.PrometheusEndpoint); err != nil {
		refuse(err)
	} else {
		refuseIf(o.PrometheusEndpoint == "" || web.Reserved(o.PrometheusEndpoint),
			"-prometheus_endpoint can't be %q, which is taken; the usual one is %s", o.PrometheusEndpoint, web.DefaultMetricsPath)
	}
	if err := o.checkHTTP(); err != nil {
		refuse(err)
	}
	if err := o.checkKibana(); err != nil {
		refuse(err)
	}
	oneOf("log-level", o.LogLevel, "debug", "info", "warn", "error")
	oneOf("log-format", o.LogFormat, "auto", "console", "json")
	if o.HousekeepingInterval < 100*time.Millisecond {
		refuse(fmt.Errorf("-housekeeping_interval is %v; the shortest is 100ms", o.HousekeepingInterval))
	} else {
		refuseIf(o.ShipInterval%o.HousekeepingInterval != 0 || o.ShipInterval <= 0,
			"-ship-interval (%v) has to be a multiple of -housekeeping_interval (%v)", o.ShipInterval, o.HousekeepingInterval)
	}
	refuseIf(o.Port < 0 || o.Port > 65535, "-port is %d; a port is a number from 0 (any free one) to 65535", o.Port)
	if o.ESUser != "" && o.ESAPIKeyFile != "" {
		refuse(errors.New("-es-user and -es-api-key-file are both set; keep one"))
	} else {
		refuseIf((o.ESUser == "") != (o.ESPasswordFile == ""), "-es-user and -es-password-file belong together; set both or neither")
	}
	refuseIf(o.SpoolReplay < 0, "-spool-replay is %v; it is a time, or 0 for none", o.SpoolReplay)
	refuseIf(o.SpoolBudget < 1<<20, "-spool-budget is %v; the smallest is 1MiB", &o.SpoolBudget)
	if err := o.checkRanges(); err != nil {
		refuse(err)
	}
	return errors.Join(errs...)
}

// cleanPath returns a path with a slash at its beginning and none at its end, "" for the root.
func cleanPath(option, value string) (string, error) {
	clean := strings.TrimSuffix(path.Clean("/"+value), "/")
	if strings.ContainsFunc(clean, func(r rune) bool { return r <= ' ' || r > '~' || strings.ContainsRune("{}?#%", r) }) {
		return "", fmt.Errorf("-%s can't be %q: a path is of letters, digits, slashes, dots and dashes", option, value)
	}
	return clean, nil
}

// groups returns the groups of metrics that are on.
func (o *options) groups() (cadvisor.Groups, error) {
	return cadvisor.ParseGroups(o.EnableMetrics, o.DisableMetrics)
}

// procs returns GOMAXPROCS. The loop is one goroutine, and what compresses and sends runs
// between two of its sweeps: a second processor would be woken and put to sleep a few
// times a second for nothing. That cost a tenth of the agent's CPU time (100 µs against
// 88 for each sample of 100 bare cgroups, by schedstat over one run of 10 s each).
func (o *options) procs() int { return max(1, min(o.MaxProcs, runtime.NumCPU())) }

// printOptions prints every option that has an effect, and names the rest.
func printOptions(fs *flag.FlagSet, w io.Writer) {
	var others []string
	for _, c := range commands() {
		if c.name != "run" {
			others = append(others, c.name)
		}
	}
	fmt.Fprintf(w, "Usage: agent [run] [options]\n\nOther commands: %s. \"agent help\" says what they do.\n", strings.Join(others, ", "))
	fmt.Fprintln(w, "\nOptions, each also as an environment variable (and NAME_FILE for a file that holds the value):")
	var without []string
	fs.VisitAll(func(f *flag.Flag) {
		if _, ok := f.Value.(*ignoredFlag); ok {
			without = append(without, "-"+f.Name)
			return
		}
		printOption(f, w)
	})
	fmt.Fprintf(w, "\nAccepted for cAdvisor's sake, without effect: %s\n", strings.Join(without, " "))
}

func printOption(f *flag.Flag, w io.Writer) {
	fmt.Fprintf(w, "  -%s (%s)\n    \t%s", f.Name, envName(f.Name), f.Usage)
	if f.DefValue != "" && !strings.Contains(f.Usage, "(default") {
		fmt.Fprintf(w, " (default %s)", f.DefValue)
	}
	fmt.Fprintln(w)
}

// byteSize is a number of bytes that can be written with a unit.
type byteSize int64

var byteUnits = [...]struct {
	suffix string
	bytes  int64
}{{"KiB", 1 << 10}, {"MiB", 1 << 20}, {"GiB", 1 << 30}, {"TiB", 1 << 40}}

// Set parses "1073741824", "1GiB" or "1.5GiB".
func (b *byteSize) Set(s string) error {
	number, unit := s, int64(1)
	for _, u := range byteUnits {
		if head, ok := strings.CutSuffix(s, u.suffix); ok {
			number, unit = head, u.bytes
		}
	}
	v, err := strconv.ParseFloat(number, 64)
	if bytes := v * float64(unit); err != nil || !(bytes >= 0 && bytes <= 1<<62) { // not a number is neither
		return errors.New("a size is a number of bytes, or a number with KiB, MiB, GiB or TiB behind it")
	}
	*b = byteSize(v * float64(unit))
	return nil
}

// String returns the size in the largest unit that leaves a whole number.
func (b *byteSize) String() string {
	for _, u := range slices.Backward(byteUnits[:]) {
		if int64(*b) >= u.bytes && int64(*b)%u.bytes == 0 {
			return fmt.Sprintf("%d%s", int64(*b)/u.bytes, u.suffix)
		}
	}
	return fmt.Sprint(int64(*b))
}
