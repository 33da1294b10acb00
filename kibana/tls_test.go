package kibana

import (
	"encoding/pem"
	"io"
	"log"
	"net/http/httptest"
)

// quiet is a log that says nothing of the handshakes that are to fail.
func quiet() *log.Logger { return log.New(io.Discard, "", 0) }

// certificate returns that of a server, in PEM.
func certificate(s *httptest.Server) []byte {
	return pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: s.Certificate().Raw})
}
