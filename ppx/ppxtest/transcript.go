// Package ppxtest plays transcripts: conversations written down as readable text, one story each, that
// every client and both sides of the protocol must reproduce (testdata/transcripts).
//
// A line is a message: who speaks, the message's name, and its fields. "#" begins a comment.
//
//	engine Handshake system_name=ppx
//	sim    HandshakeResult system_name=* model_name=gum
//	engine Run
//	sim    Sample address=main/mu name=mu Normal mean=1 stddev=2.5
//	engine SampleResult result=0.25
//
// A tensor is a number (shape []), a list [1,2] (shape [2]) or a list with its shape [1,2,3,4]:2x2;
// []:0 is the empty vector. In strings %20 stands for a space, other characters likewise; * accepts any
// string. Absent fields are absent: name is "", control true, an Observe's value missing.
package ppxtest

import (
	"bufio"
	"bytes"
	"fmt"
	"math"
	"net/url"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"time"

	"github.com/ppx-engine/ppx-engine/ppx"
	"github.com/ppx-engine/ppx-engine/ppx/dist"
)

// Step is one message of a transcript.
type Step struct {
	Engine bool // the engine speaks
	Text   string
	M      ppx.Message
	any    map[string]bool // fields that accept any string
}

// Transcript is one story.
type Transcript struct {
	Name  string
	Steps []Step
}

// LoadAll reads every .txt file of a folder.
func LoadAll(dir string) ([]*Transcript, error) {
	paths, err := filepath.Glob(filepath.Join(dir, "*.txt"))
	if err == nil && len(paths) == 0 {
		err = fmt.Errorf("%s: no transcripts", dir)
	}
	var all []*Transcript
	for _, p := range paths {
		t, err := Load(p)
		if err != nil {
			return nil, err
		}
		all = append(all, t)
	}
	return all, err
}

// Load reads one file.
func Load(path string) (*Transcript, error) {
	b, err := os.ReadFile(path)
	if err != nil {
		return nil, err
	}
	t := &Transcript{Name: strings.TrimSuffix(filepath.Base(path), ".txt")}
	lines := bufio.NewScanner(bytes.NewReader(b))
	lines.Buffer(nil, 1<<24)
	for n := 1; lines.Scan(); n++ {
		text := strings.TrimSpace(lines.Text())
		if text == "" || text[0] == '#' {
			continue
		}
		s, err := parse(text)
		if err != nil {
			return nil, fmt.Errorf("%s:%d: %w", path, n, err)
		}
		t.Steps = append(t.Steps, s)
	}
	return t, lines.Err()
}

func messageType(name string) ppx.Type {
	for t := ppx.Handshake; t <= ppx.Reset; t++ {
		if t.String() == name {
			return t
		}
	}
	return 0
}

func parse(text string) (Step, error) {
	words := strings.Fields(text)
	s := Step{Text: text, any: map[string]bool{}}
	if len(words) < 2 || (words[0] != "engine" && words[0] != "sim") {
		return s, fmt.Errorf("want engine or sim and a message, got %q", text)
	}
	s.Engine = words[0] == "engine"
	s.M.Type = messageType(words[1])
	if s.M.Type == 0 {
		return s, fmt.Errorf("no message %q", words[1])
	}
	if t := s.M.Type; t == ppx.Sample || t == ppx.Observe || t == ppx.Tag {
		s.M.Op = t
		s.M.Control = t == ppx.Sample
	}
	for _, w := range words[2:] {
		key, value, ok := strings.Cut(w, "=")
		if !ok {
			k, ok := dist.KindByName(w)
			if !ok {
				return s, fmt.Errorf("neither a field nor a distribution: %q", w)
			}
			s.M.Dist.Kind = k
			continue
		}
		if err := s.set(key, value); err != nil {
			return s, fmt.Errorf("%s: %w", w, err)
		}
	}
	return s, nil
}

