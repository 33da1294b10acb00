package lab

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"runtime"
	"slices"
	"strings"
	"testing"
	"time"
)

// A Part is a group of functions of the package, by what it needs of the machine.
type Part int

const (
	Docker         Part = iota // StartEngine
	Nodes                      // Engine.StartNodes; includes Docker
	Elasticsearch              // StartElasticsearch
	Initramfs                  // RunInitramfs
	Systemd                    // RunSystemd; includes Initramfs
	Prometheus                 // StartPrometheus
	PodmanPart                 // StartPodman
	ContainerdPart             // StartContainerd; includes PodmanPart
	Images                     // ImportImage, Engine.KeepElasticsearchImage
	Classes                    // RunOnElasticsearch; includes Elasticsearch
	numParts
)

// Parts returns all parts.
func Parts() []Part {
	parts := make([]Part, numParts)
	for i := range parts {
		parts[i] = Part(i)
	}
	return parts
}

func (p Part) String() string {
	return [...]string{"docker", "nodes", "elasticsearch", "initramfs", "systemd", "prometheus", "podman", "containerd", "images", "classes"}[p]
}

// tool is a command and the Debian packages that have it; the first of them
// that the release knows is the one to install.
type tool struct {
	command  string
	packages []string
}

func (p Part) tools() []tool {
	switch p {
	case Docker:
		return []tool{
			{"dockerd", []string{"docker.io"}},
			{"docker", []string{"docker-cli", "docker.io"}}, // apart from trixie on
			{"iptables", []string{"iptables"}},
			{"ip", []string{"iproute2"}},
			{"unshare", []string{"util-linux"}},
			{"dpkg-deb", []string{"dpkg"}},
		}
	case Nodes:
		return append(Docker.tools(), tool{"mmdebstrap", []string{"mmdebstrap"}})
	case Elasticsearch:
		return []tool{
			{"java", []string{"default-jre-headless"}},
			{"mvn", []string{"maven"}},
		}
	case Classes:
		return append(Elasticsearch.tools(), tool{"javac", []string{"default-jdk-headless"}})
	case Images:
		return []tool{
			{"mmdebstrap", []string{"mmdebstrap"}},
			{"mvn", []string{"maven"}},
			{"dpkg-deb", []string{"dpkg"}},
		}
	case Initramfs:
		return []tool{
			{"qemu-system-x86_64", []string{"qemu-system-x86"}},
			{"dpkg-deb", []string{"dpkg"}},
		}
	case Systemd:
		return append(Initramfs.tools(),
			tool{"mmdebstrap", []string{"mmdebstrap"}},
			tool{"mkfs.ext4", []string{"e2fsprogs"}},
			tool{"chroot", []string{"coreutils"}})
	case PodmanPart:
		return []tool{
			{"podman", []string{"podman"}}, // which brings conmon, and crun or runc
			{"umount", []string{"mount"}},
			{"dpkg-deb", []string{"dpkg"}},
		}
	case ContainerdPart:
		return append(PodmanPart.tools(), tool{"containerd", []string{"containerd"}}, tool{"ctr", []string{"containerd"}}, tool{"runc", []string{"runc"}})
	case Prometheus:
		return []tool{{"dpkg-deb", []string{"dpkg"}}}
	}
	panic(fmt.Sprintf("lab: no part %d", p))
}

// needsRoot tells whether the part works for root only.
func (p Part) needsRoot() bool {
	switch p {
	case Docker, Nodes, Systemd, PodmanPart, ContainerdPart, Images:
		return true
	}
	return false
}

// missing returns the Debian packages that the parts lack.
func missing(ctx context.Context, parts []Part) []string {
	var packages []string
	for _, p := range parts {
		for _, t := range p.tools() {
			if _, err := lookPath(t.command); err == nil {
				continue
			}
			name := t.packages[len(t.packages)-1]
			for _, candidate := range t.packages {
				if run(ctx, "apt-cache", "show", candidate) == nil {
					name = candidate
					break
				}
			}
			packages = append(packages, name)
		}
	}
	slices.Sort(packages)
	return slices.Compact(packages)
}

// lacking is the error of a machine that lacks something, and on which it may not be
// installed. It says what a person has to run.
type lacking string

func (l lacking) Error() string { return string(l) }

// needsRights says that the parts need root, and how they get it.
func needsRights(parts []Part) lacking {
	return lacking(fmt.Sprintf("the lab's %v need root: run the same command as root, as in `sudo -E env PATH=\"$PATH\" make test`", parts))
}

