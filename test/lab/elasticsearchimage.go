package lab

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"strings"
)

// ElasticsearchImage is the image that [Engine.KeepElasticsearchImage] makes.
const ElasticsearchImage = labImages + "elasticsearch"

// elasticsearchEntry does what stack files rely on in the official image: variables of the
// environment with dots in their names are settings, and a first argument "eswrapper", or
// none, means the server. Settings of a module that the stripped server lacks are left out.
// A shell hides variables of such names, so they come from where the kernel keeps them.
const elasticsearchEntry = `#!/bin/bash
set -e
if [ "${1:-eswrapper}" != eswrapper ]; then
	exec "$@"
fi
set --
while IFS= read -r -d '' variable; do
	case $variable in
	ingest.geoip.*) ;;
	[a-z]*.*=*) set -- "$@" "-E$variable" ;;
	esac
done < /proc/$$/environ
exec bin/elasticsearch "$@"
`

const elasticsearchImageConfig = `cluster.name: docker-cluster
network.host: 0.0.0.0
xpack.security.autoconfiguration.enabled: false
# The machine's fullness is not the server's business.
cluster.routing.allocation.disk.threshold_enabled: false
`

// elasticsearchRootfs is a tar archive of Debian with a Java run-time and the server, laid
// out as in the official image: /usr/share/elasticsearch, run by uid 1000.
func elasticsearchRootfs() artefact {
	server := elasticsearchHome(Elasticsearch8)
	args := []string{
		"--mode=root", "--format=tar", "--variant=minbase", "--quiet",
		"--include=default-jre-headless,ca-certificates,curl",
		"--dpkgopt=path-exclude=/usr/share/doc/*",
		"--dpkgopt=path-exclude=/usr/share/locale/*",
	}
	return artefact{
		name:   "rootfs-elasticsearch",
		recipe: strings.Join(append(args, server.recipe, elasticsearchEntry, elasticsearchImageConfig), " "),
		build: func(ctx context.Context, path string) (err error) {
			home, err := server.get(ctx)
			if err != nil {
				return err
			}
			temp, err := os.MkdirTemp("", "swarmgauge-image-")
			if err != nil {
				return err
			}
			defer func() { err = errors.Join(err, os.RemoveAll(temp)) }()
			staged := filepath.Join(temp, "elasticsearch")
			entry := filepath.Join(temp, "docker-entrypoint.sh")
			err = errors.Join(
				os.CopyFS(staged, os.DirFS(home)),
				os.MkdirAll(filepath.Join(staged, "data"), 0o755),
				os.MkdirAll(filepath.Join(staged, "logs"), 0o755),
				os.WriteFile(filepath.Join(staged, "config", "elasticsearch.yml"), []byte(elasticsearchImageConfig), 0o644),
				os.WriteFile(entry, []byte(elasticsearchEntry), 0o755),
			)
			if err != nil {
				return err
			}
			for _, setting := range aptTransport(ctx) {
				args = append(args, "--aptopt="+setting)
			}
			args = append(args,
				"--customize-hook=copy-in "+staged+" /usr/share",
				"--customize-hook=copy-in "+entry+" /usr/local/bin",
				`--customize-hook=echo "elasticsearch:x:1000:0::/usr/share/elasticsearch:/bin/bash" >> "$1/etc/passwd"`,
				`--customize-hook=chroot "$1" chown -R 1000:0 /usr/share/elasticsearch`,
				`--customize-hook=ln -s "$(dirname "$(dirname "$(chroot "$1" readlink -f /usr/bin/java)")")" "$1/usr/share/elasticsearch/jdk"`,
				string(Bookworm), path, mirror(ctx))
			cmd := command(ctx, "mmdebstrap", args...)
			endGently(cmd)
			_, err = output(cmd)
			return err
		},
	}
}

// elasticsearchChanges are the metadata of the image.
func elasticsearchChanges() []string {
	return []string{
		"WORKDIR /usr/share/elasticsearch",
		"USER 1000:0",
		"ENV ES_JAVA_HOME=/usr/share/elasticsearch/jdk",
		`ENTRYPOINT ["/usr/local/bin/docker-entrypoint.sh"]`,
		`CMD ["eswrapper"]`,
	}
}

// KeepElasticsearchImage makes [ElasticsearchImage], the server [Elasticsearch8] in a shape
// that the stack files of this repository take for the official image, unless the engine has
// it from an earlier run.
func (e *Engine) KeepElasticsearchImage(ctx context.Context) error {
	rootfs := elasticsearchRootfs()
	archive, err := rootfs.get(ctx)
	if err != nil {
		return err
	}
	return e.keepImageTar(ctx, ElasticsearchImage, rootfs.tag(), archive, elasticsearchChanges()...)
}
