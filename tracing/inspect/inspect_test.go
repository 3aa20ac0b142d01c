package inspect_test

import (
	"context"
	"errors"
	"fmt"
	"math"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/ppx-engine/ppx-engine/expression"
	"github.com/ppx-engine/ppx-engine/ppx"
	"github.com/ppx-engine/ppx-engine/ppx/dist"
	"github.com/ppx-engine/ppx-engine/tracing"
	"github.com/ppx-engine/ppx-engine/tracing/inspect"
	"github.com/ppx-engine/ppx-engine/tracing/rundir"
)

var (
	ctx = context.Background()
	nan = math.NaN()
)

// open records traces, and opens them; each goes into a part of its own, if there are to be several.
func open(t *testing.T, parts bool, traces ...*tracing.Trace) (x *inspect.Run, path string) {
	t.Helper()
	path = filepath.Join(t.TempDir(), "run")
	m := &rundir.Manifest{Model: "m", Method: "prior"}
	if parts {
		m.PartSize = 1
	}
	w, err := rundir.Create(path, m, nil)
	if err != nil {
		t.Fatal(err)
	}
	for i, tr := range traces {
		tr.Row = int64(i)
		if err := w.Write(ctx, tr); err != nil {
			t.Fatal(err)
		}
	}
	if err := w.Close(rundir.Complete, nil); err != nil {
		t.Fatal(err)
	}
	if x, err = inspect.Open(ctx, path); err != nil {
		t.Fatal(err)
	}
	return x, path
}

// visit is a statement of a test's trace.
type visit struct {
	address string
	op      ppx.Type
	name    string
	control bool
	value   ppx.Tensor
	logP    float64
}

func (v visit) in(t *tracing.Table, seen map[uint32]uint32) tracing.Site {
	id := t.Intern(v.address, v.op, dist.Normal)
	seen[id]++
	return tracing.Site{Key: tracing.Key{Address: id, Instance: seen[id]}, Name: t.InternName(v.name), Op: v.op, Control: v.control, LogP: v.logP}
}

// trace makes a trace of some statements.
func trace(table *tracing.Table, draw uint64, logWeight float64, result ppx.Tensor, visits ...visit) *tracing.Trace {
	var b tracing.Builder
	b.Reset(table, draw, 0)
	seen := map[uint32]uint32{}
	for _, v := range visits {
		b.Add(v.in(table, seen), v.value, nil)
	}
	return b.Finish(result, logWeight, 0)
}

func sample(address, name string, values ...float64) visit {
	v := visit{address: address, op: ppx.Sample, name: name, control: true, value: dist.Vector(values...)}
	if len(values) == 1 {
		v.value.Shape = nil
	}
	return v
}

// What stands in the list of addresses, for two traces with known answers: a loop, a branch, a tensor, a Tag.
func TestAddresses(t *testing.T) {
	table := tracing.NewTable()
	table.Intern("never visited", ppx.Sample, dist.Normal)
	table.Intern("branch", ppx.Sample, dist.Normal) // numbered before the others
	fixed := sample("loop", "x", 9)
	fixed.control = false
	tag := visit{address: "branch", op: ppx.Tag, name: "t"}
	for _, parts := range []bool{false, true} {
		x, _ := open(t, parts,
			trace(table, 0, math.Log(3), ppx.Tensor{}, sample("loop", "x", 1), sample("loop", "y", 2), sample("loop", "x", 4), sample("image", "", 5, 6, 7)),
			tracing.FailedTrace(table, 1, 0, errors.New("lost")),
			trace(table, 2, 0, ppx.Tensor{}, fixed, sample("branch", "z", -3), tag))
		got, err := x.Addresses(ctx)
		if err != nil {
			t.Fatal(err)
		}
		show := func(a inspect.Address) string {
			return fmt.Sprint(a.Place, a.Base, a.Op, a.Names, a.Control, a.Traces, a.Visits, a.Instances, a.Mean, a.SD, math.Round(1e9*a.Weight)/1e9)
		}
		// 1, 2, 4 with weight ¾ and 9 with ¼ have mean 7.5/2.5 and variance (¾ (4 + 1 + 1) + ¼ 36)/2.5.
		for i, want := range []string{
			fmt.Sprint(0, "loop", ppx.Sample, []string{"x", "y"}, true, 2, 4, 3, 3.0, math.Sqrt(5.4), 1.0),
			fmt.Sprint(1, "image", ppx.Sample, []string{}, true, 1, 1, 1, nan, nan, 0.75),
			fmt.Sprint(2, "branch", ppx.Sample, []string{"z"}, true, 1, 1, 1, -3.0, 0.0, 0.25),
			fmt.Sprint(3, "branch", ppx.Tag, []string{"t"}, false, 1, 1, 1, nan, nan, 0.25),
		} {
			if i >= len(got) || show(got[i]) != want {
				t.Errorf("address %d of %d is\n%s, want\n%s", i, len(got), show(got[min(i, len(got)-1)]), want)
			}
		}
		if len(got) != 4 {
			t.Errorf("%d addresses", len(got))
		}
	}
}

