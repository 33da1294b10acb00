package lab

import (
	"context"
	"path/filepath"
)

// RunOnElasticsearch runs a Java program, the file source with these arguments, on the classes
// of [Elasticsearch8] and of its x-pack-core, and returns what it prints. So Elasticsearch's own
// code can judge what is meant for a module that [ElasticsearchServer] lacks.
func RunOnElasticsearch(ctx context.Context, source string, args ...string) (string, error) {
	home, err := elasticsearchHome(Elasticsearch8).get(ctx)
	if err != nil {
		return "", err
	}
	classes := filepath.Join(home, "lib", "*") + ":" + filepath.Join(home, "modules", "x-pack-core", "*")
	return output(command(ctx, "java", append([]string{"-cp", classes, source}, args...)...))
}
