package main

import (
	"bufio"
	"bytes"
	"context"
	"encoding/csv"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"math"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"unicode/utf8"

	"github.com/ppx-engine/ppx-engine/internal/disk"
	"github.com/ppx-engine/ppx-engine/ppx"
	"github.com/ppx-engine/ppx-engine/ppx/dist"
	"github.com/ppx-engine/ppx-engine/tracing/rundir"
)

// namedValue is a value of a data file. A missing element is NaN.
type namedValue struct {
	name  string
	value ppx.Tensor
}

// readDataFile reads a JSON object {"x": 8, "y": [1, null]}, or a CSV file: a header of names and either one
// row (scalars) or several (each column a vector). Errors name the file and the place in it.
func readDataFile(ctx context.Context, path string) (out []namedValue, err error) {
	f, _, err := disk.Open(ctx, path)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	in, err := utf8Text(f)
	if err == nil {
		if strings.EqualFold(filepath.Ext(path), ".csv") {
			out, err = readCSV(in)
		} else {
			out, err = readJSON(in)
		}
	}
	if err != nil {
		return nil, fmt.Errorf("%s: %w", path, err)
	}
	return out, nil
}

// readNPY reads a .npy file.
func readNPY(ctx context.Context, path string) (ppx.Tensor, error) {
	f, size, err := disk.Open(ctx, path)
	if err != nil {
		return ppx.Tensor{}, err
	}
	defer f.Close()
	t, err := rundir.ReadNPY(f, size)
	if err != nil {
		return ppx.Tensor{}, fmt.Errorf("%s: %w", path, err)
	}
	return t, nil
}

// utf8Text drops the mark with which Windows' editors begin UTF-8, and refuses other encodings by name.
func utf8Text(in io.Reader) (*bufio.Reader, error) {
	b := bufio.NewReader(in)
	head, err := b.Peek(4)
	switch {
	case err != nil && err != io.EOF:
		return nil, err
	case bytes.HasPrefix(head, []byte("\xef\xbb\xbf")):
		_, err := b.Discard(3)
		return b, err
	case len(head) == 0:
		return nil, errors.New("it is empty")
	case bytes.Equal(head, make([]byte, 4)):
		return nil, errors.New("it is no text")
	case bytes.HasPrefix(head, []byte("\xff\xfe")), bytes.HasPrefix(head, []byte("\xfe\xff")),
		len(head) == 4 && (head[0] == 0 && head[2] == 0 || head[1] == 0 && head[3] == 0):
		return nil, errors.New("it is UTF-16 text, as Windows' \"Unicode\" and PowerShell's > write it; save it as UTF-8")
	}
	return b, nil
}

// checkName refuses a name whose bytes are no UTF-8: no statement of a simulator would have it.
func checkName(name string) error {
	if strings.ContainsRune(name, utf8.RuneError) { // what stands for other bytes, too
		return fmt.Errorf("the name %s is not UTF-8 (an older program's Latin-1?); save the file as UTF-8", ppx.Quote(name))
	}
	return nil
}

// ---- JSON

// readJSON decodes token by token: a name given twice is an error, not the last one wins, and an array takes no more
// memory than its numbers.
func readJSON(in io.Reader) (out []namedValue, err error) {
	where := &lines{in: &nanReader{in: bufio.NewReader(in)}}
	d := json.NewDecoder(where)
	if tok, err := d.Token(); err != nil || tok != json.Delim('{') {
		return nil, errors.New("want a JSON object of names and values, {\"x\": 8, \"y\": [1, 2]} (or a .csv file)")
	}
	for d.More() {
		key, err := d.Token()
		if err != nil {
			return nil, where.jsonError(d, err)
		}
		name, _ := key.(string)
		if err := checkName(name); err != nil {
			return nil, err
		}
		t, err := decodeTensor(d)
		if err != nil {
			return nil, fmt.Errorf("%s: %w", ppx.Quote(name), where.jsonError(d, err))
		}
		out = append(out, namedValue{name, t})
	}
	if _, err := d.Token(); err != nil {
		return nil, where.jsonError(d, err)
	}
	return out, where.atEnd(d, "the object; all names belong into one")
}

// nanReader reads JSON in which NaN stands for a missing number, as Python's json module writes it, as if it were null.
type nanReader struct {
	in     *bufio.Reader
	text   bool // within a string
	escape bool
	rest   string
}

func (r *nanReader) Read(p []byte) (n int, err error) {
	for n < len(p) {
		if r.rest != "" {
			k := copy(p[n:], r.rest)
			r.rest, n = r.rest[k:], n+k
			continue
		}
		if n > 0 && r.in.Buffered() == 0 { // rather than wait for a pipe
			return n, nil
		}
		b, err := r.in.ReadByte()
		if err != nil {
			return n, err
		}
		if !r.text && b == 'N' {
			if next, err := r.in.Peek(2); err == nil && string(next) == "aN" {
				if _, err := r.in.Discard(2); err != nil {
					return n, err
				}
				r.rest = "null"
				continue
			}
		}
		switch {
		case r.escape:
			r.escape = false
		case r.text && b == '\\':
			r.escape = true
		case b == '"':
			r.text = !r.text
		}
		p[n] = b
		n++
	}
	return n, nil
}

