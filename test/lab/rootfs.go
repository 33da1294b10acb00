package lab

import (
	"context"
	"os"
	"strings"
)

// A Suite is a Debian release, by code name. It decides the version of Docker
// that a [Node] or a machine of [RunSystemd] runs.
type Suite string

const (
	Bookworm Suite = "bookworm" // Docker 20.10, API 1.41
	Trixie   Suite = "trixie"   // Docker 26.1, API 1.45
	Sid      Suite = "sid"      // the newest in Debian; 28.5, API 1.51, as this is written
)

// Suites returns the suites that the package knows.
func Suites() []Suite { return []Suite{Bookworm, Trixie, Sid} }

// rootfs is a tar archive of the suite with Docker and systemd: the root file
// system of a node (which runs only the engine) and of a virtual machine
// (which boots systemd).
func (s Suite) rootfs() artefact {
	include := "docker.io,iptables,iproute2,ca-certificates,busybox-static,systemd,systemd-sysv,dbus,kmod"
	if s != Bookworm {
		include += ",docker-cli"
	}
	if s == Sid {
		include += ",docker-compose" // version 2, a plugin of docker
	}
	args := []string{
		"--mode=root", "--format=tar", "--variant=minbase", "--quiet",
		"--include=" + include,
		// A third of the size would be what nobody here reads or calls.
		"--dpkgopt=path-exclude=/usr/share/doc/*",
		"--dpkgopt=path-exclude=/usr/share/man/*",
		"--dpkgopt=path-exclude=/usr/share/locale/*",
		"--dpkgopt=path-exclude=/usr/bin/ctr",
		"--dpkgopt=path-exclude=/usr/bin/dnet",
		"--dpkgopt=path-exclude=/usr/sbin/ovrouter",
		"--dpkgopt=path-exclude=/usr/bin/containerd-shim",
		"--dpkgopt=path-exclude=/usr/bin/containerd-shim-runc-v1",
	}
	if s == Sid {
		// A mirror that is refreshed rarely serves sid past its week of
		// validity. The signature is still checked.
		args = append(args, `--aptopt=Acquire::Check-Valid-Until "false"`)
	}
	return artefact{
		name:   "rootfs-" + string(s),
		recipe: strings.Join(args, " "),
		build: func(ctx context.Context, path string) error {
			args := args
			for _, setting := range aptTransport(ctx) {
				args = append(args, "--aptopt="+setting)
			}
			cmd := command(ctx, "mmdebstrap", append(args, string(s), path, mirror(ctx))...)
			endGently(cmd)
			_, err := output(cmd)
			return err
		},
	}
}

// unpackTar unpacks an archive with owners, modes and device nodes below a new
// folder.
func unpackTar(ctx context.Context, archive, dir string) error {
	if err := os.Mkdir(dir, 0o755); err != nil {
		return err
	}
	return run(ctx, "tar", "--extract", "--numeric-owner", "--file", archive, "--directory", dir)
}
