package lab

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
)

// defaultMirror serves where apt's configuration names no Debian mirror.
const defaultMirror = "http://deb.debian.org/debian"

// mirror returns the Debian mirror that this machine's apt uses.
func mirror(ctx context.Context) string {
	// Machines other than Debian have no such index, or no apt at all.
	list, err := output(command(ctx, "apt-get", "indextargets", "--format", "$(REPO_URI)",
		"Created-By: Packages", "Origin: Debian", "Label: Debian"))
	if err != nil || list == "" {
		return defaultMirror
	}
	first, _, _ := strings.Cut(list, "\n")
	return strings.TrimSuffix(first, "/")
}

// aptTransport returns this machine's apt settings for HTTP, such as a proxy,
// as configuration lines.
func aptTransport(ctx context.Context) []string {
	dump, err := output(command(ctx, "apt-config", "--format", `%F "%v";%n`, "--no-empty",
		"dump", "Acquire::http", "Acquire::https"))
	if err != nil || dump == "" {
		return nil
	}
	return strings.Split(dump, "\n")
}

// aptInstall installs packages without starting their services.
func aptInstall(ctx context.Context, packages []string) (err error) {
	// Two test binaries may find the same package missing.
	unlock, err := lockFile(ctx, filepath.Join(os.TempDir(), "swarmgauge-lab-apt.lock"))
	if err != nil {
		return err
	}
	defer unlock()
	if err := run(ctx, "apt-get", "update", "-q"); err != nil {
		return err
	}
	allow, err := denyServices()
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, allow()) }()
	args := append([]string{"install", "-q", "-y", "--no-install-recommends"}, packages...)
	cmd := command(ctx, "apt-get", args...)
	cmd.Env = append(cmd.Env, "DEBIAN_FRONTEND=noninteractive")
	endGently(cmd) // a killed dpkg leaves a half-configured machine
	_, err = output(cmd)
	return err
}

// denyServices makes maintainer scripts leave services alone until allow is
// called: an engine that the package starts would be one more to clean up.
// A policy that the machine has already is its owner's, and stays.
func denyServices() (allow func() error, err error) {
	const policy = "/usr/sbin/policy-rc.d" // invoke-rc.d(8): exit status 101 forbids the action
	f, err := os.OpenFile(policy, os.O_CREATE|os.O_EXCL|os.O_WRONLY, 0o755)
	if errors.Is(err, fs.ErrExist) {
		return func() error { return nil }, nil
	}
	if err != nil {
		return nil, err
	}
	_, err = f.WriteString("#!/bin/sh\nexit 101\n")
	if err = errors.Join(err, f.Close()); err != nil {
		return nil, errors.Join(err, os.Remove(policy))
	}
	return func() error { return os.Remove(policy) }, nil
}

// unpackPackage downloads a Debian package and unpacks its files below dir,
// without installing it.
func unpackPackage(ctx context.Context, name, dir string) error {
	temp, err := os.MkdirTemp("", "swarmgauge-deb-")
	if err != nil {
		return err
	}
	defer os.RemoveAll(temp)
	download := command(ctx, "apt-get", "download", "-q", name)
	download.Dir = temp
	if _, err := output(download); err != nil {
		return fmt.Errorf("%w (are the package lists there and fresh? `sudo apt-get update` fetches them)", err)
	}
	debs, err := filepath.Glob(filepath.Join(temp, "*.deb"))
	if err != nil || len(debs) != 1 {
		return fmt.Errorf("apt-get download %s left %d packages, want one (%v)", name, len(debs), err)
	}
	return run(ctx, "dpkg-deb", "--extract", debs[0], dir)
}
