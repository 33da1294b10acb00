package lab

import (
	"context"
	"fmt"
	"io"
	"os"
	"os/exec"
	"slices"
	"strings"
)

// ImportImage gives an image of the lab's own to the engine that the environment names
// (DOCKER_HOST), whosever it is: "node" is what a [Node] runs, "elasticsearch" is
// [ElasticsearchImage], "busybox" is [BusyboxImage]. The changes are as those of
// [Engine.Import].
func ImportImage(ctx context.Context, kind, image string, changes ...string) error {
	docker := func(ctx context.Context, args ...string) *exec.Cmd { return command(ctx, "docker", args...) }
	archive := func(rootfs artefact, own ...string) error {
		path, err := rootfs.get(ctx)
		if err != nil {
			return err
		}
		f, err := os.Open(path)
		if err != nil {
			return err
		}
		defer f.Close()
		return importTar(ctx, docker, image, f, slices.Concat(own, changes))
	}
	switch kind {
	case "node":
		return archive(Trixie.rootfs(), nodeVolume)
	case "elasticsearch":
		return archive(elasticsearchRootfs(), elasticsearchChanges()...)
	case "busybox":
		dir, err := busybox().get(ctx)
		if err != nil {
			return err
		}
		r, w := io.Pipe()
		go func() { w.CloseWithError(writeTar(w, []File{{Name: "/", Source: dir}})) }()
		defer r.Close()
		return importTar(ctx, docker, image, r, slices.Concat([]string{busyboxCommand}, changes))
	}
	return fmt.Errorf("no image %q: %s", kind, strings.Join(ImageKinds(), ", "))
}

// ImageKinds returns the kinds that [ImportImage] knows.
func ImageKinds() []string { return []string{"node", "elasticsearch", "busybox"} }
