package main

import (
	"context"
	"errors"
	"fmt"
	"math"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/ppx-engine/ppx-engine/internal/disk"
	"github.com/ppx-engine/ppx-engine/ppx/dist"
)

func TestDataFiles(t *testing.T) {
	dir := t.TempDir()
	for _, c := range []struct{ name, text, want string }{
		{"a.json", `{"x": 8, "y": [1, 2.5], "z": [[1], [2]], "b": [true, false]}`, "x[] 8; y[2] 1 2.5; z[2,1] 1 2; b[2] 1 0; "},
		{"null.json", `{"x": null, "y": [1, null]}`, "x[] NaN; y[2] 1 NaN; "},
		{"empty.json", `{"x": [], "y": [[], []]}`, "x[0]; y[2,0]; "},
		{"bom.json", "\xef\xbb\xbf{\"x\": 8}\r\n", "x[] 8; "},
		{"two.json", "{\"a\": 8}\n{\"b\": 9}", `two.json: line 2, column 1: text after the end of the object`},
		{"brace.json", `{"a": 8}}`, `line 1, column 9: text after the end of the object; all names belong into one: "}"`},
		{"word.json", `{"a": 8} and`, `column 10: text after the end`},
		{"cut.json", `{"a": [1, 2`, "a: the text ends too early"},
		{"cut2.json", `{"a": 8`, "ends too early"},
		{"comma.json", "{\"a\":\n 8,}", "line 2, column "},
		{"number.json", "{\"a\": 1.2.3}", "line 1, column 10"},
		{"object.json", `{"a": {"b": 1}}`, "a: an object is not a number"},
		{"string.json", `{"a": ["1"]}`, `a: "1" is not a number`},
		{"ragged.json", `{"a": [[1, 2], [3]]}`, "rows of different lengths (2 and 1)"},
		{"mixed.json", `{"a": [1, [2]]}`, "different depths"},
		{"mixed2.json", `{"a": [[1], 2]}`, "different depths"},
		{"mixed3.json", `{"a": [[], 2]}`, "different depths"},
		{"deep.json", `{"a": ` + strings.Repeat("[", 40) + strings.Repeat("]", 40) + `}`, "different depths"},
		{"nothing.json", "", "nothing.json: it is empty"},
		{"zeros.json", strings.Repeat("\x00", 100), "it is no text"},
		{"utf16le.json", "\xff\xfe{\x00", "UTF-16"},
		{"latin1.json", "{\"h\xf6he\": 1}", "not UTF-8"},
		{"utf16be.json", "\x00{\x00\"\x00a", "UTF-16"},

		{"a.csv", "a,b\n1,2\n", "a[] 1; b[] 2; "},
		{"column.csv", "a, b\n1, 2\n3, -4e2\n", "a[2] 1 3; b[2] 2 -400; "},
		{"missing.csv", "a,b\n1,\nNA,3\n", "a[2] 1 NaN; b[2] NaN 3; "},
		{"bom.csv", "\xef\xbb\xbfa,b\r\n1,2\r\n", "a[] 1; b[] 2; "},
		{"gap.csv", "y\n1\n\n3\n", "y[3] 1 NaN 3; "},
		{"quoted.csv", "\"a,b\",c\n\"1.5\",2\n", "a,b[] 1.5; c[] 2; "},
		{"excel.csv", "a;b\r\n1,5;2,25\r\n", "a[] 1.5; b[] 2.25; "},
		{"points.csv", "a;b\n1.5;2.25\n", "a[] 1.5; b[] 2.25; "},
		{"whole.csv", "a;b\n1;2\n", "a[] 1; b[] 2; "},
		{"settled.csv", "a;b\n0,125;1,500\n", "a[] 0.125; b[] 1.5; "},
		{"long.csv", "a;b\n1234,567;2\n", "a[] 1234.567; b[] 2; "},
		{"unsure.csv", "a;b\n1,500;2,250\n", "two ways: separated by semicolons, with decimal commas (a is 1.5), or separated by semicolons, with commas between thousands (a is 1500)"},
		{"millions.csv", "a;b\n1,500,000;2\n", "a[] 1.5e+06; b[] 2; "},
		{"both.csv", "a;b\n1.234,5;2\n", "column a: 1.234,5 is not a number"},
		{"short.csv", "a,b\n1,2\n3\n", "line 3 has 1 fields, the line of names 2"},
		{"text.csv", "a,b\n1,two\n", "line 2, column b: two is not a number"},
		{"hex.csv", "a\n0x10\n", "0x10 is not a number"},
		{"names.csv", "a,b\n", "at least one line of values"},
		{"none.csv", "", "it is empty"},
		{"latin1.csv", "h\xf6he;x\n1;2\n", "not UTF-8"},
		{"utf16.csv", "\xff\xfea\x00;\x00", "UTF-16"},
	} {
		path := filepath.Join(dir, c.name)
		if err := os.WriteFile(path, []byte(c.text), 0o644); err != nil {
			t.Fatal(err)
		}
		values, err := readDataFile(t.Context(), path)
		var b strings.Builder
		for _, v := range values {
			fmt.Fprintf(&b, "%s%s", v.name, dist.ShapeString(v.value.Shape))
			for _, x := range v.value.Data {
				fmt.Fprintf(&b, " %g", x)
			}
			b.WriteString("; ")
		}
		if err != nil {
			b.Reset()
			b.WriteString(err.Error())
		}
		if got := b.String(); !strings.Contains(got, c.want) || err == nil && got != c.want || strings.Contains(got, "\n") {
			t.Errorf("%s: %q, want %q", c.name, got, c.want)
		}
	}
}

