package rundir_test

import (
	"bytes"
	"slices"
	"testing"
	"testing/iotest"

	"github.com/sbinet/npyio"

	"github.com/ppx-engine/ppx-engine/tracing/rundir"
)

// Numbers are whole however the bytes arrive: compressed data, and files whose header is of an odd length, come in
// pieces that end in the middle of a number.
func TestArraysInPieces(t *testing.T) {
	want := make([]float64, 2000)
	for i := range want {
		want[i] = float64(i) / 3
	}
	var b bytes.Buffer
	if err := npyio.Write(&b, want); err != nil {
		t.Fatal(err)
	}
	for name, r := range map[string]*bytes.Reader{"one": bytes.NewReader(b.Bytes()), "half": bytes.NewReader(b.Bytes())} {
		in := iotest.OneByteReader(r)
		if name == "half" {
			in = iotest.HalfReader(r)
		}
		got, err := rundir.ReadNPY(in, int64(b.Len()))
		if err != nil || !slices.Equal(got.Data, want) {
			t.Errorf("%s: %v, %v", name, got, err)
		}
	}
}
