package docker

import (
	"context"
	"errors"
	"fmt"
	"strings"
)

// StorageDriver returns the engine's word for how it stores images and containers:
// "overlay2", or "overlayfs" with the containerd image store. The engine's socket tells it,
// else the one folder of its data root's folder image. The error is one sentence.
func (e *Engine) StorageDriver(ctx context.Context) (string, error) {
	asked := errNoSocket
	if e.socket != nil {
		info, err := e.socket.info(ctx)
		if err == nil {
			return clean(info.Driver, maxText), nil
		}
		asked = err
	}
	root, err := openDir(e.root)
	if err == nil {
		defer root.close()
		var image dir
		if image, err = root.sub("image"); err == nil {
			defer image.close()
			var names []string
			if names, err = image.names(); err == nil {
				if len(names) == 1 {
					return clean(names[0], maxText), nil
				}
				err = fmt.Errorf("%s/image has those of several drivers: %s", e.root, strings.Join(names, ", "))
			}
		}
	}
	return "", fmt.Errorf("neither the socket tells it (%w) nor the disk (%w)", errors.New(strings.ReplaceAll(asked.Error(), "\n", " ")), err)
}
