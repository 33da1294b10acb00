package lab

import (
	"context"
	"errors"
	"os"
	"path/filepath"
)

// payloadUnit runs what the initramfs put into /payload, with the serial
// console as its output.
const payloadUnit = `[Unit]
After=docker.service
Wants=docker.service
[Service]
Type=oneshot
ExecStart=/payload/lab-run
StandardOutput=tty
StandardError=tty
TTYPath=/dev/ttyS0
[Install]
WantedBy=multi-user.target
`

// disk is an ext4 image of the suite's root file system, with the kernel's
// modules and a unit that runs the payload.
func (s Suite) disk() artefact {
	const size = "3G" // most of it sparse
	return artefact{
		name:   "disk-" + string(s),
		recipe: s.rootfs().tag() + kernel().tag() + size + payloadUnit,
		build: func(ctx context.Context, path string) (err error) {
			archive, err := s.rootfs().get(ctx)
			if err != nil {
				return err
			}
			kernel, err := kernel().get(ctx)
			if err != nil {
				return err
			}
			root := path + ".root"
			defer func() { err = errors.Join(err, os.RemoveAll(root)) }()
			if err := errors.Join(os.RemoveAll(root), unpackTar(ctx, archive, root)); err != nil {
				return err
			}
			modules := filepath.Join(kernel, "lib/modules")
			versions, err := os.ReadDir(modules)
			if err != nil {
				return err
			}
			unit := filepath.Join(root, "etc/systemd/system/lab.service")
			if err := os.WriteFile(unit, []byte(payloadUnit), 0o644); err != nil {
				return err
			}
			for _, step := range [][]string{
				{"cp", "-r", modules, filepath.Join(root, "usr/lib")},
				{"chroot", root, "depmod", versions[0].Name()},
				{"chroot", root, "systemctl", "enable", "--quiet", "docker.service", "lab.service"},
				{"mkfs.ext4", "-q", "-F", "-d", root, path, size},
			} {
				if err := run(ctx, step[0], step[1:]...); err != nil {
					return err
				}
			}
			return nil
		},
	}
}
