// Package testbed finds the programs that tests of the whole run: ppx itself, and the simulators and
// clients of each language.
package testbed

import (
	"errors"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/ppx-engine/ppx-engine/internal/disk"
)

// Root is the project's folder.
func Root() string {
	_, file, _, _ := runtime.Caller(0)
	return filepath.Join(filepath.Dir(file), "..", "..")
}

var (
	mu    sync.Mutex
	built = map[string]string{}
	dir   string
)

// Go builds a package of this module and returns the program's path, unless scripts/test-go.sh has built it already into
// $PPX_TEST_BIN. The programs are removed by Clean.
func Go(t testing.TB, pkg string) string {
	t.Helper()
	mu.Lock()
	defer mu.Unlock()
	name := filepath.Base(filepath.Dir(pkg)) + "-" + filepath.Base(pkg)
	if p := built[pkg]; p != "" {
		return p
	}
	if bin := os.Getenv("PPX_TEST_BIN"); bin != "" {
		if p := filepath.Join(bin, name); exists(p) {
			return p
		}
	}
	if dir == "" {
		var err error
		if dir, err = os.MkdirTemp("", "ppx-testbed-"); err != nil {
			t.Fatal(err)
		}
	}
	out := filepath.Join(dir, name)
	cmd := exec.Command("go", "build", "-o", out, pkg)
	cmd.Dir = Root()
	if b, err := cmd.CombinedOutput(); err != nil {
		t.Fatalf("building %s: %v\n%s", pkg, err, b)
	}
	built[pkg] = out
	return out
}

func exists(path string) bool { _, err := os.Stat(path); return err == nil }

// WithoutRace skips a test under the race detector whose concurrency others show with less work; it runs without.
func WithoutRace(t testing.TB) {
	t.Helper()
	if Raced {
		t.Skip("runs without the race detector")
	}
}

// Clean removes what Go has built: call it at the end of TestMain.
func Clean() {
	if dir != "" {
		os.RemoveAll(dir)
	}
}

// need skips the test when a file is not there, or fails it where everything must be (make test).
func need(t testing.TB, path, how string) string {
	t.Helper()
	if _, err := os.Stat(path); err != nil {
		if os.Getenv("PPX_TEST_ALL") != "" {
			t.Fatalf("%s is missing: %s", path, how)
		}
		t.Skipf("%s is missing: %s", path, how)
	}
	return path
}

// Python is the interpreter that has the Python client.
func Python(t testing.TB) string {
	t.Helper()
	return need(t, filepath.Join(Root(), ".venv", "bin", "python"), "run make setup-test")
}

// CPP is a program of the C++ build, named by its path in the build folder.
func CPP(t testing.TB, path string) string {
	t.Helper()
	return need(t, filepath.Join(Root(), "build", path), "run make cpp")
}

// Wait waits until a condition holds; the test fails when that takes minutes: no test is to depend on the machine being fast.
func Wait(t testing.TB, what string, holds func() bool) {
	t.Helper()
	for start := time.Now(); !holds(); time.Sleep(5 * time.Millisecond) {
		if time.Since(start) > 3*time.Minute {
			t.Fatalf("%s: not within three minutes", what)
		}
	}
}

// Languages a simulator can be written in.
var Languages = []string{"cpp", "python", "go"}

// Simulator is the command of a bundled simulator, with {endpoint} in it.
func Simulator(t testing.TB, model, language string) []string {
	t.Helper()
	switch language {
	case "cpp":
		return []string{CPP(t, "simulators/"+model), "{endpoint}"}
	case "python":
		return []string{Python(t), filepath.Join(Root(), "simulators", model, "python", model+".py"), "--endpoint", "{endpoint}"}
	}
	return []string{Go(t, "./simulators/"+model+"/go"), "--endpoint", "{endpoint}"}
}

// TCP is an endpoint on a port that was free a moment ago, and that no other test gets while this one runs.
func TCP(t testing.TB) string {
	t.Helper()
	claims := filepath.Join(os.TempDir(), "ppx-test-ports")
	if err := os.MkdirAll(claims, 0o777); err != nil {
		t.Fatal(err)
	}
	for {
		l, err := net.Listen("tcp", "127.0.0.1:0")
		if err != nil {
			t.Fatal(err)
		}
		address := l.Addr().String()
		l.Close()
		_, port, _ := net.SplitHostPort(address)
		claim, err := disk.Lock(filepath.Join(claims, port))
		if errors.Is(err, disk.ErrLocked) {
			continue
		}
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { _ = disk.Unlock(claim) })
		return "tcp://" + address
	}
}

// Abstract is an endpoint in the abstract namespace that no other test uses.
func Abstract(t testing.TB) string {
	return fmt.Sprintf("ipc://@ppx-test-%d-%s", os.Getpid(), strings.ReplaceAll(t.Name(), "/", "-"))
}