// Install installs the Debian packages that the parts lack; it does nothing
// where all are there. Services of these packages are not started. An error
// for want of rights says what a person has to run.
func Install(ctx context.Context, parts ...Part) error {
	if runtime.GOARCH != "amd64" {
		return lacking("the lab is made for amd64, this machine is " + runtime.GOARCH)
	}
	packages := missing(ctx, parts)
	if len(packages) > 0 {
		if _, err := lookPath("apt-get"); err != nil {
			return lacking("the lab needs Debian's packages " + strings.Join(packages, " ") + ", and this machine has no apt-get")
		}
		if os.Getuid() != 0 {
			return lacking("missing packages: run `sudo apt-get update && sudo apt-get install -y --no-install-recommends " + strings.Join(packages, " ") + "`")
		}
		if err := aptInstall(ctx, packages); err != nil {
			return err
		}
	}
	if os.Getuid() != 0 && slices.ContainsFunc(parts, Part.needsRoot) {
		return needsRights(parts)
	}
	return nil
}

// Prepare installs what the parts need and makes everything that they keep in
// [CacheDir], so that later starts take seconds.
func Prepare(ctx context.Context, parts ...Part) error {
	if err := Install(ctx, parts...); err != nil {
		return err
	}
	var wanted []artefact
	for _, p := range parts {
		switch p {
		case Docker, PodmanPart, ContainerdPart:
			wanted = append(wanted, busybox())
		case Nodes:
			wanted = append(wanted, busybox())
			for _, s := range Suites() {
				wanted = append(wanted, s.rootfs())
			}
		case Elasticsearch, Classes:
			for _, v := range ElasticsearchVersions() {
				wanted = append(wanted, elasticsearchHome(v))
			}
		case Images:
			wanted = append(wanted, busybox(), Trixie.rootfs(), elasticsearchHome(Elasticsearch8), elasticsearchRootfs())
		case Initramfs:
			wanted = append(wanted, busybox(), kernel())
		case Systemd:
			wanted = append(wanted, kernel(), Bookworm.disk())
		case Prometheus:
			wanted = append(wanted, PrometheusOfDebian.binary(), Prometheus3.binary())
		}
	}
	return makeAll(ctx, wanted)
}

// PreparePossible is Prepare for a machine that may lack something that can't be installed
// for want of rights: it prepares the parts that can be had, and lacks says which can't, and
// what a person has to run; "" where all can. With CI=true in the environment that is an
// error, as it is for [Need].
func PreparePossible(ctx context.Context, parts ...Part) (lacks string, err error) {
	why, ok := errors.AsType[lacking](Install(ctx, parts...))
	if !ok {
		return "", Prepare(ctx, parts...)
	}
	if os.Getenv("CI") == "true" {
		return "", why
	}
	var possible, others []Part
	for _, p := range parts {
		if Install(ctx, p) == nil {
			possible = append(possible, p)
		} else {
			others = append(others, p)
		}
	}
	lacks = fmt.Sprintf("%v can't be had here, so their tests SKIP: %v", others, why)
	if rights := needsRights(others); os.Getuid() != 0 && why != rights {
		lacks += fmt.Sprintf("; %v; on Debian that installs what is missing, too", rights)
	}
	return lacks, Prepare(ctx, possible...)
}

// installTime bounds what Need may spend on packages.
const installTime = 5 * time.Minute

// closeAtEnd closes what a test has started with the test's own end.
func closeAtEnd(tb testing.TB, part io.Closer) {
	tb.Cleanup(func() {
		if err := part.Close(); err != nil {
			tb.Error(err)
		}
	})
}

// Need is the gate of every test that uses the package. It installs what the
// parts lack where it may (root on Debian); elsewhere it skips the test with
// the sentence that a person has to follow. With CI=true in the environment
// nothing is skipped for want of parts: the test fails instead. `go test
// -short` skips always; that is its reader's explicit wish.
func Need(tb testing.TB, parts ...Part) {
	tb.Helper()
	if testing.Short() {
		tb.Skipf("needs the lab's %v: run without -short", parts)
	}
	ctx, cancel := context.WithTimeout(tb.Context(), installTime)
	defer cancel()
	if err := Install(ctx, parts...); err != nil {
		Lack(tb, err.Error())
	}
}
