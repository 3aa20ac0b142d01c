package main

import (
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/ppx-engine/ppx-engine/internal/testbed"
)

// The results of runs in Python (ppxsim.results) have the figures of the command line.
func TestResultsInPython(t *testing.T) {
	python := filepath.Join(testbed.Root(), ".venv", "bin", "python")
	if _, err := os.Stat(python); err != nil {
		t.Skip("no Python environment: make setup-test")
	}
	s := newSession(t)
	client := filepath.Join(testbed.Root(), "adapters", "python")
	cmd := exec.Command(python, "-m", "pytest", "-q", "-W", "ignore", "-p", "no:cacheprovider", filepath.Join(client, "tests", "test_results.py"))
	cmd.Env = append(os.Environ(), "PPX="+s.ppx, "PYTHONPATH="+filepath.Join(client, "src"), "TMPDIR="+s.dir, "MPLCONFIGDIR="+s.dir)
	cmd.Dir = s.dir
	out, err := cmd.CombinedOutput()
	if err != nil || !strings.Contains(string(out), " passed") || strings.Contains(string(out), "skipped") {
		t.Errorf("%v\n%s", err, out)
	}
}