// An address that is visited under a new name each time does not fill the memory with them.
func TestNamesOfAnAddressAreBounded(t *testing.T) {
	var visits []visit
	var first []string
	for i := range 100 {
		name := fmt.Sprint("x", i/2) // each twice
		visits = append(visits, sample("a", name, 1))
		if i%2 == 0 && i < 40 {
			first = append(first, name)
		}
	}
	x, _ := open(t, false, trace(tracing.NewTable(), 0, 0, ppx.Tensor{}, visits...))
	if got, err := x.Addresses(ctx); err != nil || !slices.Equal(got[0].Names, first) {
		t.Errorf("%v, %v", got, err)
	}
}

// Mean and deviation are those of the values also where they are far from zero.
func TestMomentsOfAnAddress(t *testing.T) {
	table := tracing.NewTable()
	var traces []*tracing.Trace
	const n, far = 1000, 1e9
	for i := range uint64(n) {
		traces = append(traces, trace(table, i, 0, ppx.Tensor{}, sample("a", "", far+float64(i%2))))
	}
	x, _ := open(t, false, traces...)
	got, err := x.Addresses(ctx)
	// A value at 1e9 has a rounding of 1e-7; there are 1,000.
	if err != nil || math.Abs(got[0].Mean-far-0.5) > n*far*0x1p-53 || math.Abs(got[0].SD-0.5) > n*far*0x1p-53 {
		t.Errorf("%+v, %v", got, err)
	}
}

// Trace types, with their shares of the weight, which may be too large or too small for a number.
func TestTypes(t *testing.T) {
	for _, scale := range []float64{0, 5000, -5000} {
		table := tracing.NewTable()
		a, b := sample("a", "", 1), sample("b", "", 2)
		b.control = false
		tag := visit{address: "t", op: ppx.Tag}
		observe := visit{address: "y", op: ppx.Observe, control: true}
		traces := []*tracing.Trace{
			trace(table, 3, scale+math.Log(4), ppx.Tensor{}, a, b, observe),
			trace(table, 4, scale+math.Log(1), ppx.Tensor{}, a),
			tracing.FailedTrace(table, 5, 0, errors.New("lost")),
			trace(table, 6, scale+math.Log(2), ppx.Tensor{}, a, tag), // tags apart, as draw 4
			trace(table, 7, nan, ppx.Tensor{}, a),
			trace(table, 8, math.Inf(-1), ppx.Tensor{}, b, a),
			trace(table, 9, math.Inf(1), ppx.Tensor{}, a, b, observe),
			trace(table, 10, scale+math.Log(9), ppx.Tensor{}, a, a, a),
		}
		x, _ := open(t, false, traces...)
		got, err := x.Types(ctx)
		if err != nil {
			t.Fatal(err)
		}
		want := []inspect.Type{
			{Traces: 2, Weight: 4. / 16, Length: 3, First: 3, Controlled: 1},
			{Traces: 3, Weight: 3. / 16, Length: 1, First: 4, Controlled: 1},
			{Traces: 1, Weight: 0, Length: 2, First: 8, Controlled: 1},
			{Traces: 1, Weight: 9. / 16, Length: 3, First: 10, Controlled: 3},
		}
		if len(got) != len(want) {
			t.Fatalf("%d types: %+v", len(got), got)
		}
		for i, w := range want {
			g := got[i]
			// The log weights have roundings of 5000 × 2⁻⁵³ each.
			if math.Abs(g.Weight-w.Weight) > 8*5000*0x1p-53 || g.Traces != w.Traces || g.Length != w.Length || g.First != w.First || g.Controlled != w.Controlled || g.Place != i {
				t.Errorf("log weights around %g: type %d is %+v, want %+v", scale, i, g, w)
			}
			if id := traces[w.First-3].Type(); g.ID != id {
				t.Errorf("type %d is %x, want %x", i, g.ID, id)
			}
		}
	}
}

