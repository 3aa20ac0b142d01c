package wrap

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"go/ast"
	"go/parser"
	"go/token"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"

	"github.com/ppx-engine/ppx-engine/adapters"
	"github.com/ppx-engine/ppx-engine/ppx/dist"
)

// What stands at the beginning of functions of math/rand, by receiver and name. A build for a toolchain that has none of a package's functions of that name fails: it would be
// a generator that is not hooked.
var goHooks = map[string]map[string]string{
	"math/rand": {
		"Rand.Float64":     `if u, ok := ppxlink.Float(); ok { return u }`,
		"Rand.Float32":     `if u, ok := ppxlink.Float32(); ok { return u }`,
		"Rand.NormFloat64": `if x, ok := ppxlink.Norm(); ok { return x }`,
		"Rand.ExpFloat64":  `if x, ok := ppxlink.Exp(); ok { return x }`,
		"Rand.Int63":       `if x, ok := ppxlink.Bits(63); ok { return int64(x) }`,
		"Rand.Uint32":      `if x, ok := ppxlink.Bits(32); ok { return uint32(x) }`,
		"Rand.Uint64":      `if x, ok := ppxlink.Bits(64); ok { return x }`,
		"Rand.Int31":       `if x, ok := ppxlink.Bits(31); ok { return int32(x) }`,
		"Rand.Int":         `if x, ok := ppxlink.Bits(63); ok { return int(x) }`,
		"Rand.Int63n":      `if n > 0 { if x, ok := ppxlink.Below(uint64(n)); ok { return int64(x) } }`,
		"Rand.Int31n":      `if n > 0 { if x, ok := ppxlink.Below(uint64(n)); ok { return int32(x) } }`,
		"Rand.int31n":      `if n > 0 { if x, ok := ppxlink.Below(uint64(n)); ok { return int32(x) } }`,
		"Rand.Intn":        `if n > 0 { if x, ok := ppxlink.Below(uint64(n)); ok { return int(x) } }`,
		"Rand.Read":        `if ppxlink.Live() { all := true; for i := range p { x, ok := ppxlink.Below(256); if !ok { all = false; break }; p[i] = byte(x) }; if all { return len(p), nil } }`,
		"Rand.Seed":        `ppxlink.Seeded(seed);`,
		"rngSource.Int63":  `if x, ok := ppxlink.Bits(63); ok { return int64(x) }`,
		"rngSource.Uint64": `if x, ok := ppxlink.Bits(64); ok { return x }`,
		"NewSource":        `ppxlink.Seeded(seed);`,
	},
	"math/rand/v2": {
		"Rand.Float64":     `if u, ok := ppxlink.Float(); ok { return u }`,
		"Rand.Float32":     `if u, ok := ppxlink.Float32(); ok { return u }`,
		"Rand.NormFloat64": `if x, ok := ppxlink.Norm(); ok { return x }`,
		"Rand.ExpFloat64":  `if x, ok := ppxlink.Exp(); ok { return x }`,
		"Rand.Int64":       `if x, ok := ppxlink.Bits(63); ok { return int64(x) }`,
		"Rand.Uint32":      `if x, ok := ppxlink.Bits(32); ok { return uint32(x) }`,
		"Rand.Uint64":      `if x, ok := ppxlink.Bits(64); ok { return x }`,
		"Rand.Int32":       `if x, ok := ppxlink.Bits(31); ok { return int32(x) }`,
		"Rand.Int":         `if x, ok := ppxlink.Bits(63); ok { return int(x) }`,
		"Rand.Uint":        `if x, ok := ppxlink.Bits(64); ok { return uint(x) }`,
		"Rand.Int64N":      `if n > 0 { if x, ok := ppxlink.Below(uint64(n)); ok { return int64(x) } }`,
		"Rand.Uint64N":     `if x, ok := ppxlink.Below(n); ok { return x }`,
		"Rand.uint64n":     `if x, ok := ppxlink.Below(n); ok { return x }`,
		"Rand.uint32n":     `if x, ok := ppxlink.Below(uint64(n)); ok { return uint32(x) }`,
		"Rand.Int32N":      `if n > 0 { if x, ok := ppxlink.Below(uint64(n)); ok { return int32(x) } }`,
		"Rand.Uint32N":     `if x, ok := ppxlink.Below(uint64(n)); ok { return uint32(x) }`,
		"Rand.IntN":        `if n > 0 { if x, ok := ppxlink.Below(uint64(n)); ok { return int(x) } }`,
		"Rand.UintN":       `if x, ok := ppxlink.Below(uint64(n)); ok { return uint(x) }`,
		"PCG.Uint64":       `if x, ok := ppxlink.Bits(64); ok { return x }`,
		"ChaCha8.Uint64":   `if x, ok := ppxlink.Bits(64); ok { return x }`,
		"NewPCG":           `ppxlink.Seeded(int64(seed1 ^ seed2<<1));`,
	},
}

