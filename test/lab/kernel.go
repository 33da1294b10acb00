package lab

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
)

// kernel is a folder with vmlinuz and lib/modules of Debian's newest cloud
// kernel for this machine's release, which isn't installed for that. The cloud
// kernel has serial console, NVMe and ext4 built in, so that virtual machines
// need no initramfs for their disks, and no modules to begin with.
func kernel() artefact {
	const metapackage = "linux-image-cloud-amd64"
	return artefact{
		name:   "kernel",
		recipe: metapackage,
		build: func(ctx context.Context, path string) (err error) {
			depends, err := output(command(ctx, "apt-cache", "depends", "--important", metapackage))
			if err != nil {
				return err
			}
			// linux-image-cloud-amd64
			//   Depends: linux-image-6.1.0-56-cloud-amd64
			_, name, found := strings.Cut(depends, "Depends: ")
			if !found {
				return fmt.Errorf("apt knows no package %s; `sudo apt-get update` fetches the lists", metapackage)
			}
			temp, err := os.MkdirTemp("", "swarmgauge-kernel-")
			if err != nil {
				return err
			}
			defer func() { err = errors.Join(err, os.RemoveAll(temp)) }()
			if err := unpackPackage(ctx, name, temp); err != nil {
				return err
			}
			modules := filepath.Join(temp, "usr/lib/modules")
			if !exists(modules) { // up to bookworm
				modules = filepath.Join(temp, "lib/modules")
			}
			images, err := filepath.Glob(filepath.Join(temp, "boot/vmlinuz-*"))
			if err != nil || len(images) != 1 {
				return fmt.Errorf("package %s has the kernels %v, want one (%v)", name, images, err)
			}
			lib := filepath.Join(path, "lib")
			return errors.Join(
				os.MkdirAll(lib, 0o755),
				run(ctx, "cp", images[0], filepath.Join(path, "vmlinuz")),
				run(ctx, "cp", "-r", modules, lib),
			)
		},
	}
}
