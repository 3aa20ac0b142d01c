package wrap

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"syscall"
	"time"

	"github.com/ppx-engine/ppx-engine/adapters"
)

// hooks are what is put in place of a program's random number functions.
type hooks struct {
	preload string // the library; "" where there is nothing to preload
	python  string // the script that runs Python scripts
}

// PreloadVariable is the environment variable with the path of the library, where it is not to be looked for or built.
const PreloadVariable = "PPX_PRELOAD"

// findHooks finds what hooks a program of that kind.
func findHooks(s stack) (h hooks, err error) {
	switch s {
	case dynamic, script, python:
		if h.preload, err = Preload(); err != nil {
			return h, err
		}
	case golang:
	default:
		return h, nil
	}
	if s == python {
		h.python, err = unpacked("hijack.py")
	}
	return h, err
}

// Preload is the path of the library that hooks C, C++ and Fortran. It is installed with the command, or is built once, and kept in the user's cache.
func Preload() (string, error) {
	if path := os.Getenv(PreloadVariable); path != "" {
		if _, err := os.Stat(path); err != nil {
			return "", fmt.Errorf("%s: %w", PreloadVariable, err)
		}
		return path, nil
	}
	dir, err := unpack()
	if err != nil {
		return "", err
	}
	name := strings.Replace(filepath.Base(dir), "hijack", "libppx-preload", 1) + ".so" // of these sources
	if self, err := os.Executable(); err == nil {
		path := filepath.Join(filepath.Dir(self), "..", "lib", "ppx", name)
		if _, err := os.Stat(path); err == nil {
			return path, nil
		}
	}
	path := filepath.Join(dir, name)
	if _, err := os.Stat(path); err == nil {
		return path, nil
	}
	return path, build(dir, path)
}

// build compiles the library. Several processes may do so at once: each makes its own, and the last stays.
func build(dir, path string) error {
	compiler := "c++"
	for _, c := range []string{os.Getenv("CXX"), "g++", "clang++", "c++"} {
		if p, err := exec.LookPath(c); c != "" && err == nil {
			compiler = p
			break
		}
	}
	if _, err := exec.LookPath(compiler); err != nil {
		return fmt.Errorf("the library that hooks programs is to be built once, and there is no C++ compiler: apt install g++, or set %s to one that was built elsewhere", PreloadVariable)
	}
	f, err := os.CreateTemp(dir, "build-*.so")
	if err != nil {
		return err
	}
	defer os.Remove(f.Name())
	if err := f.Close(); err != nil {
		return err
	}
	ctx, cancel := context.WithTimeout(context.Background(), 5*time.Minute)
	defer cancel()
	args := []string{"-std=c++17", "-O2", "-fPIC", "-shared", "-fno-exceptions", "-fno-rtti", "-fno-threadsafe-statics", "-fvisibility=hidden", "-fno-omit-frame-pointer", "-ffp-contract=off",
		"-static-libgcc", "-Wl,--as-needed", "-Wl,--exclude-libs,ALL", "-I", filepath.Join(dir, "include"), "-o", f.Name()}
	sources, err := filepath.Glob(filepath.Join(dir, "hijack", "*.cpp"))
	if err != nil {
		return err
	}
	cmd := exec.CommandContext(ctx, compiler, append(append(args, sources...), "-lm", "-ldl", "-lpthread")...)
	if out, err := cmd.CombinedOutput(); err != nil {
		return fmt.Errorf("building the library that hooks programs: %w: %s", err, last(out))
	}
	return os.Rename(f.Name(), path)
}

// unpack writes the sources of the hooks, once, into a folder of the user's cache that is named by what they are.
var unpack = sync.OnceValues(func() (dir string, err error) {
	h := sha256.New()
	files := map[string][]byte{}
	for _, from := range []struct {
		tree         fs.FS
		root, prefix string
	}{{adapters.Hijack, "hijack", "hijack"}, {adapters.Random, "cpp/include", "include"}, {adapters.Python, "python/src/ppxsim", ""}} {
		err := fs.WalkDir(from.tree, from.root, func(path string, e fs.DirEntry, err error) error {
			if err != nil || e.IsDir() {
				return err
			}
			b, err := fs.ReadFile(from.tree, path)
			if err != nil {
				return err
			}
			files[filepath.Join(from.prefix, strings.TrimPrefix(path, from.root))] = b
			return nil
		})
		if err != nil {
			return "", err
		}
	}
	var names []string
	for name := range files {
		names = append(names, name)
	}
	slices.Sort(names)
	for _, name := range names {
		fmt.Fprintf(h, "%s %d\n", name, len(files[name]))
		h.Write(files[name])
	}
	name := "hijack-" + hex.EncodeToString(h.Sum(nil))[:16]
	candidates := []string{filepath.Join(os.TempDir(), fmt.Sprintf("ppx-%d", os.Getuid()))} // where there is no home, or none to write
	if cache, err := os.UserCacheDir(); err == nil {
		candidates = append([]string{filepath.Join(cache, "ppx")}, candidates...)
	}
	for _, c := range candidates {
		if err = os.MkdirAll(c, 0o700); err != nil {
			continue
		}
		info, e := os.Lstat(c)
		if e != nil {
			err = e
			continue
		}
		if owner, ok := info.Sys().(*syscall.Stat_t); !ok || int(owner.Uid) != os.Getuid() { // what lies there is run
			err = fmt.Errorf("%s is somebody else's", c)
			continue
		}
		dir = filepath.Join(c, name)
		if _, e := os.Stat(dir); e == nil {
			return dir, nil
		}
		break
	}
	if err != nil {
		return "", err
	}
	own, err := os.MkdirTemp(filepath.Dir(dir), "new-")
	if err != nil {
		return "", err
	}
	defer os.RemoveAll(own)
	for _, name := range names {
		path := filepath.Join(own, name)
		if err := errors.Join(os.MkdirAll(filepath.Dir(path), 0o755), os.WriteFile(path, files[name], 0o644)); err != nil {
			return "", err
		}
	}
	if err := os.Rename(own, dir); err != nil {
		if _, other := os.Stat(dir); other == nil { // another process was faster
			return dir, nil
		}
		return "", err
	}
	return dir, os.Chmod(dir, 0o755)
})