// Draws that share their statements with an earlier one, as steps of a chain that were not taken, count as if they had them.
func TestSharedStatements(t *testing.T) {
	table := tracing.NewTable()
	one, two := trace(table, 0, 0, ppx.Tensor{}, sample("a", "", 1)), trace(table, 2, 0, ppx.Tensor{}, sample("a", "", 4), sample("b", "", 5))
	again := *one
	again.Draw = 1
	again.Share(one)
	for _, parts := range []bool{false, true} {
		x, _ := open(t, parts, one, &again, two)
		addresses, err := x.Addresses(ctx)
		if err != nil || addresses[0].Visits != 3 || math.Abs(addresses[0].Mean-2) > 1e-15 || math.Abs(addresses[1].Weight-1./3) > 1e-15 {
			t.Errorf("%+v, %v", addresses, err)
		}
		types, err := x.Types(ctx)
		if err != nil || len(types) != 2 || types[0].Traces != 2 || math.Abs(types[0].Weight-2./3) > 1e-15 {
			t.Errorf("%+v, %v", types, err)
		}
	}
}

// What can be read of a damaged run is shown, and what cannot is named.
func TestDamagedParts(t *testing.T) {
	table := tracing.NewTable()
	var traces []*tracing.Trace
	for i := range uint64(3) {
		traces = append(traces, trace(table, i, 0, ppx.Tensor{}, sample("a", "", float64(i))))
	}
	for _, kind := range []string{"draws", "sites"} {
		_, path := open(t, true, traces...)
		file := filepath.Join(path, kind, "part-00001.parquet")
		if err := os.WriteFile(file, []byte("rubbish"), 0o600); err != nil {
			t.Fatal(err)
		}
		x, err := inspect.Open(ctx, path)
		if err != nil {
			t.Fatal(err)
		}
		addresses, err := x.Addresses(ctx)
		if err != nil || addresses[0].Visits != 2 || addresses[0].Mean != 1 {
			t.Errorf("%s: %+v, %v", kind, addresses, err)
		}
		if _, err := x.Types(ctx); err != nil || len(x.Damaged) != 1 || !strings.Contains(x.Damaged[0], kind) {
			t.Errorf("%s: %q, %v", kind, x.Damaged, err)
		}
	}
	x, _ := open(t, false)
	if got, err := x.Addresses(ctx); err != nil || len(got) != 0 {
		t.Errorf("no traces: %v, %v", got, err)
	}
	if got, err := x.Types(ctx); err != nil || len(got) != 0 {
		t.Errorf("no traces: %v, %v", got, err)
	}
}

