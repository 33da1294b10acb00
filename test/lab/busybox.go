package lab

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"strings"
)

// Busybox returns a folder that is a root file system with a static busybox, for images.
func Busybox(ctx context.Context) (dir string, err error) { return busybox().get(ctx) }

// busybox is a folder with a static busybox, a link to it per applet in bin,
// and a tmp. It comes from Debian's package without installing that, as it
// would replace the dynamic busybox that many machines have.
func busybox() artefact {
	return artefact{
		name:   "busybox",
		recipe: "busybox-static into bin, links, tmp",
		build: func(ctx context.Context, path string) (err error) {
			temp, err := os.MkdirTemp("", "swarmgauge-busybox-")
			if err != nil {
				return err
			}
			defer func() { err = errors.Join(err, os.RemoveAll(temp)) }()
			if err := unpackPackage(ctx, "busybox-static", temp); err != nil {
				return err
			}
			packaged := filepath.Join(temp, "usr/bin/busybox")
			if !exists(packaged) { // up to bookworm
				packaged = filepath.Join(temp, "bin/busybox")
			}
			bin := filepath.Join(path, "bin")
			if err := errors.Join(os.MkdirAll(bin, 0o755), os.Mkdir(filepath.Join(path, "tmp"), 0o755)); err != nil {
				return err
			}
			binary := filepath.Join(bin, "busybox")
			if err := run(ctx, "cp", packaged, binary); err != nil {
				return err
			}
			applets, err := output(command(ctx, binary, "--list"))
			if err != nil {
				return err
			}
			for applet := range strings.FieldsSeq(applets) {
				if applet == "busybox" {
					continue
				}
				if err := os.Symlink("busybox", filepath.Join(bin, applet)); err != nil {
					return err
				}
			}
			return nil
		},
	}
}
