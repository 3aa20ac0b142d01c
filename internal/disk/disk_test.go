package disk_test

import (
	"bufio"
	"errors"
	"fmt"
	"io"
	"math"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strings"
	"testing"

	"github.com/ppx-engine/ppx-engine/internal/disk"
)

// The test binary is also another process: with PPX_TEST_LOCK it takes that lock, says so, and holds it until its
// input ends.
func TestMain(m *testing.M) {
	if path := os.Getenv("PPX_TEST_LOCK"); path != "" {
		f, err := disk.Lock(path)
		fmt.Println("locked", err)
		_, _ = io.Copy(io.Discard, os.Stdin)
		runtime.KeepAlive(f) // a file that is forgotten is closed
		return
	}
	os.Exit(m.Run())
}

// contents of a folder that is to hold one file.
func contents(t *testing.T, path string) string {
	t.Helper()
	if files, err := os.ReadDir(filepath.Dir(path)); err != nil || len(files) != 1 {
		t.Errorf("the folder holds %v, want one file (%v)", files, err)
	}
	b, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	return string(b)
}

func text(s string) func(*os.File) error {
	return func(f *os.File) error {
		_, err := f.WriteString(s)
		return err
	}
}

// The old file is there, as a whole, until the new one is; nothing else stays behind.
func TestReplace(t *testing.T) {
	path := filepath.Join(t.TempDir(), "f")
	if err := disk.Replace(path, text("first, the longer one")); err != nil {
		t.Fatal(err)
	}
	if got := contents(t, path); got != "first, the longer one" {
		t.Errorf("%q", got)
	}
	if err := disk.Replace(path, func(f *os.File) error {
		if _, err := f.WriteString("second"); err != nil {
			return err
		}
		if b, err := os.ReadFile(path); err != nil || string(b) != "first, the longer one" {
			t.Errorf("while the second is written there is %q, %v", b, err)
		}
		if filepath.Dir(f.Name()) != filepath.Dir(path) { // a rename is atomic on one file system only
			t.Errorf("written at %s", f.Name())
		}
		return nil
	}); err != nil {
		t.Fatal(err)
	}
	if got := contents(t, path); got != "second" {
		t.Errorf("%q", got)
	}
	if s, err := os.Stat(path); err != nil || s.Mode().Perm() != 0o644 { // others may read it, unlike a temporary file
		t.Errorf("%v, %v", s.Mode(), err)
	}
}

// Whatever goes wrong, the old file stays, and nothing else does.
func TestReplaceThatFails(t *testing.T) {
	path := filepath.Join(t.TempDir(), "f")
	if err := disk.Replace(path, text("old")); err != nil {
		t.Fatal(err)
	}
	full := errors.New("disk full")
	for name, write := range map[string]func(*os.File) error{
		"at once": func(*os.File) error { return full },
		"half way": func(f *os.File) error {
			return errors.Join(text("half of the n")(f), full)
		},
		"when it is closed": func(f *os.File) error { return f.Close() }, // then it cannot be synced
	} {
		err := disk.Replace(path, write)
		if err == nil || !strings.Contains(err.Error(), path) || name != "when it is closed" && !errors.Is(err, full) {
			t.Errorf("%s: %v", name, err)
		}
		if got := contents(t, path); got != "old" {
			t.Errorf("%s: %q", name, got)
		}
	}
	// A folder cannot be replaced.
	dir := t.TempDir()
	folder := filepath.Join(dir, "folder")
	if err := os.MkdirAll(filepath.Join(folder, "full"), 0o755); err != nil {
		t.Fatal(err)
	}
	if err := disk.Replace(folder, text("new")); err == nil {
		t.Error("a folder was replaced")
	}
	if files, err := os.ReadDir(dir); err != nil || len(files) != 1 || !files[0].IsDir() {
		t.Errorf("%v are left, %v", files, err)
	}
	called := false
	if err := disk.Replace(filepath.Join(dir, "missing", "f"), func(*os.File) error { called = true; return nil }); !errors.Is(err, os.ErrNotExist) || called {
		t.Errorf("no folder: %v, written: %v", err, called)
	}
}

