package ppx_test

import (
	"bufio"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"math"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	flatbuffers "github.com/google/flatbuffers/go"

	"github.com/ppx-engine/ppx-engine/ppx"
	"github.com/ppx-engine/ppx-engine/ppx/dist"
	"github.com/ppx-engine/ppx-engine/ppx/ppxtest"
	"github.com/ppx-engine/ppx-engine/ppx/wire"
)

const transcripts = "../testdata/transcripts"

// messages is every message of the transcripts.
func messages(t testing.TB) []ppx.Message {
	t.Helper()
	all, err := ppxtest.LoadAll(transcripts)
	if err != nil {
		t.Fatal(err)
	}
	var ms []ppx.Message
	for _, tr := range all {
		for _, s := range tr.Steps {
			ms = append(ms, s.M)
		}
	}
	return ms
}

func TestEveryMessageSurvivesTheRoundTrip(t *testing.T) {
	var enc ppx.Encoder
	var dec ppx.Decoder
	for _, m := range messages(t) {
		var got ppx.Message
		if err := dec.Decode(enc.Encode(&m), &got); err != nil {
			t.Errorf("%s: %v", ppxtest.Format(&m), err)
		} else if !ppxtest.Equal(&m, &got) || extras(&m) != extras(&got) {
			t.Errorf("sent %s %s\ngot  %s %s", ppxtest.Format(&m), extras(&m), ppxtest.Format(&got), extras(&got))
		}
	}
}

// extras writes what extension 1 has added to a message.
func extras(m *ppx.Message) string {
	s := fmt.Sprint(m.Token, m.Leave)
	if m.Chunk != nil {
		s += fmt.Sprint(*m.Chunk)
	}
	if r := m.Run; r != nil && r.Mode != ppx.Ask {
		s += fmt.Sprint(r.Mode, r.Seed, r.Stream, r.Draws, r.DataID, r.Data, r.Inflation, r.FlushMS, r.FlushBytes)
		if r.Reuse != nil {
			s += fmt.Sprint(*r.Reuse)
		}
	}
	return s
}

// The reference reader: flatc's accessors see in our bytes what we meant, and every field is present.
func TestEncodingIsReadByTheGeneratedCode(t *testing.T) {
	var enc ppx.Encoder
	m := ppx.Message{Type: ppx.Observe}
	m.Op = ppx.Observe
	m.Dist = ppx.Dist{Kind: dist.Gamma, Params: []ppx.Tensor{dist.Scalar(2), dist.Vector(3, 4)}}
	buf := enc.Encode(&m)
	msg := wire.GetRootAsMessage(buf, 0)
	if msg.BodyType() != wire.MessageBodyObserve {
		t.Fatalf("body type %v", msg.BodyType())
	}
	var tab flatbuffers.Table
	msg.Body(&tab)
	var o wire.Observe
	o.Init(tab.Bytes, tab.Pos)
	if o.Address() == nil || o.Name() == nil {
		t.Error("empty strings are left out; existing peers need them")
	}
	if o.Value(nil) != nil {
		t.Error("an absent value was written")
	}
	var g wire.Gamma
	var dt flatbuffers.Table
	if !o.Distribution(&dt) {
		t.Fatal("no distribution")
	}
	g.Init(dt.Bytes, dt.Pos)
	if g.Concentration(nil).Data(0) != 2 || g.Rate(nil).Data(1) != 4 || g.Rate(nil).Shape(0) != 2 {
		t.Error("wrong parameters")
	}
	// A scalar has an empty shape, which must nevertheless be written.
	c := g.Concentration(nil)
	if tab := c.Table(); tab.Offset(6) == 0 {
		t.Error("the empty shape of a scalar was left out; existing peers crash on it")
	}
}