// Of a run that is being written, what was there when it was opened is shown.
func TestRunThatGrows(t *testing.T) {
	path := filepath.Join(t.TempDir(), "run")
	w, err := rundir.Create(path, &rundir.Manifest{Model: "m", Method: "prior", PartSize: 1}, nil)
	if err != nil {
		t.Fatal(err)
	}
	table := tracing.NewTable()
	write := func(i uint64) {
		tr := trace(table, i, 0, ppx.Tensor{}, sample(fmt.Sprint("a", i), "", 1))
		tr.Row = int64(i)
		if err := w.Write(ctx, tr); err != nil {
			t.Fatal(err)
		}
	}
	write(0)
	x, err := inspect.Open(ctx, path)
	if err != nil {
		t.Fatal(err)
	}
	write(1)
	if err := w.Close(rundir.Complete, nil); err != nil {
		t.Fatal(err)
	}
	addresses, err := x.Addresses(ctx)
	if err != nil || len(addresses) != 1 || addresses[0].Visits != 1 {
		t.Errorf("%+v, %v", addresses, err)
	}
	if types, err := x.Types(ctx); err != nil || len(types) != 1 {
		t.Errorf("%+v, %v", types, err)
	}
	if _, err := x.Graph(ctx, inspect.GraphOptions{Type: "T2"}); err == nil || !strings.Contains(err.Error(), "T1 to T1") {
		t.Error(err)
	}
}

// A graph's transitions are those of the traces, by their weights; what is left out is gone over.
func TestGraph(t *testing.T) {
	table := tracing.NewTable()
	a, b, c := sample("a", "", 1), sample("b", "", 2), sample("c", "", 3)
	tag := visit{address: "t", op: ppx.Tag}
	x, _ := open(t, false,
		trace(table, 0, math.Log(3), ppx.Tensor{}, a, b, b, tag, c),
		trace(table, 1, 0, ppx.Tensor{}, a, c),
		trace(table, 2, math.Inf(-1), ppx.Tensor{}, c, a))
	show := func(g *inspect.Graph) (out []string) {
		name := func(place int) string {
			for _, n := range g.Nodes {
				if n.Place == place {
					return map[int]string{inspect.Start: "start", inspect.End: "end"}[place] + n.Base
				}
			}
			return "?"
		}
		for _, e := range g.Edges {
			out = append(out, fmt.Sprintf("%s-%s %.4g %.4g", name(e.From), name(e.To), e.Probability, e.PerTrace))
		}
		return out
	}
	for _, q := range []struct {
		o    inspect.GraphOptions
		want []string
	}{
		{inspect.GraphOptions{}, []string{"start-a 1 1", "a-b 0.75 0.75", "a-c 0.25 0.25", "b-b 0.5 0.75", "b-c 0.5 0.75", "c-end 1 1"}},
		{inspect.GraphOptions{Type: "T2"}, []string{"start-a 1 1", "a-c 1 1", "c-end 1 1"}},
		{inspect.GraphOptions{Most: 2}, []string{"start-a 1 1", "a-b 0.75 0.75", "a-end 0.25 0.25", "b-b 0.5 0.75", "b-end 0.5 0.75"}},
		{inspect.GraphOptions{Ops: []ppx.Type{ppx.Tag}}, []string{"start-t 0.75 0.75", "start-end 0.25 0.25", "t-end 1 0.75"}},
	} {
		g, err := x.Graph(ctx, q.o)
		if err != nil {
			t.Fatal(err)
		}
		if got := show(g); !slices.Equal(got, q.want) {
			t.Errorf("%+v: %q, want %q", q.o, got, q.want)
		}
	}
	if _, err := x.Graph(ctx, inspect.GraphOptions{Type: "T9"}); err == nil || !strings.Contains(err.Error(), "T1 to T3") {
		t.Error(err)
	}
}

// Traces that are the same are that also with other numbers for addresses and names, and with NaN in them.
func TestSameTracesDoNotDiffer(t *testing.T) {
	visits := []visit{sample("a", "x", nan, 1), sample("a", "y", 2), {address: "t", op: ppx.Tag, name: "t", control: true, value: dist.Scalar(3), logP: nan}}
	here, there := tracing.NewTable(), tracing.NewTable()
	there.Intern("t", ppx.Tag, dist.Normal)
	there.InternName("y")
	a := trace(here, 1, 0, dist.Vector(nan, 4), visits...)
	visits[2].control = false // of a Tag it means nothing
	b := trace(there, 2, 5, dist.Vector(nan, 4), visits...)
	if d := inspect.Compare(a, b, 0); len(d) > 0 {
		t.Errorf("%v", d)
	}
}

