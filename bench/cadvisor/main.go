// Command cadvisor is what cAdvisor does for its numbers, and nothing that it does with them:
// the manager of its own module, with the metrics that are on by default, without its pages,
// its API and its storage drivers, whose program is in a module that no proxy has. It takes
// the flags of that manager and of cAdvisor's Docker handler. GET /samples?since=NANOSECONDS
// counts the samples of Docker's containers that were taken since, as far as they are kept,
// which is two minutes.
package main

import (
	"flag"
	"fmt"
	"log"
	"net/http"
	"strconv"
	"time"

	"github.com/google/cadvisor/cache/memory"
	"github.com/google/cadvisor/container"
	_ "github.com/google/cadvisor/container/docker/install"
	info "github.com/google/cadvisor/info/v1"
	"github.com/google/cadvisor/manager"
	"github.com/google/cadvisor/utils/sysfs"
)

func main() {
	listen := flag.String("listen", "127.0.0.1:0", "address of the HTTP server")
	flag.Parse()
	// What cAdvisor has off by default (-disable_metrics).
	off := container.MetricSet{
		container.MemoryNumaMetrics: {}, container.NetworkTcpUsageMetrics: {}, container.NetworkUdpUsageMetrics: {},
		container.NetworkAdvancedTcpUsageMetrics: {}, container.ProcessSchedulerMetrics: {}, container.ProcessMetrics: {},
		container.HugetlbUsageMetrics: {}, container.ReferencedMemoryMetrics: {}, container.CPUTopologyMetrics: {},
		container.ResctrlMetrics: {}, container.CPUSetMetrics: {},
	}
	on := container.MetricSet{}
	for kind := range container.AllMetrics {
		if !off.Has(kind) {
			on[kind] = struct{}{}
		}
	}
	m, err := manager.New(memory.New(2*time.Minute, nil), sysfs.NewRealSysFs(),
		manager.HousekeepingConfigFlags, on, http.DefaultClient, []string{"/"}, nil, "", 0)
	if err != nil {
		log.Fatal(err)
	}
	if err := m.Start(); err != nil {
		log.Fatal(err)
	}
	http.HandleFunc("/samples", func(w http.ResponseWriter, r *http.Request) {
		since, err := strconv.ParseInt(r.FormValue("since"), 10, 64)
		if err != nil {
			http.Error(w, err.Error(), http.StatusBadRequest)
			return
		}
		containers, err := m.AllDockerContainers(&info.ContainerInfoRequest{NumStats: -1})
		if err != nil {
			http.Error(w, err.Error(), http.StatusInternalServerError)
			return
		}
		samples := 0
		for _, c := range containers {
			for _, s := range c.Stats {
				if s.Timestamp.UnixNano() >= since {
					samples++
				}
			}
		}
		fmt.Fprintln(w, samples)
	})
	log.Fatal(http.ListenAndServe(*listen, nil))
}
