package lab

import (
	"context"
	"fmt"
	"io"
	"os"
	"os/exec"
	"strings"
)

// BusyboxImage is an image with busybox in /bin, in every [Engine]. Debian's
// static build of it crashes in `wget -T`.
const BusyboxImage = labImages + "busybox"

// busyboxCommand is a change of [BusyboxImage].
const busyboxCommand = `CMD ["/bin/sh"]`

// labImages starts the names of images that an engine keeps for the next run.
const labImages = "lab/"

// recipeLabel is the label by which an outdated image is known.
const recipeLabel = "lab.recipe"

// Import makes an image of files. The changes are lines of a Dockerfile that
// set metadata, such as `ENTRYPOINT ["/agent"]`. For a static binary the files
// are all that there is: no shell, no libc, no certificates.
func (e *Engine) Import(ctx context.Context, image string, files []File, changes ...string) error {
	r, w := io.Pipe()
	go func() { w.CloseWithError(writeTar(w, files)) }()
	defer r.Close()
	return importTar(ctx, e.command, image, r, changes)
}

// dockerCommand makes a command of the docker client, for one engine.
type dockerCommand func(ctx context.Context, args ...string) *exec.Cmd

// importTar makes an image of a root file system in a tar archive.
func importTar(ctx context.Context, docker dockerCommand, image string, rootfs io.Reader, changes []string) error {
	args := []string{"import"}
	for _, c := range changes {
		args = append(args, "--change", c)
	}
	cmd := docker(ctx, append(args, "-", image)...)
	cmd.Stdin = rootfs
	if _, err := output(cmd); err != nil {
		return fmt.Errorf("image %s: %w", image, err)
	}
	return nil
}

// keepImage makes one of the lab's own images, unless the engine has it from an
// earlier run with the same recipe.
func (e *Engine) keepImage(ctx context.Context, image, recipe string, files []File, changes ...string) error {
	if e.hasImage(ctx, image, recipe) {
		return nil
	}
	return e.Import(ctx, image, files, append(changes, "LABEL "+recipeLabel+"="+recipe)...)
}

// keepImageTar is keepImage for an archive.
func (e *Engine) keepImageTar(ctx context.Context, image, recipe, archive string, changes ...string) error {
	if e.hasImage(ctx, image, recipe) {
		return nil
	}
	f, err := os.Open(archive)
	if err != nil {
		return err
	}
	defer f.Close()
	return importTar(ctx, e.command, image, f, append(changes, "LABEL "+recipeLabel+"="+recipe))
}

func (e *Engine) hasImage(ctx context.Context, image, recipe string) bool {
	// An image that isn't there is an error of the command.
	label, err := e.Docker(ctx, "image", "inspect", "--format", `{{index .Config.Labels "`+recipeLabel+`"}}`, image)
	return err == nil && label == recipe
}

// sweepImages removes all images but the lab's current ones.
func (e *Engine) sweepImages(ctx context.Context) error {
	list, err := e.Docker(ctx, "image", "ls", "--format", "{{.Repository}}:{{.Tag}} {{.ID}}")
	if err != nil {
		return err
	}
	remove := []string{"image", "rm", "--force"}
	for line := range strings.Lines(list) {
		name, id, _ := strings.Cut(strings.TrimSpace(line), " ")
		switch {
		case strings.HasPrefix(name, labImages):
		case strings.Contains(name, "<none>"): // an outdated image whose name went to its successor
			remove = append(remove, id)
		default:
			remove = append(remove, name)
		}
	}
	if len(remove) == 3 {
		return nil
	}
	_, err = e.Docker(ctx, remove...)
	return err
}