// Every way to differ is told, with its place.
func TestDifferences(t *testing.T) {
	first, second, third := sample("a", "x", 1), sample("b", "y", 2), visit{address: "c", op: ppx.Observe, name: "z", value: dist.Scalar(3), logP: -1}
	same := []visit{first, second, third}
	with := func(i int, f func(*visit)) []visit {
		v := slices.Clone(same)
		f(&v[i])
		return v
	}
	result := dist.Vector(1, 2)
	for name, c := range map[string]struct {
		got    []visit
		result ppx.Tensor
		want   []string
	}{
		"name":    {with(1, func(v *visit) { v.name = "w" }), result, []string{`statement 1: name "w", recorded was "y"`}},
		"no name": {with(1, func(v *visit) { v.name = "" }), result, []string{`statement 1: name "", recorded was "y"`}},
		"control": {with(0, func(v *visit) { v.control = false }), result, []string{"statement 0: x: control false, recorded was true"}},
		"value":   {with(2, func(v *visit) { v.value = dist.Scalar(3.5) }), result, []string{"statement 2: z: value 3.5, recorded was 3"}},
		"NaN":     {with(2, func(v *visit) { v.value = dist.Scalar(nan) }), result, []string{"statement 2: z: value NaN, recorded was 3"}},
		"no value": {with(2, func(v *visit) { v.value = ppx.Tensor{} }), result,
			[]string{fmt.Sprintf("statement 2: z: value %v, recorded was 3", ppx.Tensor{})}},
		"density":     {with(2, func(v *visit) { v.logP = -1.25 }), result, []string{"statement 2: z: log density -1.25, recorded was -1"}},
		"density NaN": {with(2, func(v *visit) { v.logP = nan }), result, []string{"statement 2: z: log density NaN, recorded was -1"}},
		"two things": {with(2, func(v *visit) { v.name, v.logP = "w", 0 }), result,
			[]string{`statement 2: name "w", recorded was "z"`, "statement 2: z: log density 0, recorded was -1"}},
		// What follows another address is another story.
		"address": {with(1, func(v *visit) { v.address, v.value = "b\n", dist.Scalar(7) }), result, []string{`statement 1: Sample at b\x0a, recorded was Sample at b`}},
		"type":    {with(1, func(v *visit) { v.op = ppx.Tag }), result, []string{"statement 1: Tag at b, recorded was Sample at b"}},
		"visit":   {with(1, func(v *visit) { v.address = "a" }), result, []string{"statement 1: Sample at a__2, recorded was Sample at b"}},
		"shorter": {same[:2], result, []string{"2 statements, recorded were 3"}},
		// Who differs before may well have another number of statements.
		"name, and shorter": {with(1, func(v *visit) { v.name = "w" })[:2], result, []string{`statement 1: name "w", recorded was "y"`}},
		"longer":            {append(slices.Clone(same), third), result, []string{"4 statements, recorded were 3"}},
		"result":            {same, dist.Vector(1, 3), []string{fmt.Sprintf("result %v, recorded was %v", dist.Vector(1, 3), result)}},
		"no result":         {same, ppx.Tensor{}, []string{fmt.Sprintf("result %v, recorded was %v", ppx.Tensor{}, result)}},
		"and result": {with(1, func(v *visit) { v.op = ppx.Tag }), dist.Scalar(0),
			[]string{"statement 1: Tag at b, recorded was Sample at b", fmt.Sprintf("result 0, recorded was %v", result)}},
	} {
		var got []string
		for _, d := range inspect.Compare(trace(tracing.NewTable(), 0, 0, result, same...), trace(tracing.NewTable(), 0, 0, c.result, c.got...), 0) {
			got = append(got, d.String())
			if at := strings.HasPrefix(d.String(), "statement "); at != (d.Index >= 0) {
				t.Errorf("%s: index %d of %q", name, d.Index, d)
			}
		}
		if !slices.Equal(got, c.want) {
			t.Errorf("%s:\n%s\nwant\n%s", name, strings.Join(got, "\n"), strings.Join(c.want, "\n"))
		}
	}
}

