package web

import (
	"context"
	"io"
	"net/http"
	"strconv"
	"strings"
	"sync"

	"github.com/klauspost/compress/gzip"
	"go.uber.org/zap"
)

// Family is one family of metrics in the Prometheus text format 0.0.4.
type Family struct {
	Name string
	// Type is "counter" or "gauge".
	Type    string
	Help    string
	Samples []Point
}

// Point is one sample of a family.
type Point struct {
	// Label and Value are the one label that a sample may have; "" for none.
	Label, LabelValue string
	Value             float64
}

// metrics answers /metrics: the containers' families, then the agent's own.
type metrics struct {
	o Options
	// scrapes has what a request works with; a usual agent has one scrape at a time.
	scrapes sync.Pool
}

// scrape is one answer, and the memory that it takes, which goes to the next one. An answer is
// megabytes, and is never in memory as a whole: it is written piece by piece, while a piece is
// in the processor's cache.
type scrape struct {
	containers *containers // nil where none are shown
	piece      []byte
	deflater   *deflater
	gzip       *gzip.Writer // of OpenMetrics, for which few ask

	to          io.Writer
	compressed  bool
	openMetrics bool
	translated  []byte // a piece in OpenMetrics
}

// pieceSize is about how large pieces are: what gzip makes a block of.
const pieceSize = 64 << 10 // bytes

// write writes whole lines, a family's head with both of its own, and returns their memory for
// what comes next.
func (s *scrape) write(text []byte) []byte {
	switch {
	case s.openMetrics:
		s.translated = appendOpenMetrics(s.translated[:0], text)
		s.to.Write(s.translated) // the client went away: nobody to tell
	case s.compressed:
		s.deflater.write(text, s.containers)
	default:
		s.to.Write(text)
	}
	if s.containers != nil {
		s.containers.marks = s.containers.marks[:0]
	}
	return text[:0]
}

func newMetrics(o Options) *metrics {
	m := &metrics{o: o}
	m.scrapes.New = func() any {
		s := &scrape{}
		if o.Containers != nil {
			s.containers = newContainers(o.Containers)
		}
		s.deflater = newDeflater()
		s.gzip, _ = gzip.NewWriterLevel(nil, gzip.BestSpeed) // a level that there is
		return s
	}
	return m
}

func (m *metrics) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	asked, err := parseRequestOptions(r.URL.Query())
	if err != nil {
		http.Error(w, "No metrics gathered, last error:\n\n"+err.Error(), http.StatusInternalServerError)
		return
	}
	s := m.scrapes.Get().(*scrape)
	defer m.scrapes.Put(s)
	contentType := negotiate(strings.Join(r.Header.Values("Accept"), ","))
	s.to, s.openMetrics, s.compressed = w, contentType != textType, acceptsGzip(r.Header.Get("Accept-Encoding"))
	w.Header().Set("Content-Type", contentType)
	switch {
	case s.compressed && s.openMetrics:
		w.Header().Set("Content-Encoding", "gzip")
		s.gzip.Reset(w)
		defer s.gzip.Close()
		s.to = s.gzip
	case s.compressed:
		w.Header().Set("Content-Encoding", "gzip")
		s.deflater.reset(w)
		defer s.deflater.close()
	}
	m.fill(s, r.Context(), &asked)
}

// fill writes the answer.
func (m *metrics) fill(s *scrape, ctx context.Context, asked *requestOptions) {
	piece := s.piece[:0]
	if s.containers != nil {
		failed := 0.0
		var err error
		if piece, err = s.containers.append(ctx, piece, asked, s.write); err != nil {
			m.o.Log.Warn("a scrape got nothing of the containers", zap.Error(err))
			failed = 1
		}
		piece = appendFamilies(piece, []Family{{
			Name: "container_scrape_error", Type: "gauge", Samples: []Point{{Value: failed}},
			Help: "1 if there was an error while getting container metrics, 0 otherwise",
		}})
	}
	s.piece = s.write(appendFamilies(piece, m.o.Metrics()))
	if s.openMetrics {
		io.WriteString(s.to, openMetricsEnd)
	}
}

// acceptsGzip reads the header Accept-Encoding (RFC 9110, 12.5.3) as far as scrapers use it.
func acceptsGzip(header string) bool {
	for part := range strings.SplitSeq(header, ",") {
		coding, weight, _ := strings.Cut(part, ";")
		if strings.TrimSpace(coding) == "gzip" && strings.TrimSpace(weight) != "q=0" {
			return true
		}
	}
	return false
}

// appendHead appends the two lines before the series of a family.
func appendHead(dst []byte, name, kind, help string) []byte {
	dst = append(append(dst, "# HELP "...), name...)
	dst = append(append(dst, ' '), escapeHelp.Replace(help)...)
	dst = append(append(dst, "\n# TYPE "...), name...)
	dst = append(append(dst, ' '), kind...)
	return append(dst, '\n')
}

// appendFamilies appends the families to dst in the text format.
func appendFamilies(dst []byte, families []Family) []byte {
	for _, f := range families {
		dst = appendHead(dst, f.Name, f.Type, f.Help)
		for _, p := range f.Samples {
			dst = append(dst, f.Name...)
			if p.Label != "" {
				dst = append(appendLabel(append(dst, '{'), p.Label, p.LabelValue), '}')
			}
			dst = append(dst, ' ')
			dst = strconv.AppendFloat(dst, p.Value, 'g', -1, 64)
			dst = append(dst, '\n')
		}
	}
	return dst
}

var escapeHelp = strings.NewReplacer(`\`, `\\`, "\n", `\n`)
