package lab

import (
	"archive/zip"
	"bytes"
	"context"
	"crypto/pbkdf2"
	"crypto/rand"
	"crypto/sha512"
	"crypto/tls"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"maps"
	"net"
	"net/http"
	"net/netip"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"
)

// The versions of Elasticsearch that exist as a server without its JDK and most
// modules in Maven Central: the last of 7, and one of 8. There is none of 9.
const (
	Elasticsearch8 = "8.19.21"
	Elasticsearch7 = "7.17.29"
)

// ElasticsearchVersions returns the versions that the package knows.
func ElasticsearchVersions() []string { return []string{Elasticsearch8, Elasticsearch7} }

// ElasticsearchConfig says what a server shall be.
type ElasticsearchConfig struct {
	Version string     // Elasticsearch8 where empty
	Addr    netip.Addr // to listen on; 127.0.0.1 where invalid. Containers reach [Engine.Gateway]
	// Users turn security on. The first one is the superuser that
	// [ElasticsearchServer.Do] acts as; its Roles are ignored.
	Users []ElasticsearchUser
	// Certificate and Key, in PEM, turn TLS on, where there are Users.
	Certificate, Key []byte
	// Roles is the content of config/roles.yml, for the roles of Users.
	Roles string
	// Settings are further lines of elasticsearch.yml, by name. The stripped
	// server refuses the settings of modules that it lacks.
	Settings map[string]string
}

// ElasticsearchUser is a user of the file realm.
type ElasticsearchUser struct {
	Name, Password string
	Roles          []string
}

// ElasticsearchServer is a single-node server. It lacks most modules: no data
// streams, ILM, ingest or scripts; mappings, templates, bulk and aggregations
// are complete. Its methods Start, Stop, Kill and Close must not be called at
// the same time.
type ElasticsearchServer struct {
	config ElasticsearchConfig
	dir    string // the unpacked server with its config, data and logs
	port   int
	daemon *daemon // nil before the first start
	client http.Client
}

const (
	elasticsearchStart = 4 * time.Minute // ten seconds of two idle cores
	elasticsearchStop  = time.Minute
	// nobody is the unprivileged user of every Debian. The server refuses root.
	nobody = 65534
)

// elasticsearchHome is the unpacked server of a version.
func elasticsearchHome(version string) artefact {
	coordinates := "org.elasticsearch.distribution.integ-test-zip:elasticsearch:" + version + ":zip"
	return artefact{
		name:   "elasticsearch-" + version,
		recipe: coordinates,
		build: func(ctx context.Context, path string) (err error) {
			temp, err := os.MkdirTemp("", "swarmgauge-maven-")
			if err != nil {
				return err
			}
			defer func() { err = errors.Join(err, os.RemoveAll(temp)) }()
			err = run(ctx, "mvn", "--quiet", "--batch-mode", "dependency:copy", "-Dartifact="+coordinates, "-DoutputDirectory="+temp)
			if err != nil {
				return err
			}
			return unzip(filepath.Join(temp, "elasticsearch-"+version+".zip"), path)
		},
	}
}

// unzip unpacks an archive whose files all lie in one folder; dir becomes that
// folder.
func unzip(archive, dir string) (err error) {
	r, err := zip.OpenReader(archive)
	if err != nil {
		return err
	}
	defer r.Close()
	for _, f := range r.File {
		_, name, _ := strings.Cut(f.Name, "/")
		target := filepath.Join(dir, name)
		if !filepath.IsLocal(name) && name != "" {
			return fmt.Errorf("%s: unsafe name %q", archive, f.Name)
		}
		if f.Mode().IsDir() {
			err = os.MkdirAll(target, 0o755)
		} else {
			err = unzipFile(f, target)
		}
		if err != nil {
			return fmt.Errorf("%s: %s: %w", archive, f.Name, err)
		}
	}
	return nil
}

func unzipFile(f *zip.File, target string) error {
	r, err := f.Open()
	if err != nil {
		return err
	}
	defer r.Close()
	w, err := os.OpenFile(target, os.O_CREATE|os.O_EXCL|os.O_WRONLY, f.Mode().Perm())
	if err != nil {
		return err
	}
	_, err = io.Copy(w, r)
	return errors.Join(err, w.Close())
}