// The list of differences is bounded: it is for people.
func TestDifferencesAreBounded(t *testing.T) {
	var a, b []visit
	for i := range 100 {
		a, b = append(a, sample("a", "x", 1)), append(b, sample("a", "x", float64(i+2)))
	}
	d := inspect.Compare(trace(tracing.NewTable(), 0, 0, ppx.Tensor{}, a...), trace(tracing.NewTable(), 0, 0, ppx.Tensor{}, b...), 0)
	if len(d) != 10 || d[0].Index != 0 || d[9].Index != 9 {
		t.Errorf("%d differences: %v", len(d), d)
	}
}

// drawn makes a trace of one Sample with a distribution.
func drawn(t *testing.T, d ppx.Dist, value, result ppx.Tensor) *tracing.Trace {
	t.Helper()
	logP, err := d.LogProb(value)
	if err != nil {
		t.Fatal(err)
	}
	table := tracing.NewTable()
	var b tracing.Builder
	b.Reset(table, 0, 0)
	b.Add(tracing.Site{Key: tracing.Key{Address: table.Intern("a__Normal", ppx.Sample, dist.Normal), Instance: 1}, Name: table.InternName("x"), Op: ppx.Sample, LogP: logP}, value, &d)
	return b.Finish(result, 0, 0)
}

// Another distribution is a difference also where the value has the same density under it; a parameter that is written
// once and one that is written for each element are the same.
func TestDistributionsAreCompared(t *testing.T) {
	normal := func(mean ...float64) ppx.Dist {
		return ppx.Dist{Kind: dist.Normal, Params: []ppx.Tensor{dist.Vector(mean...), dist.Scalar(1)}}
	}
	value := dist.Vector(1, 1)
	recorded := drawn(t, normal(0, 0), value, value)
	short := drawn(t, normal(0), value, value)
	if a, b := inspect.Compare(recorded, short, 0), inspect.Compare(short, recorded, 0); len(a)+len(b) > 0 {
		t.Errorf("%v, %v", a, b)
	}
	for _, mean := range []float64{2, 3} { // 1 is as far from 0 as from 2; from 3 it is not, which follows and is not told
		d := inspect.Compare(recorded, drawn(t, normal(0, mean), value, value), 0)
		if want := fmt.Sprintf("statement 0: x: %s, recorded was %s", normal(0, mean), normal(0, 0)); len(d) != 1 || d[0].String() != want {
			t.Errorf("%v, want %s", d, want)
		}
	}
}

// With a tolerance numbers may differ by so much, relative to themselves or, for a value, to the parameters that it is
// made of; without it by nothing, and what differs in the last digit is told to that.
func TestNumbersWithinTheTolerance(t *testing.T) {
	normal := dist.New(dist.Normal, 1e6, 1)
	with := func(d ppx.Dist, value, result float64) *tracing.Trace {
		return drawn(t, d, dist.Scalar(value), dist.Scalar(result))
	}
	recorded := with(normal, 2, 3)
	const tolerance = 1e-9
	for name, c := range map[string]struct {
		trace *tracing.Trace
		same  bool
	}{
		"a parameter, little": {with(dist.New(dist.Normal, 1e6*(1+0.9*tolerance), 1), 2, 3), true},
		"a parameter":         {with(dist.New(dist.Normal, 1e6*(1+1.1*tolerance), 1), 2, 3), false},
		"the other parameter": {with(dist.New(dist.Normal, 1e6, 1+1.1*tolerance), 2, 3), false},
		"the value, little":   {with(normal, 2+0.9e6*tolerance, 3), true}, // mean + z, whose rounding is the mean's
		"the value":           {with(normal, 2+1.1e6*tolerance, 3), false},
		"the result, little":  {with(normal, 2, 3*(1+0.9*tolerance)), true},
		"the result":          {with(normal, 2, 3*(1+1.1*tolerance)), false},
		"the value, NaN":      {with(normal, nan, 3), false},
	} {
		if d := inspect.Compare(recorded, c.trace, tolerance); (len(d) == 0) != c.same {
			t.Errorf("%s: %v", name, d)
		}
		if d := inspect.Compare(recorded, c.trace, 0); len(d) == 0 {
			t.Errorf("%s, without a tolerance: no difference", name)
		}
	}
	d := inspect.Compare(recorded, with(normal, math.Nextafter(2, 3), 3), 0)
	if want := "statement 0: x: value 2.0000000000000004 at element 0, recorded was 2"; len(d) != 1 || d[0].String() != want {
		t.Errorf("%v, want %s", d, want)
	}
}