// Messages of other writers: fields left out, a file identifier, strings absent.
func TestSparseMessages(t *testing.T) {
	var dec ppx.Decoder
	var m ppx.Message
	b := flatbuffers.NewBuilder(0)
	finish := func(t wire.MessageBody, body flatbuffers.UOffsetT, ident bool) []byte {
		wire.MessageStart(b)
		wire.MessageAddBodyType(b, t)
		wire.MessageAddBody(b, body)
		end := wire.MessageEnd(b)
		if ident {
			b.FinishWithFileIdentifier(end, []byte("PPXF"))
		} else {
			b.Finish(end)
		}
		defer b.Reset()
		return append([]byte(nil), b.FinishedBytes()...)
	}
	wire.HandshakeStart(b)
	if err := dec.Decode(finish(wire.MessageBodyHandshake, wire.HandshakeEnd(b), true), &m); err != nil || m.Type != ppx.Handshake || m.SystemName != "" {
		t.Errorf("Handshake without a name: %+v, %v", m, err)
	}
	wire.TagStart(b)
	if err := dec.Decode(finish(wire.MessageBodyTag, wire.TagEnd(b), false), &m); err != nil || !m.Value.Absent() {
		t.Errorf("Tag without anything: %v", err)
	}
	wire.ObserveStart(b)
	if err := dec.Decode(finish(wire.MessageBodyObserve, wire.ObserveEnd(b), false), &m); err != nil || m.Dist.Kind != dist.None {
		t.Errorf("Observe without distribution: %v", err)
	}
	wire.SampleStart(b)
	if err := dec.Decode(finish(wire.MessageBodySample, wire.SampleEnd(b), false), &m); !errors.Is(err, ppx.ErrInvalid) {
		t.Errorf("Sample without distribution: %v", err)
	}
	wire.NormalStart(b)
	d := wire.NormalEnd(b)
	address := b.CreateString("here")
	wire.SampleStart(b)
	wire.SampleAddAddress(b, address)
	wire.SampleAddDistributionType(b, wire.DistributionNormal)
	wire.SampleAddDistribution(b, d)
	err := dec.Decode(finish(wire.MessageBodySample, wire.SampleEnd(b), false), &m)
	if !errors.Is(err, ppx.ErrInvalid) || !strings.Contains(err.Error(), "mean") || !strings.Contains(err.Error(), "here") {
		t.Errorf("Normal without parameters: %v", err)
	}
	wire.NormalStart(b)
	d = wire.NormalEnd(b)
	wire.SampleStart(b)
	wire.SampleAddDistributionType(b, wire.Distribution(dist.NumKinds))
	wire.SampleAddDistribution(b, d)
	err = dec.Decode(finish(wire.MessageBodySample, wire.SampleEnd(b), false), &m)
	if !errors.Is(err, ppx.ErrMalformed) || !strings.Contains(err.Error(), "unknown distribution kind") {
		t.Errorf("a kind beyond the last: %v", err)
	}
	wire.RunStart(b)
	if err := dec.Decode(finish(15, wire.RunEnd(b), false), &m); !errors.Is(err, ppx.ErrMalformed) {
		t.Errorf("message type 15: %v", err)
	}
}

func TestControlDefaultsToTrue(t *testing.T) {
	var enc ppx.Encoder
	var dec ppx.Decoder
	m := ppx.Message{Type: ppx.Sample, Statement: ppx.Statement{Op: ppx.Sample, Control: true, Dist: dist.New(dist.Poisson, 4)}}
	buf := enc.Encode(&m) // flatbuffers leaves out a field that has its default
	var got ppx.Message
	if err := dec.Decode(buf, &got); err != nil || !got.Control {
		t.Errorf("control %v, %v", got.Control, err)
	}
}

