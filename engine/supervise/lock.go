package supervise

import (
	"errors"
	"fmt"
	"hash/fnv"
	"net"
	"os"
	"path/filepath"
	"strings"
	"syscall"

	"github.com/ppx-engine/ppx-engine/ppx"
)

// ErrBusy says that another engine is connected to the endpoint.
var ErrBusy = errors.New("endpoint in use")

// LockEndpoint makes sure that no other engine on this machine talks to the same simulator: two would
// corrupt each other's traces. The lock ends with the file. Errors: ErrBusy.
func LockEndpoint(endpoint string) (*os.File, error) {
	dir := filepath.Join(os.TempDir(), fmt.Sprintf("ppx-locks-%d", os.Getuid()))
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return nil, err
	}
	h := fnv.New64a()
	_, _ = h.Write([]byte(Canonical(endpoint)))
	f, err := os.OpenFile(filepath.Join(dir, fmt.Sprintf("%x", h.Sum64())), os.O_CREATE|os.O_RDWR, 0o600)
	if err != nil {
		return nil, err
	}
	if err := syscall.Flock(int(f.Fd()), syscall.LOCK_EX|syscall.LOCK_NB); err != nil {
		f.Close()
		return nil, fmt.Errorf("%w: another ppx is connected to %s; a simulator serves one engine", ErrBusy, ppx.Quote(endpoint))
	}
	return f, nil
}

// Canonical is one name for an endpoint that can be written in several ways.
func Canonical(endpoint string) string {
	scheme, rest, _ := strings.Cut(endpoint, "://")
	switch {
	case scheme == "ipc" && !strings.HasPrefix(rest, "@"):
		if abs, err := filepath.Abs(rest); err == nil {
			rest = abs
		}
	case scheme == "tcp":
		if a, err := net.ResolveTCPAddr("tcp", rest); err == nil {
			rest = a.String()
		}
	}
	return scheme + "://" + rest
}