// lines counts the lines of what is read through it, so that an offset can be named as line and column.
type lines struct {
	in     io.Reader
	at     int64
	starts []int64 // of lines, from the second
}

func (l *lines) Read(p []byte) (int, error) {
	n, err := l.in.Read(p)
	for i, b := range p[:n] {
		if b == '\n' {
			l.starts = append(l.starts, l.at+int64(i)+1)
		}
	}
	l.at += int64(n)
	return n, err
}

// name is an offset in words.
func (l *lines) name(offset int64) string {
	line, start := 1, int64(0)
	for i, s := range l.starts {
		if s <= offset {
			line, start = i+2, s
		}
	}
	return fmt.Sprintf("line %d, column %d", line, offset-start+1)
}

func (l *lines) jsonError(d *json.Decoder, err error) error {
	var syntax *json.SyntaxError
	var number *json.UnmarshalTypeError
	switch {
	case errors.Is(err, io.EOF), errors.Is(err, io.ErrUnexpectedEOF):
		return errors.New("the text ends too early: is it complete?")
	case errors.As(err, &syntax):
		return fmt.Errorf("%s: %w", l.name(max(d.InputOffset(), syntax.Offset-1)), err)
	case errors.As(err, &number): // a number is all that has a type here
		return fmt.Errorf("%s: the %s is too large", l.name(d.InputOffset()-int64(len(strings.TrimPrefix(number.Value, "number ")))), number.Value)
	}
	return err
}

// atEnd is an error that says where, if anything but white space follows.
func (l *lines) atEnd(d *json.Decoder, what string) error {
	offset := d.InputOffset()
	rest := bufio.NewReader(io.MultiReader(d.Buffered(), l))
	for {
		b, err := rest.ReadByte()
		switch {
		case err == io.EOF:
			return nil
		case err != nil:
			return err
		case b == ' ' || b == '\t' || b == '\n' || b == '\r':
			offset++
			continue
		}
		_ = rest.UnreadByte()
		text, _ := rest.Peek(20)
		return fmt.Errorf("%s: text after the end of %s: %q", l.name(offset), what, string(text))
	}
}

// decodeTensor reads the next value: a number, a boolean, null (missing) or nested arrays of them.
func decodeTensor(d *json.Decoder) (t ppx.Tensor, err error) {
	t = ppx.Tensor{Data: []float64{}, Shape: []int32{}}
	tok, err := d.Token()
	if err != nil {
		return t, err
	}
	if tok != json.Delim('[') {
		v, err := number64(tok)
		t.Data = append(t.Data, v)
		return t, err
	}
	var count [dist.MaxRank + 1]int // elements of the arrays that are open
	depth, deepest := 1, 0          // deepest: at which numbers stand, 0 while unknown
	different := errors.New("numbers at different depths of the array")
	for depth > 0 {
		if tok, err = d.Token(); err != nil {
			return t, err
		}
		switch tok {
		case json.Delim('['):
			count[depth-1]++
			if depth++; depth > dist.MaxRank || deepest > 0 && depth > deepest {
				return t, different
			}
			count[depth-1] = 0
		case json.Delim(']'):
			for len(t.Shape) < depth {
				t.Shape = append(t.Shape, -1)
			}
			n := int32(count[depth-1])
			if t.Shape[depth-1] >= 0 && t.Shape[depth-1] != n {
				return t, fmt.Errorf("rows of different lengths (%d and %d)", t.Shape[depth-1], n)
			}
			t.Shape[depth-1] = n
			depth--
		default:
			v, err := number64(tok)
			if err != nil {
				return t, err
			}
			if deepest == 0 {
				deepest = depth
			}
			if depth != deepest {
				return t, different
			}
			count[depth-1]++
			t.Data = append(t.Data, v)
		}
	}
	if n, err := dist.Elements(t.Shape); err != nil || n != len(t.Data) {
		return t, different
	}
	return t, nil
}

func number64(tok json.Token) (float64, error) {
	switch v := tok.(type) {
	case float64:
		return v, nil
	case bool:
		if v {
			return 1, nil
		}
		return 0, nil
	case nil:
		return math.NaN(), nil
	case string:
		return 0, fmt.Errorf("%s is not a number", strconv.Quote(v))
	case json.Delim:
		return 0, errors.New("an object is not a number")
	}
	return 0, fmt.Errorf("%v is not a number", tok)
}

// ---- CSV

// reading is one way to understand a file: what separates fields, and whether a comma begins the decimals. Spreadsheets write
// semicolons and decimal commas where people write commas so.
type reading struct {
	separator rune
	decimal   byte // '.' or ','
	thousands bool // a comma groups digits
}

