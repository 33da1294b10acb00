package docker

import (
	"bytes"
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"time"

	"google.golang.org/protobuf/encoding/protowire"

	"github.com/swarmgauge/swarmgauge/metric"
)

// A containerdAPI asks containerd one question: what it knows of a container. The API is
// gRPC, which for one question and one answer is a POST over HTTP/2 whose bodies are
// messages behind five bytes (grpc: PROTOCOL-HTTP2.md); net/http does that, and the
// module of gRPC would make the agent half as large again.
type containerdAPI struct {
	path   string // of the socket
	client http.Client
}

func newContainerdAPI(path string) *containerdAPI {
	var protocols http.Protocols
	protocols.SetUnencryptedHTTP2(true)
	return &containerdAPI{path, http.Client{
		Timeout: askTimeout,
		Transport: &http.Transport{
			Protocols:       &protocols,
			IdleConnTimeout: time.Minute,
			DialContext: func(ctx context.Context, _, _ string) (net.Conn, error) {
				return new(net.Dialer).DialContext(ctx, "unix", path)
			},
		},
	}}
}

func (a *containerdAPI) close() { a.client.CloseIdleConnections() }

// containerdContainer is what is wanted of containerd's message Container: not the
// specification, whose environment holds secrets.
type containerdContainer struct {
	labels  map[string]string
	image   string
	created time.Time
}

// get asks about a container of a namespace; errNoContainer is one of its errors.
func (a *containerdAPI) get(ctx context.Context, namespace, id string) (*containerdContainer, error) {
	const method = "http://containerd/containerd.services.containers.v1.Containers/Get"
	message := protowire.AppendTag(make([]byte, grpcPrefix), 1, protowire.BytesType) // GetContainerRequest.id
	message = protowire.AppendString(message, id)
	binary.BigEndian.PutUint32(message[1:], uint32(len(message)-grpcPrefix))
	request, err := http.NewRequestWithContext(ctx, http.MethodPost, method, bytes.NewReader(message))
	if err != nil {
		return nil, err
	}
	request.Header.Set("Content-Type", "application/grpc")
	request.Header.Set("TE", "trailers")
	request.Header.Set("containerd-namespace", namespace)
	response, err := a.client.Do(request)
	if err != nil {
		return nil, fmt.Errorf("containerd doesn't answer at %s: %w", a.path, withoutURL(err))
	}
	defer response.Body.Close()
	body, err := io.ReadAll(io.LimitReader(response.Body, maxFile))
	if err != nil {
		return nil, fmt.Errorf("containerd at %s: %w", a.path, err)
	}
	defer clear(body) // the environment was in it
	status, why := response.Trailer.Get("Grpc-Status"), response.Trailer.Get("Grpc-Message")
	if status == "" { // an answer without a message has them in the header
		status, why = response.Header.Get("Grpc-Status"), response.Header.Get("Grpc-Message")
	}
	const ok, notFound = "0", "5"
	switch {
	case response.StatusCode != http.StatusOK || status == "":
		return nil, fmt.Errorf("what listens at %s isn't containerd: %s", a.path, response.Status)
	case status == notFound:
		return nil, fmt.Errorf("containerd at %s, namespace %q: %w", a.path, namespace, errNoContainer)
	case status != ok:
		return nil, fmt.Errorf("containerd at %s: status %s: %s", a.path, clean(status, maxText), clean(why, maxText))
	}
	c, err := decodeContainerd(body)
	if err != nil {
		return nil, fmt.Errorf("containerd at %s: %w", a.path, err)
	}
	return c, nil
}

// withoutURL returns the error behind one that has the address in its text.
func withoutURL(err error) error {
	var u *url.Error
	if errors.As(err, &u) {
		return u.Err
	}
	return err
}

// grpcPrefix is the length of what stands before a message: a byte that says whether it is
// compressed, and its length.
const grpcPrefix = 5

var errNotAMessage = errors.New("the answer about a container isn't one message")

// decodeContainerd reads a GetContainerResponse behind its prefix (containerd:
// api/services/containers/v1/containers.proto):
//
//	message GetContainerResponse { Container container = 1; }
//	message Container {
//	  string id = 1; map<string, string> labels = 2; string image = 3; …
//	  google.protobuf.Timestamp created_at = 8; …
//	}
//	message Timestamp { int64 seconds = 1; int32 nanos = 2; }
func decodeContainerd(b []byte) (*containerdContainer, error) {
	if len(b) < grpcPrefix || b[0] != 0 || uint64(binary.BigEndian.Uint32(b[1:])) != uint64(len(b)-grpcPrefix) {
		return nil, errNotAMessage
	}
	c := &containerdContainer{labels: map[string]string{}}
	container := func(number protowire.Number, b []byte, _ uint64) error {
		switch number {
		case 2:
			var entry [3]string // by field
			err := fields(b, func(number protowire.Number, b []byte, _ uint64) error {
				if number < 3 {
					entry[number] = string(b)
				}
				return nil
			})
			c.labels[entry[1]] = entry[2]
			return err
		case 3:
			c.image = string(b)
		case 8:
			var at [3]uint64 // by field
			err := fields(b, func(number protowire.Number, _ []byte, v uint64) error {
				if number < 3 {
					at[number] = v
				}
				return nil
			})
			c.created = time.Unix(int64(at[1]), int64(int32(at[2]))).UTC()
			return err
		}
		return nil
	}
	err := fields(b[grpcPrefix:], func(number protowire.Number, b []byte, _ uint64) error {
		if number != 1 {
			return nil
		}
		return fields(b, container)
	})
	if err != nil {
		return nil, err
	}
	return c, nil
}

// fields calls f for each field of a message, with its bytes or its varint.
func fields(b []byte, f func(number protowire.Number, b []byte, v uint64) error) error {
	for len(b) > 0 {
		number, kind, n := protowire.ConsumeTag(b)
		if n < 0 {
			return protowire.ParseError(n)
		}
		b = b[n:]
		var text []byte
		var v uint64
		switch kind {
		case protowire.BytesType:
			text, n = protowire.ConsumeBytes(b)
		case protowire.VarintType:
			v, n = protowire.ConsumeVarint(b)
		default:
			n = protowire.ConsumeFieldValue(number, kind, b)
		}
		if n < 0 {
			return protowire.ParseError(n)
		}
		b = b[n:]
		if err := f(number, text, v); err != nil {
			return err
		}
	}
	return nil
}

// container adds what the API told to what the bundle has, which may be nothing.
func (a *containerdContainer) container(bundled *metric.Container, path, id string) *metric.Container {
	c := bundled
	if c == nil {
		c = &metric.Container{Path: path, Runtime: runtimeContainerd, ID: id, Name: id}
	}
	if c.Name == id {
		c.Name = nameOf(a.labels, id)
	}
	if image := clean(a.image, maxText); image != "" {
		c.Image = image
	}
	c.Labels, c.Created = labels(a.labels), a.created
	return c
}
