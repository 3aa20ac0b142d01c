package rundir

import (
	"archive/zip"
	"bufio"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"os"
	"strings"

	"github.com/sbinet/npyio"
	"github.com/sbinet/npyio/npz"

	"github.com/ppx-engine/ppx-engine/internal/disk"
	"github.com/ppx-engine/ppx-engine/ppx"
	"github.com/ppx-engine/ppx-engine/ppx/dist"
)

// maxHeader is the longest header of a .npy file, in bytes; numpy itself reads 10,000.
const maxHeader = 1 << 16

// ReadNPY reads an array of numbers in numpy's format: any real or integer type, row- or column-major.
// size is that of the data, header included; it bounds what the header may claim.
func ReadNPY(in io.Reader, size int64) (t ppx.Tensor, err error) {
	// npyio panics on headers that contradict themselves.
	defer func() {
		if p := recover(); p != nil {
			t, err = ppx.Tensor{}, errors.New("not a valid .npy file: its header cannot be read")
		}
	}()
	b := bufio.NewReader(in)
	if _, err := b.Peek(1); err == io.EOF {
		return t, errors.New("it is empty")
	}
	// The header's own length: two bytes after magic and version, four from version 2 on.
	if p, err := b.Peek(12); err == nil {
		head := int64(binary.LittleEndian.Uint16(p[8:]))
		if size -= 10; p[6] > 1 {
			head |= int64(binary.LittleEndian.Uint16(p[10:])) << 16
			size -= 2
		}
		if size -= head; size < 0 || head > maxHeader {
			return t, fmt.Errorf("not a valid .npy file: a header of %d bytes", head)
		}
	}
	r, err := npyio.NewReader(full{b})
	if err != nil {
		return t, fmt.Errorf("not a valid .npy file: %w", err)
	}
	h := r.Header.Descr
	shape := make([]int32, 0, len(h.Shape))
	bytes := int64(itemSize(h.Type))
	if bytes == 0 {
		return t, fmt.Errorf("arrays of type %s are not supported; want numbers (float64, float32, integers, bool)", ppx.Quote(h.Type))
	}
	for _, d := range h.Shape {
		if d < 0 || d > dist.MaxElements {
			return t, fmt.Errorf("dimension %d in its shape", d)
		}
		shape = append(shape, int32(d))
	}
	n, err := dist.Elements(shape)
	if err != nil {
		return t, err
	}
	if int64(n)*bytes > size {
		return t, fmt.Errorf("its shape %s needs %d bytes of data, the file has %d", dist.ShapeString(shape), int64(n)*bytes, size)
	}
	data, err := readNumbers(r, h.Type, n)
	if err != nil {
		return t, fmt.Errorf("reading %d elements: %w", n, err)
	}
	if len(data) != n {
		return t, fmt.Errorf("its shape %s has %d elements, the file %d", dist.ShapeString(shape), n, len(data))
	}
	if h.Fortran && len(shape) > 1 {
		data = rowMajor(data, shape)
	}
	return dist.NewTensor(data, shape)
}

// full reads as many bytes as it is asked for: the library takes what a single Read gives for a whole number.
type full struct{ r io.Reader }

func (f full) Read(p []byte) (int, error) { return io.ReadFull(f.r, p) }

// itemSize is the size of an element of a numpy type, 0 for types that are no numbers.
func itemSize(descr string) int {
	if len(descr) < 2 {
		return 0
	}
	switch descr[1:] {
	case "b1", "i1", "u1":
		return 1
	case "i2", "u2":
		return 2
	case "i4", "u4", "f4":
		return 4
	case "i8", "u8", "f8":
		return 8
	}
	return 0
}

func readNumbers(r *npyio.Reader, descr string, n int) ([]float64, error) {
	switch descr[1:] {
	case "f8":
		out := make([]float64, n)
		return out, r.Read(&out)
	case "f4":
		return convert[float32](r, n)
	case "b1":
		v := make([]bool, n)
		err := r.Read(&v)
		out := make([]float64, len(v))
		for i, b := range v {
			if b {
				out[i] = 1
			}
		}
		return out, err
	case "i1":
		return convert[int8](r, n)
	case "u1":
		return convert[uint8](r, n)
	case "i2":
		return convert[int16](r, n)
	case "u2":
		return convert[uint16](r, n)
	case "i4":
		return convert[int32](r, n)
	case "u4":
		return convert[uint32](r, n)
	case "i8":
		return convert[int64](r, n)
	}
	return convert[uint64](r, n)
}

func convert[T float32 | int8 | uint8 | int16 | uint16 | int32 | uint32 | int64 | uint64](r *npyio.Reader, n int) ([]float64, error) {
	v := make([]T, n)
	err := r.Read(&v)
	out := make([]float64, len(v))
	for i, x := range v {
		out[i] = float64(x)
	}
	return out, err
}

// rowMajor reorders column-major data.
func rowMajor(data []float64, shape []int32) []float64 {
	out := make([]float64, len(data))
	at := make([]int32, len(shape))
	for i := range out {
		from, stride := 0, 1
		for d := range shape {
			from += int(at[d]) * stride
			stride *= int(shape[d])
		}
		out[i] = data[from]
		for d := len(shape) - 1; d >= 0; d-- {
			if at[d]++; at[d] < shape[d] {
				break
			}
			at[d] = 0
		}
	}
	return out
}

// writeNPZ writes arrays by name. numpy.load reads them as vectors; their shapes are in run.json.
func writeNPZ(path string, arrays map[string]ppx.Tensor) error {
	return disk.Replace(path, func(f *os.File) error {
		w := npz.NewWriter(f)
		var errs []error
		for name, t := range arrays {
			errs = append(errs, w.Write(name+".npy", t.Data))
		}
		return errors.Join(append(errs, w.Close())...)
	})
}

// readNPZ reads all arrays of a file, by name.
func readNPZ(path string) (map[string]ppx.Tensor, error) {
	file, size, err := disk.OpenRegular(path)
	if errors.Is(err, os.ErrNotExist) {
		return nil, damaged(path, errors.New("it is missing"))
	}
	if err != nil {
		return nil, err
	}
	defer file.Close()
	out, err := ReadNPZ(file, size)
	if err != nil {
		return nil, damaged(path, err)
	}
	return out, nil
}

// ReadNPZ reads all arrays of an archive as numpy.savez writes it, by name.
func ReadNPZ(file io.ReaderAt, size int64) (map[string]ppx.Tensor, error) {
	z, err := zip.NewReader(file, size)
	if err != nil {
		return nil, err
	}
	out := map[string]ppx.Tensor{}
	for _, f := range z.File {
		name, ok := strings.CutSuffix(f.Name, ".npy")
		if !ok {
			continue
		}
		r, err := f.Open()
		if err != nil {
			return nil, err
		}
		out[name], err = ReadNPY(r, int64(f.UncompressedSize64))
		r.Close()
		if err != nil {
			return nil, fmt.Errorf("%s: %w", ppx.Quote(name), err)
		}
	}
	return out, nil
}
