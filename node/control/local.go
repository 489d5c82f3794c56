package control

import (
	"context"
	"log/slog"
	"net"
	"sync"

	"github.com/entente-network/entente/node"
)

// Local returns a client of a node in this process, without a socket: for the commands that work while no node is running.
// Closing the client ends its server, not the node.
func Local(n *node.Node, home string) *Client {
	l := &memory{conns: make(chan net.Conn), done: make(chan struct{})}
	s := NewServer(n, home, slog.New(slog.DiscardHandler))
	go func() { _ = s.Serve(l) }()
	return newClient(l.dial, func() error {
		_ = s.http.Close()
		return l.Close()
	})
}

// memory is a listener whose connections are pipes.
type memory struct {
	conns chan net.Conn
	done  chan struct{}
	once  sync.Once
}

func (m *memory) dial(ctx context.Context, _, _ string) (net.Conn, error) {
	ours, theirs := net.Pipe()
	select {
	case m.conns <- theirs:
		return ours, nil
	case <-m.done:
		return nil, net.ErrClosed
	case <-ctx.Done():
		return nil, ctx.Err()
	}
}

// Accept implements net.Listener.
func (m *memory) Accept() (net.Conn, error) {
	select {
	case c := <-m.conns:
		return c, nil
	case <-m.done:
		return nil, net.ErrClosed
	}
}

// Close implements net.Listener.
func (m *memory) Close() error {
	m.once.Do(func() { close(m.done) })
	return nil
}

// Addr implements net.Listener.
func (m *memory) Addr() net.Addr { return &net.UnixAddr{Name: "memory", Net: "unix"} }