func (s *Step) set(key, value string) (err error) {
	m := &s.M
	var text *string
	var tensor *ppx.Tensor
	switch key {
	case "system_name":
		text = &m.SystemName
	case "model_name":
		text = &m.ModelName
	case "address":
		text = &m.Address
	case "name":
		text = &m.Name
	case "control":
		m.Control, err = strconv.ParseBool(value)
		return err
	case "value", "result":
		tensor = &m.Value
	default:
		for i, p := range m.Dist.Kind.Params() {
			if p == key {
				tensor = &m.Dist.Params[i]
			}
		}
		if tensor == nil {
			return fmt.Errorf("unknown field")
		}
	}
	if text != nil {
		s.any[key] = value == "*"
		*text, err = url.PathUnescape(value)
		return err
	}
	*tensor, err = ParseTensor(value)
	return err
}

// ParseTensor reads 1.5, [1,2] or [1,2,3,4]:2x2.
func ParseTensor(s string) (ppx.Tensor, error) {
	if !strings.HasPrefix(s, "[") {
		v, err := strconv.ParseFloat(s, 64)
		return dist.Scalar(v), err
	}
	list, shape, shaped := strings.Cut(s, ":")
	t := ppx.Tensor{Data: []float64{}, Shape: []int32{}}
	if inner := strings.Trim(list, "[]"); inner != "" {
		for _, w := range strings.Split(inner, ",") {
			v, err := strconv.ParseFloat(w, 64)
			if err != nil {
				return t, err
			}
			t.Data = append(t.Data, v)
		}
	}
	if !shaped {
		t.Shape = append(t.Shape, int32(len(t.Data)))
		return t, nil
	}
	for _, w := range strings.Split(shape, "x") {
		d, err := strconv.ParseInt(w, 10, 32)
		if err != nil {
			return t, err
		}
		t.Shape = append(t.Shape, int32(d))
	}
	return dist.NewTensor(t.Data, t.Shape)
}

func formatTensor(t ppx.Tensor) string {
	if len(t.Shape) == 0 && len(t.Data) == 1 {
		return strconv.FormatFloat(t.Data[0], 'g', -1, 64)
	}
	var b strings.Builder
	b.WriteByte('[')
	for i, v := range t.Data {
		if i > 0 {
			b.WriteByte(',')
		}
		b.WriteString(strconv.FormatFloat(v, 'g', -1, 64))
	}
	b.WriteByte(']')
	if len(t.Shape) != 1 || t.Shape[0] == 0 {
		for i, d := range t.Shape {
			b.WriteByte(":x"[min(i, 1)])
			b.WriteString(strconv.Itoa(int(d)))
		}
	}
	return b.String()
}

// Format writes a message as transcripts do, without the speaker.
func Format(m *ppx.Message) string {
	var b strings.Builder
	b.WriteString(m.Type.String())
	text := func(key, v string) { fmt.Fprintf(&b, " %s=%s", key, url.PathEscape(v)) }
	switch m.Type {
	case ppx.HandshakeResult:
		text("system_name", m.SystemName)
		text("model_name", m.ModelName)
	case ppx.Handshake:
		text("system_name", m.SystemName)
	case ppx.Sample, ppx.Observe, ppx.Tag:
		text("address", m.Address)
		if m.Name != "" {
			text("name", m.Name)
		}
		if m.Dist.Kind != dist.None {
			b.WriteString(" " + m.Dist.Kind.String())
			for i, p := range m.Dist.Kind.Params() {
				fmt.Fprintf(&b, " %s=%s", p, formatTensor(m.Dist.Params[i]))
			}
		}
		if m.Type == ppx.Sample && !m.Control {
			b.WriteString(" control=false")
		}
		if m.Value.Data != nil {
			b.WriteString(" value=" + formatTensor(m.Value))
		}
	case ppx.RunResult, ppx.SampleResult:
		if m.Value.Data != nil {
			b.WriteString(" result=" + formatTensor(m.Value))
		}
	}
	return b.String()
}

