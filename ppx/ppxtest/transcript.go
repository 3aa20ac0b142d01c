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
// Extension 1 adds fields to some messages, and lines for the statements that were not waited for and come
// along with the simulator's next message:
//
//	engine Run mode=delegate seed=1 draws=0,1 given:y=8 reuse:main/mu__Normal@1=0.5 flush_ms=1000 flush_bytes=65536
//	note   Sample address=main/mu name=mu Normal mean=1 stddev=2.5 value=0.25
//	note   RunResult statements=1 result=0.25
//	sim    Statements more=true
//
// In extension 2 a Run has streams=…, and after its values to reuse ends=…, where the values of each run end.
// An engine's token holds for all it says afterwards. Values that a simulator draws need only agree to 12 digits.
//
// A tensor is a number (shape []), a list [1,2] (shape [2]) or a list with its shape [1,2,3,4]:2x2;
// []:0 is the empty vector. In strings %20 stands for a space, other characters likewise; * accepts any
// string. Absent fields are absent: name is "", control true, an Observe's value missing.
package ppxtest

import (
	"bufio"
	"bytes"
	"errors"
	"fmt"
	"math"
	"net/url"
	"os"
	"path/filepath"
	"slices"
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
	Notes  []Note          // statements that come along
	any    map[string]bool // fields that accept any string
}

// Note is a statement that was not waited for, or the end of a run (a RunResult).
type Note struct {
	ppx.Message
	Statements int // of the run that ends
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
	var notes []Note
	var token uint64
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
		switch {
		case strings.HasPrefix(text, "note"):
			notes = append(notes, Note{s.M, s.statements})
			continue
		case s.Engine && s.M.Token != 0:
			token = s.M.Token
		case s.Engine:
			s.M.Token = token
		}
		if !s.Engine {
			if s.Notes, notes = notes, nil; s.M.Chunk != nil || (len(s.Notes) > 0 && s.M.Type != ppx.Reset) {
				s.M.Chunk = s.chunk()
			}
		}
		t.Steps = append(t.Steps, s.Step)
	}
	return t, lines.Err()
}

func messageType(name string) ppx.Type {
	for t := ppx.Handshake; t <= ppx.Abort; t++ {
		if t.String() == name {
			return t
		}
	}
	return 0
}

// parsed is a line.
type parsed struct {
	Step
	statements int
}