func (r reading) String() string {
	switch {
	case r.separator == ',':
		return "separated by commas"
	case r.thousands:
		return "separated by semicolons, with commas between thousands"
	case r.decimal == ',':
		return "separated by semicolons, with decimal commas"
	}
	return "separated by semicolons"
}

var readings = []reading{{',', '.', false}, {';', '.', false}, {';', ',', false}, {';', '.', true}}

// readCSV reads a table in the only way in which it can be read.
func readCSV(in io.Reader) ([]namedValue, error) {
	text, err := io.ReadAll(in)
	if err != nil {
		return nil, err
	}
	var found []namedValue
	var how reading
	var wrong error
	semicolons := bytes.ContainsRune(firstLineOf(text), ';')
	for _, r := range readings {
		if r.separator == ';' && !semicolons {
			continue
		}
		values, err := r.read(text)
		switch {
		case err != nil:
			// Of the errors, that of the reading which the line of names suggests.
			if wrong == nil || r == (reading{';', ',', false}) {
				wrong = err
			}
		case found == nil:
			found, how = values, r
		case !sameValues(found, values):
			return nil, fmt.Errorf("it can be read in two ways: %s (%s), or %s (%s); write decimal points", how, example(found, values), r, example(values, found))
		}
	}
	if found == nil {
		return nil, wrong
	}
	return found, nil
}

func firstLineOf(text []byte) []byte {
	line, _, _ := bytes.Cut(text, []byte{'\n'})
	return line
}

var grouped = regexp.MustCompile(`^[-+]?[1-9]\d{0,2}(,\d{3})+$`)

func (r reading) number(text string) (v float64, err error) {
	switch text = strings.TrimSpace(text); {
	case text == "" || strings.EqualFold(text, "na") || strings.EqualFold(text, "nan") || strings.EqualFold(text, "null"):
		return math.NaN(), nil
	case r.thousands && grouped.MatchString(text):
		text = strings.ReplaceAll(text, ",", "")
	case r.decimal == ',':
		if strings.ContainsRune(text, '.') {
			return 0, strconv.ErrSyntax
		}
		text = strings.Replace(text, ",", ".", 1)
	}
	if strings.ContainsAny(text, "xXpP_") { // Go's other notations
		return 0, strconv.ErrSyntax
	}
	return strconv.ParseFloat(text, 64)
}

func (r reading) read(text []byte) (out []namedValue, err error) {
	c := csv.NewReader(bytes.NewReader(text))
	c.Comma, c.ReuseRecord, c.TrimLeadingSpace = r.separator, true, true
	header, err := c.Read()
	if err == io.EOF {
		return nil, errors.New("it is empty: want a line of names and at least one line of values")
	}
	if err != nil {
		return nil, err
	}
	for _, name := range header {
		if err := checkName(name); err != nil {
			return nil, err
		}
		out = append(out, namedValue{name: strings.TrimSpace(name)})
	}
	last := 1 // line of the row before
	for {
		row, err := c.Read()
		if err == io.EOF {
			break
		}
		if err != nil {
			if errors.Is(err, csv.ErrFieldCount) {
				line, _ := c.FieldPos(0)
				return nil, fmt.Errorf("line %d has %d fields, the line of names %d", line, len(row), len(out))
			}
			return nil, err
		}
		// An empty line, which the reader skips, is an empty field where there is one column.
		line, _ := c.FieldPos(0)
		if len(out) == 1 {
			for skipped := line - last - 1; skipped > 0; skipped-- {
				out[0].value.Data = append(out[0].value.Data, math.NaN())
			}
		}
		last = line
		for i, field := range row {
			v, err := r.number(field)
			if err != nil {
				line, _ := c.FieldPos(i)
				return nil, fmt.Errorf("line %d, column %s: %s is not a number", line, ppx.Quote(out[i].name), ppx.Quote(field))
			}
			out[i].value.Data = append(out[i].value.Data, v)
		}
	}
	for i := range out {
		v := &out[i].value
		switch n := len(v.Data); n {
		case 0:
			return nil, errors.New("want a line of names and at least one line of values")
		case 1:
		default:
			v.Shape = []int32{int32(n)}
		}
	}
	return out, nil
}

func sameValues(a, b []namedValue) bool {
	if len(a) != len(b) {
		return false
	}
	for i := range a {
		if a[i].name != b[i].name || len(a[i].value.Data) != len(b[i].value.Data) {
			return false
		}
		for k, x := range a[i].value.Data {
			if y := b[i].value.Data[k]; x != y && (x == x || y == y) {
				return false
			}
		}
	}
	return true
}

// example is the first value in which a differs from b.
func example(a, b []namedValue) string {
	for i := range a {
		for k, x := range a[i].value.Data {
			if i >= len(b) || k >= len(b[i].value.Data) || x != b[i].value.Data[k] {
				return fmt.Sprintf("%s is %g", ppx.Quote(a[i].name), x)
			}
		}
	}
	return fmt.Sprintf("%d columns", len(a))
}