func equalTensors(a, b ppx.Tensor) bool {
	if len(a.Data) != len(b.Data) || len(a.Shape) != len(b.Shape) {
		return false
	}
	for i := range a.Shape {
		if a.Shape[i] != b.Shape[i] {
			return false
		}
	}
	for i := range a.Data {
		if a.Data[i] != b.Data[i] && !(math.IsNaN(a.Data[i]) && math.IsNaN(b.Data[i])) {
			return false
		}
	}
	return true
}

// Equal tells whether two messages mean the same.
func Equal(a, b *ppx.Message) bool {
	return a.Type == b.Type && a.SystemName == b.SystemName && a.ModelName == b.ModelName && a.Op == b.Op &&
		a.Address == b.Address && a.Name == b.Name && a.Control == b.Control && equalTensors(a.Value, b.Value) &&
		a.Dist.Kind == b.Dist.Kind && equalTensors(a.Dist.Params[0], b.Dist.Params[0]) &&
		equalTensors(a.Dist.Params[1], b.Dist.Params[1])
}

// check compares what came with what the transcript has.
func (s *Step) check(got ppx.Message) error {
	want := s.M
	if s.any["system_name"] {
		want.SystemName = got.SystemName
	}
	if s.any["model_name"] {
		want.ModelName = got.ModelName
	}
	if s.any["address"] {
		want.Address = got.Address
	}
	if !Equal(&got, &want) {
		return fmt.Errorf("got  %s\nwant %s", Format(&got), Format(&s.M))
	}
	return nil
}

// PlayEngine speaks the engine's lines over c and compares what the simulator says.
func (t *Transcript) PlayEngine(c ppx.Conn, timeout time.Duration) error {
	return t.play(c, true, timeout)
}

// PlaySimulator speaks the simulator's lines over c and compares what the engine says.
func (t *Transcript) PlaySimulator(c ppx.Conn, timeout time.Duration) error {
	return t.play(c, false, timeout)
}

func (t *Transcript) play(c ppx.Conn, engine bool, timeout time.Duration) error {
	var enc ppx.Encoder
	var dec ppx.Decoder
	for i := range t.Steps {
		s := &t.Steps[i]
		if s.Engine == engine {
			if err := c.Send(enc.Encode(&s.M)); err != nil {
				return fmt.Errorf("%s: line %q: %w", t.Name, s.Text, err)
			}
			continue
		}
		msg, err := c.Recv(timeout)
		if err != nil {
			return fmt.Errorf("%s: waiting for %q: %w", t.Name, s.Text, err)
		}
		var m ppx.Message
		if err := dec.Decode(msg, &m); err != nil {
			return fmt.Errorf("%s: at %q: %w", t.Name, s.Text, err)
		}
		if err := s.check(m); err != nil {
			return fmt.Errorf("%s: %w", t.Name, err)
		}
	}
	return nil
}

// Model is a simulator that makes the transcript's statements, run by run, and checks the answers.
func (t *Transcript) Model() (name string, m ppx.Model) {
	at := 0
	for _, s := range t.Steps {
		if s.M.Type == ppx.HandshakeResult {
			name = s.M.ModelName
		}
	}
	return name, func(h ppx.Handler) (ppx.Tensor, error) {
		for at < len(t.Steps) && t.Steps[at].M.Type != ppx.Run {
			at++
		}
		for at++; at < len(t.Steps); at++ {
			s := &t.Steps[at]
			if s.Engine {
				continue
			}
			st := s.M.Statement
			var err error
			switch s.M.Type {
			case ppx.Sample:
				var v ppx.Tensor
				if v, err = h.Sample(&st); err == nil && !equalTensors(v, t.Steps[at+1].M.Value) {
					err = fmt.Errorf("%s: the client handed over %v for %q", t.Name, v, t.Steps[at+1].Text)
				}
			case ppx.Observe:
				err = h.Observe(&st)
			case ppx.Tag:
				err = h.Tag(&st)
			case ppx.RunResult:
				return s.M.Value, nil
			}
			if err != nil {
				return ppx.Tensor{}, err
			}
		}
		return ppx.Tensor{}, fmt.Errorf("%s: the transcript has no RunResult here", t.Name)
	}
}