func parse(text string) (parsed, error) {
	words := strings.Fields(text)
	s := parsed{Step: Step{Text: text, any: map[string]bool{}}}
	if len(words) < 2 || (words[0] != "engine" && words[0] != "sim" && words[0] != "note") {
		return s, fmt.Errorf("want engine, sim or note and a message, got %q", text)
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
	switch {
	case s.M.Type == ppx.Run && len(words) > 2:
		s.M.Run = &ppx.WireRun{}
	case s.M.Type == ppx.Statements:
		s.M.Chunk = &ppx.Chunk{}
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

func (s *parsed) set(key, value string) (err error) {
	m := &s.M
	if done, err := s.setExtension(key, value); done || err != nil {
		return err
	}
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
				for len(m.Dist.Params) <= i {
					m.Dist.Params = append(m.Dist.Params, ppx.Tensor{})
				}
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

var modes = map[string]ppx.Mode{"ask": ppx.Ask, "forward": ppx.Forward, "delegate": ppx.Delegate}

var reasons = map[string]ppx.Reason{"out-of-turn": ppx.OutOfTurn, "busy": ppx.Busy, "failed": ppx.Failed, "aborted": ppx.Aborted}

// setExtension reads the fields of extension 1.
func (s *parsed) setExtension(key, value string) (done bool, err error) {
	m := &s.M
	number := func(bits int) (n uint64) {
		n, err = strconv.ParseUint(value, 10, bits)
		return n
	}
	switch key {
	case "extension":
		m.Extension = int(number(16))
	case "token":
		m.Token = number(64)
	case "statements":
		s.statements = int(number(32))
	case "more":
		m.Chunk.More, err = strconv.ParseBool(value)
	case "leave":
		m.Leave, err = strconv.ParseBool(value)
	case "error":
		s.any[key] = value == "*"
		m.Error, err = url.PathUnescape(value)
	case "reason":
		var ok bool
		if m.Reason, ok = reasons[value]; !ok {
			err = fmt.Errorf("unknown reason")
		}
	default:
		if m.Run == nil {
			return false, nil
		}
		return true, s.setRun(key, value)
	}
	return true, err
}

func (s *parsed) setRun(key, value string) (err error) {
	r := s.M.Run
	number := func(bits int) (n uint64) {
		n, err = strconv.ParseUint(value, 10, bits)
		return n
	}
	if what, name, ok := strings.Cut(key, ":"); ok {
		if name, err = url.PathUnescape(name); err != nil {
			return err
		}
		v, err := ParseTensor(value)
		if err != nil {
			return err
		}
		if what == "given" {
			r.Data = append(r.Data, ppx.Datum{Name: name, Value: v})
			return nil
		}
		base, instance := ppx.SplitOccurrence(name)
		if r.Reuse == nil {
			r.Reuse = &ppx.WireReuse{Restart: true}
		}
		u := r.Reuse
		at := slices.Index(u.Bases, base)
		if at < 0 {
			at, u.Bases = len(u.Bases), append(u.Bases, base)
		}
		u.Base, u.Instance = append(u.Base, uint32(at)), append(u.Instance, uint32(instance))
		u.Shapes = append(append(u.Shapes, int32(len(v.Shape))), v.Shape...)
		u.Numbers = append(u.Numbers, v.Data...)
		return nil
	}
	switch key {
	case "mode":
		var ok bool
		if r.Mode, ok = modes[value]; !ok {
			err = fmt.Errorf("unknown mode")
		}
	case "seed":
		r.Seed = number(64)
	case "stream":
		r.Stream = number(64)
	case "draws", "streams", "ends":
		for _, value = range strings.Split(value, ",") {
			switch n := number(64); {
			case key == "draws":
				r.Draws = append(r.Draws, n)
			case key == "streams":
				r.Streams = append(r.Streams, n)
			case r.Reuse == nil:
				return fmt.Errorf("it comes after the values to reuse")
			default:
				r.Reuse.Ends = append(r.Reuse.Ends, uint32(n))
			}
		}
	case "data":
		r.DataID = number(64)
	case "inflation":
		r.Inflation, err = strconv.ParseFloat(value, 64)
	case "flush_ms":
		r.FlushMS = uint32(number(32))
	case "flush_bytes":
		r.FlushBytes = uint32(number(32))
	default:
		err = fmt.Errorf("unknown field")
	}
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
			for i, p := range m.Dist.Params {
				fmt.Fprintf(&b, " %s=%s", m.Dist.Kind.Params()[i], formatTensor(p))
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
	case ppx.Statements:
		if m.Chunk.More {
			b.WriteString(" more=true")
		}
	case ppx.Reset:
		for name, r := range reasons {
			if r == m.Reason && r != ppx.OutOfTurn {
				text("reason", name)
			}
		}
		if m.Error != "" {
			text("error", m.Error)
		}
	}
	if m.Extension != 0 {
		fmt.Fprintf(&b, " extension=%d", m.Extension)
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
	return a.Type == b.Type && a.Extension == b.Extension && a.Reason == b.Reason && a.Error == b.Error &&
		a.SystemName == b.SystemName && a.ModelName == b.ModelName && a.Op == b.Op &&
		a.Address == b.Address && a.Name == b.Name && a.Control == b.Control && equalTensors(a.Value, b.Value) &&
		a.Dist.Kind == b.Dist.Kind && slices.EqualFunc(a.Dist.Params, b.Dist.Params, equalTensors)
}

// describe writes the fields of a Run message, but for a plain one, in whichever way it is written.
func describe(r *ppx.WireRun) string {
	if r == nil || r.Mode == ppx.Ask {
		return ""
	}
	u := ppx.WireReuse{}
	if r.Reuse != nil {
		u = *r.Reuse
	}
	return fmt.Sprint(r.Mode, r.Seed, r.Stream, r.Draws, r.DataID, r.Data, r.Inflation, r.FlushMS, r.FlushBytes, r.Streams, u)
}

// check compares what came with what the transcript has. forms are those of the session.
func (s *Step) check(got ppx.Message, forms *ppx.Forms) error {
	want := s.M
	if s.any["error"] {
		want.Error = got.Error
	}
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
	if a, b := describe(got.Run), describe(want.Run); a != b || (s.Engine && got.Token != want.Token) {
		return fmt.Errorf("got  %s %s (token %d)\nwant %s %s (token %d)", got.Type, a, got.Token, want.Type, b, want.Token)
	}
	if got.Type == ppx.Statements && got.Chunk.More != s.M.Chunk.More {
		return fmt.Errorf("got  %s\nwant %s", Format(&got), Format(&s.M))
	}
	notes := s.Notes
	if got.Chunk != nil {
		if _, err := forms.Learn(got.Chunk); err != nil {
			return err
		}
		if err := forms.Each(got.Chunk, func(st *ppx.Statement, count int, _ float64) error {
			n := ppx.Message{Type: st.Op, Statement: *st}
			n.Form = nil
			if st.Op == ppx.RunResult {
				n.Op, n.Control = 0, false
			}
			if len(notes) == 0 {
				return fmt.Errorf("got  %s along with %s, more than was wanted", Format(&n), got.Type)
			}
			w := notes[0]
			notes = notes[1:]
			if st.Op == ppx.Sample && Near(n.Value, &w.Dist, w.Value) {
				n.Value = w.Value
			}
			if n.Control = n.Control && n.Type == ppx.Sample; !Equal(&n, &w.Message) || count != w.Statements {
				return fmt.Errorf("got  %s (%d statements)\nwant %s (%d)", Format(&n), count, Format(&w.Message), w.Statements)
			}
			return nil
		}); err != nil {
			return err
		}
	}
	if len(notes) > 0 && got.Type != ppx.Reset { // what came before Reset was made, and lost
		return fmt.Errorf("%s came along without %s", got.Type, Format(&notes[0].Message))
	}
	return nil
}

// Near tells whether a value that a simulator has drawn is the one that is wanted, up to rounding: to 1e-12 of
// it, or of the parameters where the value is their sum.
func Near(got ppx.Tensor, d *ppx.Dist, want ppx.Tensor) bool {
	if len(got.Data) != len(want.Data) || !slices.Equal(got.Shape, want.Shape) {
		return false
	}
	scale := 0.0
	if d.Kind == dist.Normal || d.Kind == dist.Uniform {
		for _, p := range d.Params {
			for _, x := range p.Data {
				scale = math.Max(scale, math.Abs(x))
			}
		}
	}
	for i, w := range want.Data {
		if !(math.Abs(got.Data[i]-w) <= 1e-12*math.Max(math.Abs(w), scale)) {
			return false
		}
	}
	return true
}

// chunk packs a step's notes: as a client might that sends each form anew.
func (s *Step) chunk() *ppx.Chunk {
	c := &ppx.Chunk{Restart: true}
	if s.M.Chunk != nil {
		c.More = s.M.Chunk.More
	}
	for i := range s.Notes {
		n := &s.Notes[i]
		at := uint32(len(c.Strings))
		c.Strings = append(c.Strings, n.Address, n.Name)
		f := ppx.WireForm{Op: n.Type, Control: n.Control || n.Type != ppx.Sample, Kind: n.Dist.Kind, Address: at + 1, Name: at + 2}
		if n.Type == ppx.RunResult {
			c.Numbers = append(c.Numbers, float64(n.Statements), 0.25)
		}
		for _, p := range n.Dist.Params {
			f.Shapes = append(append(f.Shapes, int32(len(p.Shape))), p.Shape...)
			c.Numbers = append(c.Numbers, p.Data...)
		}
		if n.Value.Data == nil {
			f.Shapes = append(f.Shapes, -1)
		} else {
			f.Shapes = append(append(f.Shapes, int32(len(n.Value.Shape))), n.Value.Shape...)
			c.Numbers = append(c.Numbers, n.Value.Data...)
		}
		c.Forms = append(c.Forms, f)
		c.Statements = append(c.Statements, uint32(i))
	}
	return c
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
	var forms ppx.Forms
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
		if m.Type == ppx.HandshakeResult {
			forms = ppx.Forms{}
		}
		if err := s.check(m, &forms); err != nil {
			return fmt.Errorf("%s: %w", t.Name, err)
		}
	}
	return nil
}

// Model is a simulator that makes the transcript's statements, run by run, and checks the answers.
func (t *Transcript) Model() (name string, m ppx.Model) {
	type line struct {
		step   *Step
		note   *Note
		answer *Step // to a Sample
	}
	var lines []line
	for i := range t.Steps {
		s := &t.Steps[i]
		if s.M.Type == ppx.HandshakeResult {
			name = s.M.ModelName
		}
		for k := range s.Notes {
			lines = append(lines, line{step: s, note: &s.Notes[k]})
		}
		l := line{step: s}
		for k := i + 1; k < len(t.Steps) && l.answer == nil; k++ {
			if t.Steps[k].M.Type == ppx.SampleResult {
				l.answer = &t.Steps[k]
			}
		}
		lines = append(lines, l)
	}
	at, ended := 0, false
	return name, func(h ppx.Handler) (ppx.Tensor, error) {
		// The next run of the same Run message follows at once.
		for at < len(lines) && (!ended || lines[at].note == nil) && (lines[at].note != nil || lines[at].step.M.Type != ppx.Run) {
			at++
		}
		if at < len(lines) && lines[at].note == nil {
			at++
		}
		ended = false
		for ; at < len(lines); at++ {
			l := lines[at]
			m := l.step.M
			if l.note != nil {
				m = l.note.Message
			} else if l.step.Engine {
				continue
			}
			st := m.Statement
			var err error
			switch m.Type {
			case ppx.Sample:
				want := m.Value
				if l.note == nil && l.answer != nil {
					want = l.answer.M.Value
				} else {
					st.Value = ppx.Tensor{}
				}
				var v ppx.Tensor
				if v, err = h.Sample(&st); err == nil && !equalTensors(v, want) && !(l.note != nil && Near(v, &m.Dist, want)) {
					err = fmt.Errorf("%s: the client handed over %v for %v at %q", t.Name, v, want, l.step.Text)
				}
			case ppx.Observe:
				err = h.Observe(&st)
			case ppx.Tag:
				err = h.Tag(&st)
			case ppx.RunResult:
				at++
				ended = true
				return m.Value, nil
			case ppx.Reset:
				if m.Reason == ppx.Failed {
					err = errors.New(m.Error)
				}
			}
			if err != nil {
				return ppx.Tensor{}, err
			}
		}
		return ppx.Tensor{}, fmt.Errorf("%s: the transcript has no RunResult here", t.Name)
	}
}