func TestLimits(t *testing.T) {
	var enc ppx.Encoder
	statement := func(address, name string) []byte {
		return enc.Encode(&ppx.Message{Type: ppx.Tag, Statement: ppx.Statement{Address: address, Name: name, Value: dist.Scalar(1)}})
	}
	var m ppx.Message
	var dec ppx.Decoder
	for _, n := range []int{64 << 10, ppx.MaxAddress} {
		if err := dec.Decode(statement(strings.Repeat("a", n), ""), &m); err != nil || len(m.Address) != n {
			t.Errorf("address of %d bytes: %v", n, err)
		}
	}
	err := dec.Decode(statement(strings.Repeat("a", ppx.MaxAddress+1), ""), &m)
	if !errors.Is(err, ppx.ErrMalformed) || !strings.Contains(err.Error(), "address has 1048577 bytes, at most 1048576") {
		t.Errorf("too long an address: %v", err)
	}
	small := ppx.Decoder{Limits: ppx.Limits{Message: 100}}
	if err := small.Decode(make([]byte, 101), &m); !errors.Is(err, ppx.ErrMalformed) || !strings.Contains(err.Error(), "101 bytes, at most 100") {
		t.Errorf("too long a message: %v", err)
	}
	err = dec.Decode(statement("a", "bad\xff\x1b[31m"), &m)
	if !errors.Is(err, ppx.ErrMalformed) || !strings.Contains(err.Error(), "name is not UTF-8") || strings.Contains(err.Error(), "\x1b") {
		t.Errorf("name that is not UTF-8: %v", err)
	}
	wrong := ppx.Tensor{Data: []float64{1, 2, 3}, Shape: []int32{2, 2}}
	err = dec.Decode(enc.Encode(&ppx.Message{Type: ppx.RunResult, Statement: ppx.Statement{Value: wrong}}), &m)
	if !errors.Is(err, ppx.ErrMalformed) || !strings.Contains(err.Error(), "shape [2,2] holds 4 elements, the data 3") {
		t.Errorf("lying shape: %v", err)
	}
	huge := ppx.Tensor{Data: []float64{}, Shape: []int32{1 << 30, 1 << 30}}
	if err := dec.Decode(enc.Encode(&ppx.Message{Type: ppx.RunResult, Statement: ppx.Statement{Value: huge}}), &m); !errors.Is(err, ppx.ErrMalformed) {
		t.Errorf("shape of 2^60 elements: %v", err)
	}
}

func TestQuoteIsSafeAndBounded(t *testing.T) {
	q := ppx.Quote("a\x1b[31m\x00\u202e\xff" + strings.Repeat("µ", 300))
	if strings.ContainsAny(q, "\x1b\x00\u202e") || len(q) > 300 || !strings.HasPrefix(q, `a\x1b[31m\x00\u202e\xff`) {
		t.Errorf("%q", q)
	}
}

// Whatever the bytes, decoding returns; what it accepts, it can write again with the same meaning.
func FuzzDecode(f *testing.F) {
	var enc ppx.Encoder
	for _, m := range messages(f) {
		f.Add(enc.Encode(&m))
	}
	f.Fuzz(func(t *testing.T, b []byte) {
		var dec, again ppx.Decoder
		var m, n ppx.Message
		if dec.Decode(b, &m) != nil {
			return
		}
		var enc ppx.Encoder
		if err := again.Decode(enc.Encode(&m), &n); err != nil {
			t.Fatalf("%s: written again it is refused: %v", ppxtest.Format(&m), err)
		}
		if !ppxtest.Equal(&m, &n) || extras(&m) != extras(&n) {
			t.Fatalf("%s %s\nbecame %s %s", ppxtest.Format(&m), extras(&m), ppxtest.Format(&n), extras(&n))
		}
		takeApart(&m)
	})
}

// takeApart reads the statements of a message as the engine does.
func takeApart(m *ppx.Message) {
	if m.Chunk == nil {
		return
	}
	var forms ppx.Forms
	if _, err := forms.Learn(m.Chunk); err == nil {
		_ = forms.Each(m.Chunk, func(s *ppx.Statement, _ int, _ float64) error {
			_ = s.Dist.Check()
			return nil
		})
	}
}