// StartElasticsearch starts a server on an empty data folder and free ports and
// waits until it is healthy. The end of ctx ends the waiting, not the server.
func StartElasticsearch(ctx context.Context, c ElasticsearchConfig) (s *ElasticsearchServer, err error) {
	if c.Version == "" {
		c.Version = Elasticsearch8
	}
	if !c.Addr.IsValid() {
		c.Addr = netip.AddrFrom4([4]byte{127, 0, 0, 1})
	}
	c.Users = slices.Clone(c.Users) // SetPassword changes them
	s = &ElasticsearchServer{config: c, client: http.Client{Transport: &http.Transport{
		// It asks the server that was started here, whatever its certificate says.
		TLSClientConfig: &tls.Config{InsecureSkipVerify: true},
	}}}
	home, err := elasticsearchHome(c.Version).get(ctx)
	if err != nil {
		return nil, err
	}
	if s.dir, err = os.MkdirTemp("", "swarmgauge-elasticsearch-"); err != nil {
		return nil, err
	}
	defer func() {
		if err != nil {
			err = errors.Join(err, s.Close())
		}
	}()
	// A whole copy, as the server runs as another user, who may not reach the
	// cache, and writes to its own folder.
	if err := errors.Join(os.CopyFS(s.dir, os.DirFS(home)), os.Mkdir(s.temp(), 0o755)); err != nil {
		return nil, err
	}
	if err := s.configure(); err != nil {
		return nil, err
	}
	return s, s.Start(ctx)
}

// ElasticsearchFor is [Need] and [StartElasticsearch] for a test, which ends
// the server with its own end.
func ElasticsearchFor(tb testing.TB, c ElasticsearchConfig) *ElasticsearchServer {
	tb.Helper()
	Need(tb, Elasticsearch)
	s, err := StartElasticsearch(tb.Context(), c)
	if err != nil {
		tb.Fatal(err)
	}
	closeAtEnd(tb, s)
	return s
}

// configure writes the server's configuration, beside the stock JVM and logging
// options, and gives its folder to nobody.
func (s *ElasticsearchServer) configure() error {
	ports, err := freePorts(s.config.Addr, 2)
	if err != nil {
		return err
	}
	s.port = ports[0]
	config := filepath.Join(s.dir, "config")
	settings := map[string]string{
		"cluster.name":           "lab",
		"node.name":              "lab",
		"discovery.type":         "single-node", // also waives the bootstrap checks
		"network.host":           s.config.Addr.String(),
		"http.port":              strconv.Itoa(ports[0]),
		"transport.port":         strconv.Itoa(ports[1]),
		"xpack.security.enabled": strconv.FormatBool(len(s.config.Users) > 0),
		"node.store.allow_mmap":  "false", // vm.max_map_count is the machine's own
		// The test machine's fullness is not the server's business.
		"cluster.routing.allocation.disk.threshold_enabled": "false",
	}
	if !strings.HasPrefix(s.config.Version, "7.") {
		settings["xpack.security.autoconfiguration.enabled"] = "false"
	}
	if len(s.config.Users) > 0 {
		settings["xpack.security.http.ssl.enabled"] = strconv.FormatBool(s.encrypted())
		settings["xpack.security.authc.realms.file.lab.order"] = "0"
	}
	if s.encrypted() {
		settings["xpack.security.http.ssl.certificate"] = certificateFile
		settings["xpack.security.http.ssl.key"] = keyFile
	}
	maps.Copy(settings, s.config.Settings)
	var yml strings.Builder
	for _, name := range slices.Sorted(maps.Keys(settings)) {
		fmt.Fprintf(&yml, "%s: %s\n", name, settings[name])
	}
	write := func(name, content string) {
		err = errors.Join(err, os.WriteFile(filepath.Join(config, name), []byte(content), 0o644))
	}
	write("elasticsearch.yml", yml.String())
	if len(s.config.Users) > 0 {
		users, memberships, hashErr := fileRealm(s.config.Users)
		err = errors.Join(err, hashErr)
		write("users", users)
		write("users_roles", memberships)
		write("roles.yml", s.config.Roles)
	}
	if s.encrypted() {
		write(certificateFile, string(s.config.Certificate))
		write(keyFile, string(s.config.Key))
	}
	if err != nil || os.Getuid() != 0 {
		return err
	}
	return filepath.WalkDir(s.dir, func(path string, _ fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		return os.Lchown(path, nobody, nobody)
	})
}

// The files of the server's certificate, in its folder config.
const (
	certificateFile = "http.crt"
	keyFile         = "http.key"
)

