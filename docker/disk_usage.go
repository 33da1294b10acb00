package docker

import (
	"context"
	"fmt"

	"github.com/moby/moby/client"
	"github.com/moby/moby/client/pkg/versions"

	"github.com/swarmgauge/swarmgauge/metric"
)

// usageAPI is the version of the API from which on an engine can be asked for what images
// and the build cache take alone (Docker 23): volumes and containers it counts file by file.
const usageAPI = "1.42"

// DiskUsage asks the engine what it keeps on disk beside containers and volumes. The engine
// adds up what it has noted of each layer, but with the containerd image store counts the
// files of containers' layers: a call for once in an hour, which may take a minute.
func (e *Engine) DiskUsage(ctx context.Context) (*metric.EngineDisk, error) {
	if e.socket == nil {
		return nil, errNoSocket
	}
	c, err := e.socket.use(ctx)
	if err != nil {
		return nil, err
	}
	if v := c.ClientVersion(); versions.LessThan(v, usageAPI) {
		return nil, fmt.Errorf("the engine's API %s is older than %s, and would count the files of all volumes", v, usageAPI)
	}
	used, err := c.DiskUsage(ctx, client.DiskUsageOptions{Images: true, BuildCache: true})
	if err != nil {
		return nil, err
	}
	return &metric.EngineDisk{
		Images:                     used.Images.TotalCount,
		ImageBytes:                 max(used.Images.TotalSize, 0),
		ImageReclaimableBytes:      max(used.Images.Reclaimable, 0),
		BuildCacheBytes:            max(used.BuildCache.TotalSize, 0),
		BuildCacheReclaimableBytes: max(used.BuildCache.Reclaimable, 0),
	}, nil
}