// What is no file is read with an end, and takes little memory however much comes.
func TestEndlessAndSilentFiles(t *testing.T) {
	dir := t.TempDir()
	fifo := filepath.Join(dir, "fifo.json")
	if err := syscall.Mkfifo(fifo, 0o600); err != nil {
		t.Fatal(err)
	}
	defer func(d time.Duration) { disk.StreamDeadline = d }(disk.StreamDeadline)
	disk.StreamDeadline = 100 * time.Millisecond
	if _, err := readDataFile(t.Context(), fifo); err == nil || !strings.Contains(err.Error(), "nobody wrote to it") { // nobody writes
		t.Error("read a pipe without a writer")
	}
	disk.StreamDeadline = time.Minute
	ctx, cancel := context.WithCancelCause(t.Context()) // Ctrl-C meanwhile
	time.AfterFunc(20*time.Millisecond, func() { cancel(errInterrupted) })
	if _, err := readDataFile(ctx, fifo); !errors.Is(err, errInterrupted) {
		t.Error(err)
	}
	go func() { // somebody does, later
		time.Sleep(50 * time.Millisecond)
		if w, err := os.OpenFile(fifo, os.O_WRONLY, 0); err == nil {
			_, _ = w.WriteString(`{"x": 8}`)
			w.Close()
		}
	}()
	if v, err := readDataFile(t.Context(), fifo); err != nil || len(v) != 1 {
		t.Errorf("%v, %v", v, err)
	}
	// A pipe with a writer is fine: a shell's <(command).
	r, w, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	defer r.Close()
	go func() {
		_, _ = w.WriteString(`{"x": 8}`)
		w.Close()
	}()
	if v, err := readDataFile(t.Context(), fmt.Sprintf("/dev/fd/%d", r.Fd())); err != nil || len(v) != 1 {
		t.Errorf("%v, %v", v, err)
	}
	link := filepath.Join(dir, "zero.csv")
	if err := os.Symlink("/dev/urandom", link); err != nil {
		t.Fatal(err)
	}
	var before, after runtime.MemStats
	runtime.ReadMemStats(&before)
	_, err = readDataFile(t.Context(), link)
	runtime.ReadMemStats(&after)
	if err == nil || !strings.Contains(err.Error(), "more than 64 MiB") {
		t.Error(err)
	}
	// io.ReadAll grows by a quarter at a time, so that all buffers together are some five times the last one.
	if grown := after.TotalAlloc - before.TotalAlloc; grown > 8*64<<20 {
		t.Errorf("%d MiB for 64", grown>>20)
	}
	if _, err := readDataFile(t.Context(), dir); err == nil || !strings.Contains(err.Error(), "is a folder") {
		t.Error(err)
	}
}

func TestObservedValues(t *testing.T) {
	for text, want := range map[string]string{
		"8": "", "[1,2]": "", " [1, 2] ": "", "true": "", "null": "",
		"[1,2,3]]": `line 1, column 8: text after the end of the value: "]"`,
		"[1,2]x":   "text after the end",
		"1 2":      "text after the end of the value",
		"eight":    "neither a number, nor a JSON array",
		"":         "neither a number",
		"{}":       "neither a number",
		"[1":       "ends too early",
	} {
		v, err := parseValue(t.Context(), text)
		if want == "" && (err != nil || len(v.Data) == 0) || want != "" && (err == nil || !strings.Contains(err.Error(), want)) {
			t.Errorf("%q: %v, %v", text, v, err)
		}
	}
	if _, err := parseData(t.Context(), []string{"x=[1,null]"}, nil, false); err == nil || !strings.Contains(err.Error(), "x[1] is not a number") {
		t.Error(err)
	}
	d, err := parseData(t.Context(), []string{"x=[1,null]", "y=nan", "z=3"}, nil, true)
	if err != nil || len(d) != 3 || !math.IsNaN(d["x"].Value.Data[1]) || !math.IsNaN(d["y"].Value.Data[0]) {
		t.Errorf("%v, %v", d, err)
	}
}