func (s *ElasticsearchServer) encrypted() bool { return len(s.config.Certificate) > 0 }

// SetCertificate gives the running server another certificate, both in PEM. It has it with
// its next look at the files, which resource.reload.interval.high spaces (5 s).
func (s *ElasticsearchServer) SetCertificate(certificate, key []byte) error {
	s.config.Certificate, s.config.Key = certificate, key
	return errors.Join(s.replace(keyFile, string(key)), s.replace(certificateFile, string(certificate)))
}

// SetPassword gives one of the server's users another password, as SetCertificate.
func (s *ElasticsearchServer) SetPassword(user, password string) error {
	for i := range s.config.Users {
		if s.config.Users[i].Name == user {
			s.config.Users[i].Password = password
		}
	}
	users, _, err := fileRealm(s.config.Users)
	return errors.Join(err, s.replace("users", users))
}

// SetRoles gives the server other roles, in the form of roles.yml, as SetCertificate.
func (s *ElasticsearchServer) SetRoles(roles string) error {
	s.config.Roles = roles
	return s.replace("roles.yml", roles)
}

// replace changes a file of the running server's configuration in one step.
func (s *ElasticsearchServer) replace(name, content string) error {
	path := filepath.Join(s.dir, "config", name)
	if err := os.WriteFile(path+".new", []byte(content), 0o644); err != nil {
		return err
	}
	return os.Rename(path+".new", path)
}

// fileRealm returns the files users (name:hash) and users_roles (role:names) of
// the file realm. They are written here because the server's own tool takes
// seconds per user.
//
// Source of the hash's form: Elasticsearch's Hasher, PBKDF2: prefix, cost,
// salt and HMAC-SHA512 key, both of 32 bytes in base64.
func fileRealm(users []ElasticsearchUser) (passwords, memberships string, err error) {
	const cost = 10_000
	var list, roles strings.Builder
	for i, u := range users {
		salt := make([]byte, 32)
		rand.Read(salt)
		key, err := pbkdf2.Key(sha512.New, u.Password, salt, cost, 32)
		if err != nil {
			return "", "", err
		}
		base := base64.StdEncoding
		fmt.Fprintf(&list, "%s:{PBKDF2}%d$%s$%s\n", u.Name, cost, base.EncodeToString(salt), base.EncodeToString(key))
		if i == 0 {
			u.Roles = []string{"superuser"}
		}
		for _, role := range u.Roles {
			fmt.Fprintf(&roles, "%s:%s\n", role, u.Name)
		}
	}
	return list.String(), roles.String(), nil
}

// freePorts returns ports that nobody listens on at this moment.
func freePorts(addr netip.Addr, n int) ([]int, error) {
	ports := make([]int, n)
	for i := range ports {
		l, err := net.ListenTCP("tcp", net.TCPAddrFromAddrPort(netip.AddrPortFrom(addr, 0)))
		if err != nil {
			return nil, err
		}
		defer l.Close() // only at the end, so that all are different
		ports[i] = l.Addr().(*net.TCPAddr).Port
	}
	return ports, nil
}

// Start starts a stopped or killed server again, on the same data and port, and
// waits until it is healthy.
func (s *ElasticsearchServer) Start(ctx context.Context) error {
	if s.daemon != nil && !s.daemon.ended() {
		return errors.New("elasticsearch runs already")
	}
	java, err := javaHome()
	if err != nil {
		return err
	}
	cmd := command(context.Background(), filepath.Join(s.dir, "bin", "elasticsearch"), "-p", s.pidFile())
	cmd.Dir = s.dir
	// The second compiler would take half of the processor time of a start, for
	// a speed that nobody needs.
	const options = "-Xms512m -Xmx512m -XX:TieredStopAtLevel=1 -XX:-UsePerfData"
	cmd.Env = append(cmd.Env, "ES_JAVA_HOME="+java, "JAVA_HOME="+java,
		"ES_JAVA_OPTS="+options, "HOME="+s.dir, "ES_TMPDIR="+s.temp(),
		"CLI_JAVA_OPTS=-Djava.io.tmpdir="+s.temp())
	if os.Getuid() == 0 {
		cmd.SysProcAttr = &syscall.SysProcAttr{Credential: &syscall.Credential{Uid: nobody, Gid: nobody}}
	}
	if s.daemon, err = startDaemon(cmd, filepath.Join(s.dir, "output.log")); err != nil {
		return fmt.Errorf("start elasticsearch: %w", err)
	}
	ctx, cancel := context.WithTimeout(ctx, elasticsearchStart)
	defer cancel()
	return s.daemon.waitFor(ctx, func(ctx context.Context) error {
		_, err := s.Do(ctx, http.MethodGet, "/_cluster/health?wait_for_status=yellow&timeout=1s", nil)
		return err
	})
}