// unpacked is the path of one file of the hooks.
func unpacked(name string) (string, error) {
	dir, err := unpack()
	return filepath.Join(dir, name), err
}

// command is the program's, with what runs it.
func (h *hooks) command(path string, args []string, f *File) *exec.Cmd {
	if h.python == "" {
		return exec.Command(path, args...)
	}
	fork := f.Fork
	if fork == "" {
		fork = "main"
	}
	own := []string{h.python, fork, strings.Join(f.Imports, ",")}
	options := interpreterOptions(args)
	return exec.Command(path, append(append(slices.Clone(args[:options]), own...), args[options:]...)...)
}

// scriptOf is the command of a Python script as one of an interpreter: that of the first line, where the script is what is run.
func scriptOf(command []string, path string) ([]string, error) {
	if !pythonName.MatchString(filepath.Base(path)) {
		fields, err := shebang(path)
		if err != nil {
			return nil, err
		}
		if len(fields) > 1 && filepath.Base(fields[0]) == "env" {
			if fields = fields[1:]; fields[0] == "-S" && len(fields) > 1 {
				fields = fields[1:]
			}
		}
		return append(append(fields, path), command[1:]...), nil
	}
	k := 1 + interpreterOptions(command[1:])
	switch {
	case k >= len(command):
		return nil, fmt.Errorf("which script? %s alone is an interpreter that waits for one", command[0])
	case command[k] == "-":
		return nil, errors.New("a script that comes from the standard input cannot be run again: write it into a file")
	case len(command[k]) > 2 && (strings.HasPrefix(command[k], "-m") || strings.HasPrefix(command[k], "-c")): // -mMODULE
		return slices.Concat(command[:k], []string{command[k][:2], command[k][2:]}, command[k+1:]), nil
	}
	return command, nil
}

// interpreterOptions is how many of Python's arguments are the interpreter's own.
func interpreterOptions(args []string) (n int) {
	for n < len(args) && len(args[n]) > 1 && args[n][0] == '-' && args[n][1] != 'm' && args[n][1] != 'c' {
		if args[n] == "-W" || args[n] == "-X" {
			n++
		}
		n++
	}
	return min(n, len(args))
}

// environment is the program's: with the library, and without what is for simulators.
func (h *hooks) environment(env []string, f *File) []string {
	var out []string
	before := ""
	for _, e := range env {
		name, value, _ := strings.Cut(e, "=")
		switch name {
		case "LD_PRELOAD":
			before = value
		case "PPX_ENDPOINT", "PPX_LINK", "PPX_LINK_PROGRAM", "PPX_LINK_PRELOAD":
		default:
			out = append(out, e)
		}
	}
	if h.preload == "" {
		if before != "" {
			out = append(out, "LD_PRELOAD="+before)
		}
		return append(out, "PPX_LINK=3")
	}
	all := h.preload
	if before != "" {
		all += ":" + before
	}
	out = append(out, "LD_PRELOAD="+all, "PPX_LINK=3", "PPX_LINK_PRELOAD="+before)
	if f.Program != "" {
		out = append(out, "PPX_LINK_PROGRAM="+f.Program)
	}
	if h.python != "" {
		out = append(out, "PPX_LINK_PYTHON=1")
		if f.Program == "" { // which may be a script that looks for the interpreter
			out = append(out, "PPX_LINK_PROGRAM=py*")
		}
		// Threads of libraries would be missing in runs that are forked.
		for _, name := range []string{"OPENBLAS_NUM_THREADS", "OMP_NUM_THREADS", "MKL_NUM_THREADS"} {
			if os.Getenv(name) == "" {
				out = append(out, name+"=1")
			}
		}
	}
	return out
}

// CXXFlags are what C++ is compiled with to have the distributions of <random> answered.
func CXXFlags() (string, error) {
	path, err := unpacked("hijack/ppx_std.hpp")
	return "-include " + path, err
}