// GoFlags are what a shell evaluates before go build: an overlay of this toolchain's math/rand and math/rand/v2.
func GoFlags(ctx context.Context) (string, error) {
	out, err := exec.CommandContext(ctx, "go", "env", "GOROOT", "GOVERSION", "GOFLAGS").Output()
	if err != nil {
		return "", fmt.Errorf("go env: %w: the overlay is made for the toolchain that builds the program", err)
	}
	lines := strings.Split(string(out), "\n")
	root, version, flags := lines[0], lines[1], lines[2]
	dir, err := unpack()
	if err != nil {
		return "", err
	}
	dir = filepath.Join(dir, "go-"+strings.NewReplacer("/", "_", " ", "_").Replace(version))
	replace := map[string]string{}
	put := func(at, name string, text []byte) error {
		path := filepath.Join(dir, name)
		replace[filepath.Join(root, "src", at)] = path
		return errors.Join(os.MkdirAll(filepath.Dir(path), 0o755), os.WriteFile(path, text, 0o644))
	}
	link, err := adapters.Hijack.ReadFile("hijack/ppxlink/link.go")
	if err != nil {
		return "", err
	}
	own := strings.NewReplacer("\n\t\"github.com/ppx-engine/ppx-engine/ppx/dist\"\n", "", "dist.", "").Replace(string(link))
	stream := strings.Replace(dist.StreamSource, "package dist", "package ppxlink", 1) +
		"\nconst belowOne = 1 - 0x1p-53\n\nfunc clamp(v, lo, hi float64) float64 { return min(max(v, lo), hi) }\n"
	if err := errors.Join(put("internal/ppxlink/link.go", "link.go", []byte(own)), put("internal/ppxlink/stream.go", "stream.go", []byte(stream))); err != nil {
		return "", err
	}
	for pkg, hooks := range goHooks {
		files, err := hookedPackage(filepath.Join(root, "src", pkg), hooks)
		if err != nil {
			return "", fmt.Errorf("%s of %s: %w", pkg, version, err)
		}
		for name, text := range files {
			if err := put(filepath.Join(pkg, name), filepath.Join(pkg, name), text); err != nil {
				return "", err
			}
		}
	}
	text, err := json.MarshalIndent(map[string]any{"Replace": replace}, "", "\t")
	if err != nil {
		return "", err
	}
	overlay := filepath.Join(dir, "overlay.json")
	if err := os.WriteFile(overlay, text, 0o644); err != nil {
		return "", err
	}
	all := slices.DeleteFunc(strings.Fields(flags), func(f string) bool { return strings.HasPrefix(f, "-overlay=") })
	return "export GOFLAGS=" + strconv.Quote(strings.Join(append(all, "-overlay="+overlay), " ")), nil
}

// hookedPackage puts hooks into a package's files; it returns those that it has changed.
func hookedPackage(dir string, hooks map[string]string) (map[string][]byte, error) {
	paths, err := filepath.Glob(filepath.Join(dir, "*.go"))
	if err != nil {
		return nil, err
	}
	left := map[string]bool{}
	for name := range hooks {
		left[name] = true
	}
	out := map[string][]byte{}
	for _, path := range paths {
		if strings.HasSuffix(path, "_test.go") {
			continue
		}
		text, err := os.ReadFile(path)
		if err != nil {
			return nil, err
		}
		files := token.NewFileSet()
		f, err := parser.ParseFile(files, path, text, parser.SkipObjectResolution)
		if err != nil {
			return nil, err
		}
		if f.Name.Name != "rand" {
			continue
		}
		type insertion struct {
			at   int
			text string
		}
		var all []insertion
		for _, d := range f.Decls {
			fn, ok := d.(*ast.FuncDecl)
			if !ok || fn.Body == nil {
				continue
			}
			name := fn.Name.Name
			if fn.Recv != nil && len(fn.Recv.List) == 1 {
				t := fn.Recv.List[0].Type
				if star, ok := t.(*ast.StarExpr); ok {
					t = star.X
				}
				if id, ok := t.(*ast.Ident); ok {
					name = id.Name + "." + name
				}
			}
			if hook, ok := hooks[name]; ok {
				delete(left, name)
				all = append(all, insertion{files.Position(fn.Body.Lbrace).Offset + 1, " " + hook + "; "})
			}
		}
		if len(all) == 0 {
			continue
		}
		var b bytes.Buffer
		at := files.Position(f.Name.End()).Offset
		b.Write(text[:at])
		b.WriteString("; import \"internal/ppxlink\"") // on the line of the package: lines stay what they are
		for _, i := range all {
			b.Write(text[at:i.at])
			b.WriteString(i.text)
			at = i.at
		}
		b.Write(text[at:])
		out[filepath.Base(path)] = b.Bytes()
	}
	for name := range left {
		return nil, fmt.Errorf("this toolchain has no %s: its random numbers are not known to ppx wrap", name)
	}
	return out, nil
}