// Statements are found by what they are asked for; traces that share statements count as all of them.
func TestGrep(t *testing.T) {
	table := tracing.NewTable()
	one := trace(table, 0, 0, ppx.Tensor{}, sample("a", "x", 1), sample("b", "y", 5, -2), visit{address: "t", op: ppx.Tag, name: "z", value: dist.Scalar(7), logP: nan})
	again := *one
	again.Draw = 1
	again.Share(one)
	x, _ := open(t, false, one, &again, trace(table, 2, math.Log(2), ppx.Tensor{}, sample("a", "x", 3)))
	for text, want := range map[string]string{
		`name == "x" and value > 0`:        "[0.0 2.0] 3 3 1",
		`value > 0`:                        "[0.0 0.2 2.0] 5 3 1",
		`least < 0`:                        "[0.1] 2 2 0.5",
		`first == 5 and size == 2`:         "[0.1] 2 2 0.5",
		`largest == 7 and role == "tag"`:   "[0.2] 2 2 0.5",
		`id == "A1" and row == 2`:          "[2.0] 1 1 0.5",
		`address contains "b" or draw > 5`: "[0.1] 2 2 0.5",
		`log_p < -1`:                       "[] 0 0 0",
		`weight >= 0.5 and control == 1`:   "[0.0 0.1 2.0] 5 3 1",
	} {
		e, err := expression.CompileTexts(text, inspect.NumberFields, inspect.TextFields)
		if err != nil {
			t.Fatal(err)
		}
		f, err := x.Grep(ctx, e, 0)
		if err != nil {
			t.Fatal(err)
		}
		var at []string
		for _, m := range f.Matches {
			at = append(at, fmt.Sprintf("%d.%d", m.Row, m.Index))
		}
		if got := fmt.Sprintf("%v %d %d %.4g", at, f.Statements, f.Traces, f.Weight); got != want {
			t.Errorf("%s: %s, want %s", text, got, want)
		}
		if few, err := x.Grep(ctx, e, 1); err != nil || len(few.Matches) > 1 || few.Statements != f.Statements {
			t.Errorf("%s: one of them: %+v, %v", text, few, err)
		}
	}
}

// Passes of a rejection loop are geometric; those of a loop over a list, or as many as a Poisson says, are not.
func TestGeometricPasses(t *testing.T) {
	of := func(counts ...int) (list []inspect.Passes) {
		for _, k := range counts {
			list = append(list, inspect.Passes{At: make([]int, 2*k), Period: 2})
		}
		return list
	}
	var geometric, fixed, uniform []int
	for i := range 512 {
		k := 2
		for j := i; j&1 == 1; j >>= 1 {
			k++
		}
		geometric, fixed, uniform = append(geometric, k), append(fixed, 5), append(uniform, 2+i%8)
	}
	if !inspect.Geometric(of(geometric...)) || inspect.Geometric(of(fixed...)) || inspect.Geometric(of(uniform...)) || inspect.Geometric(of(2, 2, 3)) {
		t.Error("wrong")
	}
}