// Offsets may lead many times to one place: a small message that would be a large one when it is read.
func TestMessagesWhosePartsShareBytes(t *testing.T) {
	refuse := func(what string, body func(b *flatbuffers.Builder) (ppx.Type, flatbuffers.UOffsetT)) {
		b := flatbuffers.NewBuilder(0)
		typ, at := body(b)
		wire.MessageStart(b)
		wire.MessageAddBodyType(b, wire.MessageBody(typ))
		wire.MessageAddBody(b, at)
		b.Finish(wire.MessageEnd(b))
		var dec ppx.Decoder
		var m ppx.Message
		start := time.Now()
		if err := dec.Decode(b.FinishedBytes(), &m); !errors.Is(err, ppx.ErrMalformed) {
			t.Errorf("%s: %v", what, err)
		}
		if d := time.Since(start); d > 10*time.Second {
			t.Errorf("%s: took %v", what, d)
		}
	}
	many := func(b *flatbuffers.Builder, at flatbuffers.UOffsetT) flatbuffers.UOffsetT {
		all := make([]flatbuffers.UOffsetT, 100_000)
		for i := range all {
			all[i] = at
		}
		return b.CreateVectorOfTables(all)
	}
	refuse("forms", func(b *flatbuffers.Builder) (ppx.Type, flatbuffers.UOffsetT) {
		b.StartVector(4, 90, 4)
		for range 90 {
			b.PrependInt32(1)
		}
		shapes := b.EndVector(90)
		wire.FormStart(b)
		wire.FormAddOp(b, byte(ppx.Tag))
		wire.FormAddShapes(b, shapes)
		forms := many(b, wire.FormEnd(b))
		wire.StatementsStart(b)
		wire.StatementsAddForms(b, forms)
		return ppx.Statements, wire.StatementsEnd(b)
	})
	refuse("strings", func(b *flatbuffers.Builder) (ppx.Type, flatbuffers.UOffsetT) {
		texts := many(b, b.CreateString(strings.Repeat("µ", ppx.MaxAddress/4)))
		wire.StatementsStart(b)
		wire.StatementsAddStrings(b, texts)
		return ppx.Statements, wire.StatementsEnd(b)
	})
	refuse("data", func(b *flatbuffers.Builder) (ppx.Type, flatbuffers.UOffsetT) {
		b.StartVector(8, 1000, 8)
		for range 1000 {
			b.PrependFloat64(1)
		}
		numbers := b.EndVector(1000)
		b.StartVector(4, 1, 4)
		b.PrependInt32(1000)
		shape := b.EndVector(1)
		wire.TensorStart(b)
		wire.TensorAddData(b, numbers)
		wire.TensorAddShape(b, shape)
		v := wire.TensorEnd(b)
		name := b.CreateString("x")
		wire.DatumStart(b)
		wire.DatumAddName(b, name)
		wire.DatumAddValue(b, v)
		data := many(b, wire.DatumEnd(b))
		wire.RunStart(b)
		wire.RunAddData(b, data)
		return ppx.Run, wire.RunEnd(b)
	})
}

// Every single bit flipped, every truncation: no panic.
func TestDamagedMessages(t *testing.T) {
	var enc ppx.Encoder
	var dec ppx.Decoder
	var m ppx.Message
	for _, msg := range messages(t) {
		buf := append([]byte(nil), enc.Encode(&msg)...)
		for n := range buf {
			// A truncated message must never be accepted as a statement with other content.
			if err := dec.Decode(buf[:n], &m); err == nil && m.Type != msg.Type {
				t.Errorf("%d of %d bytes of %s read as %s", n, len(buf), msg.Type, m.Type)
			}
		}
		for i := range buf {
			for bit := range 8 {
				buf[i] ^= 1 << bit
				if dec.Decode(buf, &m) == nil { // any error will do, a panic will not
					takeApart(&m)
				}
				buf[i] ^= 1 << bit
			}
		}
	}
}