// javaHome returns the folder of the Java run-time that this machine has.
func javaHome() (string, error) {
	if home := os.Getenv("JAVA_HOME"); home != "" {
		return home, nil
	}
	java, err := lookPath("java")
	if err != nil {
		return "", err
	}
	java, err = filepath.EvalSymlinks(java)
	return filepath.Dir(filepath.Dir(java)), err
}

// temp is the folder for the server's own temporary files. It would leave them
// behind in the system's.
func (s *ElasticsearchServer) temp() string { return filepath.Join(s.dir, "temp") }

// pidFile is where the server writes its process id.
func (s *ElasticsearchServer) pidFile() string { return filepath.Join(s.temp(), "pid") }

// tidy removes the socket that a killed Java leaves in the system's folder for temporary
// files, which isn't to be had elsewhere.
func (s *ElasticsearchServer) tidy() {
	if pid, err := os.ReadFile(s.pidFile()); err == nil {
		os.Remove("/tmp/.java_pid" + strings.TrimSpace(string(pid)))
	}
}

// Stop ends the server in order. Its data stays for [ElasticsearchServer.Start].
func (s *ElasticsearchServer) Stop() error { return s.daemon.stop(elasticsearchStop) }

// Kill ends the server at once, as a crash would. Its data stays.
func (s *ElasticsearchServer) Kill() error {
	err := s.daemon.kill()
	s.tidy()
	return err
}

// Close ends the server and removes its data.
func (s *ElasticsearchServer) Close() error {
	var err error
	if s.daemon != nil {
		err = s.Kill()
	}
	s.client.CloseIdleConnections()
	return errors.Join(err, os.RemoveAll(s.dir))
}

// Config returns what the server was made with.
func (s *ElasticsearchServer) Config() ElasticsearchConfig { return s.config }

// URL returns the server's address as http://host:port, or https://, which it keeps over
// Stop and Start.
func (s *ElasticsearchServer) URL() string {
	scheme := "http://"
	if s.encrypted() {
		scheme = "https://"
	}
	return scheme + net.JoinHostPort(s.config.Addr.String(), strconv.Itoa(s.port))
}

// A StatusError is an HTTP answer that isn't a success.
type StatusError struct {
	Status int
	Body   string
}

func (e *StatusError) Error() string { return fmt.Sprintf("status %d: %s", e.Status, tail(e.Body)) }

// Do sends a request as the superuser and returns the decoded JSON answer:
// map[string]any for an object, float64 for numbers. The body is sent as it is
// if it is a string (which makes `_bulk` easy), else as JSON; nil sends none. Any
// status but a success is a [*StatusError].
func (s *ElasticsearchServer) Do(ctx context.Context, method, path string, body any) (any, error) {
	var content []byte
	switch b := body.(type) {
	case nil:
	case string:
		content = []byte(b)
	default:
		var err error
		if content, err = json.Marshal(b); err != nil {
			return nil, err
		}
	}
	req, err := http.NewRequestWithContext(ctx, method, s.URL()+path, bytes.NewReader(content))
	if err != nil {
		return nil, err
	}
	if body != nil {
		req.Header.Set("Content-Type", "application/json")
	}
	if len(s.config.Users) > 0 {
		req.SetBasicAuth(s.config.Users[0].Name, s.config.Users[0].Password)
	}
	resp, err := s.client.Do(req)
	if err != nil {
		return nil, err
	}
	defer resp.Body.Close()
	answer, err := io.ReadAll(resp.Body)
	if err != nil {
		return nil, fmt.Errorf("%s %s: %w", method, path, err)
	}
	if resp.StatusCode/100 != 2 {
		return nil, fmt.Errorf("%s %s: %w", method, path, &StatusError{resp.StatusCode, string(answer)})
	}
	var decoded any
	if err := json.Unmarshal(answer, &decoded); err != nil {
		return nil, fmt.Errorf("%s %s: %w in %s", method, path, err, tail(string(answer)))
	}
	return decoded, nil
}
