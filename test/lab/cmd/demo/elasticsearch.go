package main

import (
	"context"
	"fmt"
	"net/http"
	"time"

	"github.com/swarmgauge/swarmgauge/test/lab"
)

// elasticsearch is a server, with a Kibana where there is one.
type elasticsearch struct {
	url, kibana string
	close       func() error
}

const (
	elasticsearchImage = "docker.elastic.co/elasticsearch/elasticsearch:8.19.7"
	kibanaImage        = "docker.elastic.co/kibana/kibana:8.19.7"
	elasticsearchName  = prefix + "elasticsearch"
	kibanaName         = prefix + "kibana"
)

// startElasticsearch runs the official images where they can be had, and else the server
// from Maven Central.
func startElasticsearch(ctx context.Context, e *engine) (*elasticsearch, error) {
	if e != nil && e.lab == nil {
		fmt.Println("Asking for the image of Elasticsearch …")
		limited, cancel := context.WithTimeout(ctx, 5*time.Minute)
		_, err := e.docker(limited, "pull", "--quiet", elasticsearchImage)
		cancel()
		if err == nil {
			return e.elasticsearchImages(ctx)
		}
		fmt.Println("No image can be pulled; the server comes from Maven Central.")
	}
	fmt.Println("Starting Elasticsearch …")
	server, err := lab.StartElasticsearch(ctx, lab.ElasticsearchConfig{})
	if err != nil {
		return nil, err
	}
	return &elasticsearch{url: server.URL(), close: server.Close}, nil
}

// elasticsearchImages runs Elasticsearch and Kibana as containers, which removeLoad removes.
func (e *engine) elasticsearchImages(ctx context.Context) (*elasticsearch, error) {
	es := &elasticsearch{url: "http://127.0.0.1:9200", close: func() error { return nil }}
	_, err := e.docker(ctx, "run", "--detach", "--name", elasticsearchName, "--label", label, "--network", network, "--publish", "127.0.0.1:9200:9200",
		"--env", "discovery.type=single-node", "--env", "xpack.security.enabled=false",
		"--env", "node.store.allow_mmap=false", "--env", "ES_JAVA_OPTS=-Xms512m -Xmx512m", elasticsearchImage)
	if err != nil {
		return nil, err
	}
	for range 120 {
		if response, err := http.Get(es.url); err == nil {
			response.Body.Close()
			break
		}
		time.Sleep(time.Second)
	}
	_, err = e.docker(ctx, "run", "--detach", "--name", kibanaName, "--label", label, "--network", network, "--publish", "127.0.0.1:5601:5601",
		"--env", "ELASTICSEARCH_HOSTS=http://"+elasticsearchName+":9200", kibanaImage)
	if err != nil {
		fmt.Println("No Kibana:", err)
	} else {
		es.kibana = "http://127.0.0.1:5601"
	}
	return es, nil
}