// Conversations of other people's software can be decoded and written again: set PPX_CAPTURES to a folder
// of .jsonl files with a line {"dir": …, "hex": …} for each message.
func TestCaptures(t *testing.T) {
	dir := os.Getenv("PPX_CAPTURES")
	if dir == "" {
		t.Skip("PPX_CAPTURES is not set")
	}
	paths, _ := filepath.Glob(filepath.Join(dir, "*.jsonl"))
	if len(paths) == 0 {
		t.Fatalf("%s holds no .jsonl file", dir)
	}
	for _, p := range paths {
		f, err := os.Open(p)
		if err != nil {
			t.Fatal(err)
		}
		n := 0
		for s := bufio.NewScanner(f); s.Scan(); n++ {
			var line struct{ Dir, Hex string }
			if err := json.Unmarshal(s.Bytes(), &line); err != nil {
				t.Fatal(err)
			}
			b, err := hex.DecodeString(line.Hex)
			if err != nil {
				t.Fatal(err)
			}
			var dec, again ppx.Decoder
			var enc ppx.Encoder
			var m, w ppx.Message
			if err := dec.Decode(b, &m); err != nil {
				t.Errorf("%s:%d: %v", p, n+1, err)
			} else if err := again.Decode(enc.Encode(&m), &w); err != nil || !ppxtest.Equal(&m, &w) {
				t.Errorf("%s:%d: %s became %s (%v)", p, n+1, ppxtest.Format(&m), ppxtest.Format(&w), err)
			}
		}
		f.Close()
		t.Logf("%s: %d messages", filepath.Base(p), n)
	}
}

// The schema only ever grows: nothing that PPX 1.0 knows has moved.
func TestSchemaConformsToPPX10(t *testing.T) {
	if _, err := exec.LookPath("flatc"); err != nil {
		t.Skip("no flatc here (Debian: flatbuffers-compiler)")
	}
	if out, err := exec.Command("flatc", "--conform", "testdata/ppx-1.0.fbs", "ppx.fbs").CombinedOutput(); err != nil {
		t.Errorf("%v: %s", err, out)
	}
}

func TestGeneratedCodeIsCurrent(t *testing.T) {
	if _, err := exec.LookPath("flatc"); err != nil {
		t.Skip("no flatc here (Debian: flatbuffers-compiler)")
	}
	dir := t.TempDir()
	if out, err := exec.Command("sh", "generate.sh", dir).CombinedOutput(); err != nil {
		t.Fatalf("%v: %s", err, out)
	}
	files, _ := filepath.Glob("wire/*.go")
	fresh, _ := filepath.Glob(filepath.Join(dir, "wire", "*.go"))
	if len(files) != len(fresh) {
		t.Errorf("%d files, generated %d", len(files), len(fresh))
	}
	for _, f := range fresh {
		want, _ := os.ReadFile(f)
		got, _ := os.ReadFile(filepath.Join("wire", filepath.Base(f)))
		if string(got) != string(want) {
			t.Errorf("wire/%s is not what ppx.fbs generates: run go generate ./ppx", filepath.Base(f))
		}
	}
}

func sampleMessage() *ppx.Message {
	return &ppx.Message{Type: ppx.Sample, Statement: ppx.Statement{Op: ppx.Sample, Control: true, Name: "mu",
		Address: "[forward()+0x96; main+0x1c; run(int, double)+0x12]", Dist: dist.New(dist.Normal, 1, math.Sqrt(5))}}
}

func TestCodecDoesNotAllocate(t *testing.T) {
	var enc ppx.Encoder
	var dec ppx.Decoder
	var m ppx.Message
	s := sampleMessage()
	if n := testing.AllocsPerRun(100, func() {
		if err := dec.Decode(enc.Encode(s), &m); err != nil {
			t.Fatal(err)
		}
	}); n != 0 {
		t.Errorf("%v allocations for a round trip of the codec", n)
	}
}

func BenchmarkDecodeSample(b *testing.B) {
	var enc ppx.Encoder
	var dec ppx.Decoder
	var m ppx.Message
	buf := enc.Encode(sampleMessage())
	b.ReportAllocs()
	for b.Loop() {
		if err := dec.Decode(buf, &m); err != nil {
			b.Fatal(err)
		}
	}
}

func BenchmarkEncodeSampleResult(b *testing.B) {
	var enc ppx.Encoder
	m := ppx.Message{Type: ppx.SampleResult, Statement: ppx.Statement{Value: dist.Scalar(0.5)}}
	b.ReportAllocs()
	for b.Loop() {
		enc.Encode(&m)
	}
}
