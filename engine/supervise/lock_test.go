package supervise

import (
	"os"
	"path/filepath"
	"testing"
)

// One simulator has one name, however its endpoint is written: two engines must not both talk to it. Two simulators have
// two.
func TestEndpointsHaveOneName(t *testing.T) {
	dir := t.TempDir()
	t.Chdir(dir)
	dir, err := os.Getwd() // as the system names it
	if err != nil {
		t.Fatal(err)
	}
	for name, same := range map[string][]string{
		"ipc://" + dir + "/s":    {"ipc://s", "ipc://./s", "ipc://" + dir + "/s", "ipc://" + dir + "//x/../s", "ipc://../" + filepath.Base(dir) + "/s"},
		"ipc://@s":               {"ipc://@s"}, // no file
		"ipc://@./s":             {"ipc://@./s"},
		"tcp://127.0.0.1:5555":   {"tcp://127.0.0.1:5555", "tcp://127.0.0.1:05555", "tcp://[::ffff:127.0.0.1]:5555"},
		"tcp://[::1]:5555":       {"tcp://[::1]:5555", "tcp://[0:0::1]:5555"},
		"tcp://127.0.0.1:no-one": {"tcp://127.0.0.1:no-one"}, // what cannot be resolved stays
		"inproc://s":             {"inproc://s"},
	} {
		for _, e := range same {
			if got := Canonical(e); got != name {
				t.Errorf("%s is %s, want %s", e, got, name)
			}
			if got := Canonical(Canonical(e)); got != name {
				t.Errorf("the name of %s, %s, has the name %s", e, name, got)
			}
		}
	}
	// localhost is in the hosts file, as one address or the other.
	if got := Canonical("tcp://localhost:5555"); got != "tcp://127.0.0.1:5555" && got != "tcp://[::1]:5555" {
		t.Errorf("localhost is %s", got)
	}
}