// JSON is written like any other file, and what cannot be JSON leaves the old one.
func TestWriteJSON(t *testing.T) {
	path := filepath.Join(t.TempDir(), "f.json")
	if err := disk.WriteJSON(path, map[string]any{"b": []int{1, 2}, "a": "x"}); err != nil {
		t.Fatal(err)
	}
	want := "{\n  \"a\": \"x\",\n  \"b\": [\n    1,\n    2\n  ]\n}\n"
	if got := contents(t, path); got != want {
		t.Errorf("%q, want %q", got, want)
	}
	for _, v := range []any{math.NaN(), make(chan int)} {
		if err := disk.WriteJSON(path, v); err == nil {
			t.Errorf("%v: no error", v)
		}
		if got := contents(t, path); got != want {
			t.Errorf("%v: the file is now %q", v, got)
		}
	}
}

// What a Replace has left that was killed in its middle is swept, of the file that is named; nothing else is.
func TestSweep(t *testing.T) {
	dir := t.TempDir()
	var left []string // as a Replace names it
	for _, name := range []string{"one", "two"} {
		if err := disk.Replace(filepath.Join(dir, name), func(f *os.File) error {
			left = append(left, f.Name())
			return nil
		}); err != nil {
			t.Fatal(err)
		}
	}
	// The temporary files have become the files; another process would have been killed before.
	for _, path := range left {
		if err := os.WriteFile(path, nil, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	there := func(path string) bool { _, err := os.Stat(path); return err == nil }
	files := func() int { all, _ := os.ReadDir(dir); return len(all) }
	disk.Sweep(dir, "one")
	if there(left[0]) || !there(left[1]) || files() != 3 {
		t.Errorf("one was swept: %v, two: %v, of %d files", !there(left[0]), !there(left[1]), files())
	}
	disk.Sweep(dir, "")
	if there(left[1]) || files() != 2 {
		t.Errorf("everything was swept, and %d files are there, want one and two", files())
	}
	disk.Sweep(filepath.Join(dir, "missing"), "")
}

// A lock is one owner's until it is given back.
func TestLock(t *testing.T) {
	dir := t.TempDir()
	path := filepath.Join(dir, ".lock")
	for range 2 {
		mine, err := disk.Lock(path)
		if err != nil {
			t.Fatal(err)
		}
		for range 2 { // being refused changes nothing
			if _, err := disk.Lock(path); !errors.Is(err, disk.ErrLocked) || !strings.Contains(err.Error(), dir) {
				t.Errorf("the second: %v", err)
			}
		}
		if err := disk.Unlock(mine); err != nil {
			t.Error(err)
		}
		if _, err := os.Stat(path); !errors.Is(err, os.ErrNotExist) {
			t.Errorf("the lock file is still there: %v", err)
		}
	}
	// A file that somebody has left there is no lock.
	if err := os.WriteFile(path, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	mine, err := disk.Lock(path)
	if err != nil {
		t.Fatal(err)
	}
	if err := disk.Unlock(mine); err != nil {
		t.Error(err)
	}
	if _, err := disk.Lock(filepath.Join(dir, "missing", ".lock")); !errors.Is(err, os.ErrNotExist) || errors.Is(err, disk.ErrLocked) {
		t.Errorf("no folder: %v", err)
	}
}

// Another process's lock holds while it lives, and not when it was killed: its file, which stays, is nothing.
func TestLockOfAnotherProcess(t *testing.T) {
	path := filepath.Join(t.TempDir(), ".lock")
	other := exec.Command(os.Args[0])
	other.Env = append(os.Environ(), "PPX_TEST_LOCK="+path)
	in, err := other.StdinPipe()
	if err != nil {
		t.Fatal(err)
	}
	defer in.Close()
	out, err := other.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := other.Start(); err != nil {
		t.Fatal(err)
	}
	said, err := bufio.NewReader(out).ReadString('\n')
	if err != nil || said != "locked <nil>\n" {
		t.Errorf("the other said %q, %v", said, err)
	}
	if _, err := disk.Lock(path); !errors.Is(err, disk.ErrLocked) {
		t.Errorf("while the other lives: %v", err)
	}
	if err := other.Process.Kill(); err != nil {
		t.Error(err)
	}
	_ = other.Wait() // killed
	if _, err := os.Stat(path); err != nil {
		t.Errorf("the other's lock file is not there, so that this shows nothing: %v", err)
	}
	mine, err := disk.Lock(path)
	if err != nil {
		t.Fatalf("when the other is dead: %v", err)
	}
	if err := disk.Unlock(mine); err != nil {
		t.Error(err)
	}
}
