// Command assets fetches the scripts that pages are drawn with from the npm registry into page/assets, unless they are there: pinned versions, with checksums.
package main

import (
	"archive/tar"
	"bytes"
	"compress/gzip"
	"context"
	"crypto/sha512"
	"encoding/base64"
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
	"path/filepath"
	"time"
)

const dir = "page/assets"

// A file of a package; sum is that of the package's archive, as the registry gives it.
type asset struct{ name, url, member, sum string }

var all = []asset{
	{"d3.min.js", "https://registry.npmjs.org/d3/-/d3-7.9.2.tgz", "package/dist/d3.min.js",
		"ZKb/mONPVKzaO5UlcWcwN8bS4ezvQaYu+bsou+XgNABdGC800kwH651ADTbbTxMPHW13UlvbQafdmJQDk1w7Mg=="},
	{"plot.umd.min.js", "https://registry.npmjs.org/@observablehq/plot/-/plot-0.6.17.tgz", "package/dist/plot.umd.min.js",
		"/qaXP/7mc4MUS0s4cPPFASDRjtsWp85/TbfsciqDgU1HwYixbSbbytNuInD8AcTYC3xaxACgVX06agdfQy9W+g=="},
}

func main() {
	ctx, cancel := context.WithTimeout(context.Background(), 3*time.Minute)
	defer cancel()
	for _, a := range all {
		stamp := filepath.Join(dir, "."+a.name+".sum")
		if have, err := os.ReadFile(stamp); err == nil && string(have) == a.sum {
			if _, err := os.Stat(filepath.Join(dir, a.name)); err == nil {
				continue
			}
		}
		if err := fetch(ctx, a); err != nil {
			// Pages without charts are pages too: what can do without a network is not to fail for want of one.
			fmt.Fprintf(os.Stderr, "assets: %s: %v; pages will have pictures and no interactive charts\n", a.url, err)
			continue
		}
		if err := os.WriteFile(stamp, []byte(a.sum), 0o644); err != nil {
			fmt.Fprintln(os.Stderr, "assets:", err)
			os.Exit(1)
		}
	}
}

func fetch(ctx context.Context, a asset) error {
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, a.url, nil)
	if err != nil {
		return err
	}
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		return err
	}
	defer resp.Body.Close()
	if resp.StatusCode != http.StatusOK {
		return errors.New(resp.Status)
	}
	b, err := io.ReadAll(io.LimitReader(resp.Body, 64<<20))
	if err != nil {
		return err
	}
	if sum := sha512.Sum512(b); base64.StdEncoding.EncodeToString(sum[:]) != a.sum {
		return errors.New("the archive is not the one that was pinned: its checksum differs")
	}
	z, err := gzip.NewReader(bytes.NewReader(b))
	if err != nil {
		return err
	}
	for t := tar.NewReader(z); ; {
		h, err := t.Next()
		if err != nil {
			return fmt.Errorf("%s: %w", a.member, err)
		}
		if h.Name != a.member {
			continue
		}
		text, err := io.ReadAll(io.LimitReader(t, 16<<20))
		if err != nil {
			return err
		}
		path := filepath.Join(dir, a.name)
		if err := os.WriteFile(path+".tmp", text, 0o644); err != nil {
			return err
		}
		return os.Rename(path+".tmp", path)
	}
}
