package page

import (
	"bytes"
	"context"
	_ "embed"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"html/template"
	"image"
	"image/color"
	"image/png"
	"io"
	"math"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"github.com/ppx-engine/ppx-engine/internal/text"
	"github.com/ppx-engine/ppx-engine/jobs"
	"github.com/ppx-engine/ppx-engine/posterior"
	"github.com/ppx-engine/ppx-engine/ppx"
	"github.com/ppx-engine/ppx-engine/tracing/inspect"
	"github.com/ppx-engine/ppx-engine/tracing/rundir"
	"github.com/ppx-engine/ppx-engine/view"
)

//go:embed report.html
var reportHTML string

var reportTemplate = template.Must(template.New("report").Parse(reportHTML))

// Options of a report.
type Options struct {
	Title  string             // "": what it is of
	Vars   []string           // that are drawn; none: the first that can be
	Truths map[string]float64 // true values, by variable
}

// shown is what the template takes.
type shown struct {
	Title     string
	Runs      []run
	Marginals template.URL
	Drawn     string
	Pairs     []pair
}

type run struct {
	ID, Name, Verdict, Word, Figures string
	Auto, Reasons, Remarks           []string
	Table                            table
	Inside                           []table
	Made, Data, Job, Verb            string
}

type table struct {
	Title, Note string
	Header      []cell
	Rows        [][]cell
}

type cell struct {
	Text        string
	Right, Long bool
}

type pair struct {
	X, Y, RangeX, RangeY, Correlation string
	Image                             template.URL
}

// words are verdicts in a word or two.
var words = map[posterior.Verdict]string{posterior.Good: "good", posterior.Doubtful: "doubtful", posterior.None: "do not trust this result"}

// Most rows of a table, so that a page stays a page.
const (
	mostVariables = 2000
	mostInside    = 40
	mostPairs     = 4 // variables
)

// Report writes a page about one or several runs, in one file that needs no other. Errors: rundir's, ErrVariable, the writer's.
func Report(ctx context.Context, w io.Writer, paths []string, o Options) error {
	x := shown{Title: o.Title}
	var results []*view.Posterior
	var first *inspect.Run
	for i, path := range paths {
		out, err := jobs.Summarise(ctx, path, false)
		if err != nil {
			return err
		}
		p := view.NewPosterior(out)
		results = append(results, p)
		r := run{ID: fmt.Sprintf("table%d", i), Name: ppx.Printable(path), Verdict: string(p.Trust.Verdict), Word: words[p.Trust.Verdict]}
		if p.Conditioned {
			r.Figures = strings.ReplaceAll(p.Figures(), "   ", ", ")
		} else if p.Trust.Verdict == posterior.Good {
			r.Word = "draws of the prior"
		}
		if p.Auto != nil {
			r.Auto = p.Auto.Sentences
		}
		for _, reason := range p.Trust.Reasons {
			r.Reasons = append(r.Reasons, ppx.Printable(reason.Text))
		}
		for _, remark := range p.Remarks() {
			r.Remarks = append(r.Remarks, ppx.Printable(remark))
		}
		r.Table = variables(p)
		opened, err := inspect.Open(ctx, path)
		if err != nil {
			return err
		}
		if i == 0 {
			first = opened
		}
		if r.Inside, err = inside(ctx, opened); err != nil {
			return err
		}
		r.again(out.Manifest)
		x.Runs = append(x.Runs, r)
	}
	if x.Title == "" {
		what := "Prior"
		if results[0].Conditioned {
			what = "Posterior"
		}
		x.Title = what + " of " + ppx.Printable(results[0].Model)
	}
	vars := o.Vars
	if len(vars) == 0 {
		vars = common(results)
	}
	if len(vars) > 0 {
		svg, err := drawn(results, vars, o.Truths)
		if err != nil {
			return err
		}
		x.Marginals, x.Drawn = svg, ppx.List(vars, 9)
	}
	var err error
	if x.Pairs, err = pairs(ctx, first, vars); err != nil {
		return err
	}
	var page bytes.Buffer
	if err := reportTemplate.Execute(&page, &x); err != nil {
		return err
	}
	_, err = w.Write(page.Bytes())
	return err
}

// common are the variables to draw that all runs have.
func common(results []*view.Posterior) (out []string) {
	for _, name := range Plottable(results[0].Sum) {
		if !slices.ContainsFunc(results[1:], func(r *view.Posterior) bool {
			_, err := r.Sum.Histogram(name, 30)
			return err != nil
		}) {
			out = append(out, name)
		}
	}
	return out
}

// drawn are the marginals as a picture within the page.
func drawn(results []*view.Posterior, vars []string, truths map[string]float64) (template.URL, error) {
	dir, err := os.MkdirTemp("", "ppx-report-")
	if err != nil {
		return "", err
	}
	defer os.RemoveAll(dir)
	path := filepath.Join(dir, "marginals.svg")
	if err := Marginals(path, results, vars, truths); err != nil {
		return "", err
	}
	b, err := os.ReadFile(path)
	return within("image/svg+xml", b), err
}

// within is a file in a page.
func within(kind string, b []byte) template.URL {
	return template.URL("data:" + kind + ";base64," + base64.StdEncoding.EncodeToString(b))
}

// variables is the table of a posterior.
func variables(p *view.Posterior) table {
	var out table
	t := p.TableOf(mostVariables)
	for _, h := range t.Header {
		out.Header = append(out.Header, cell{Text: strings.TrimPrefix(h, ">"), Right: strings.HasPrefix(h, ">")})
	}
	out.rows(t.Rows)
	return out
}

// rows adds those of a table, aligned as its header.
func (t *table) rows(rows [][]string) {
	for _, r := range rows {
		var line []cell
		for i, c := range r {
			line = append(line, cell{Text: c, Right: t.Header[i].Right})
		}
		t.Rows = append(t.Rows, line)
	}
}

// headed is a table with a header, in which > aligns a column right.
func headed(title string, header ...string) table {
	t := table{Title: title}
	for _, h := range header {
		t.Header = append(t.Header, cell{Text: strings.TrimPrefix(h, ">"), Right: strings.HasPrefix(h, ">")})
	}
	return t
}

// add appends a row, whose last cell is an address.
func (t *table) add(cells ...string) {
	t.rows([][]string{cells})
	last := t.Rows[len(t.Rows)-1]
	last[len(last)-1].Long = true
}

// inside is what the traces did: the way of particles or chains, addresses and trace types.
func inside(ctx context.Context, r *inspect.Run) (out []table, err error) {
	m := r.Manifest
	if p := m.Particles; p != nil {
		t := headed("Ladder", ">rung", ">β", ">ESS", ">islands resampled", ">moves", ">moved", ">ancestors left")
		for i, r := range p.Ladder {
			if len(p.Ladder) > 2*mostInside && i >= mostInside && i < len(p.Ladder)-mostInside {
				continue
			}
			t.rows([][]string{{fmt.Sprint(i + 1), view.Figure(r.Beta), view.Figure(view.Round(r.ESS)), fmt.Sprintf("%d of %d", r.Resampled, p.Islands), fmt.Sprint(r.Moves), view.Percent(r.Moved), text.Thousands(uint64(r.Ancestors))}})
		}
		out = append(out, t)
	}
	if c := m.Chains; c != nil {
		t := headed("Steps of the chains", ">steps", ">accepted", "address of the site that moved")
		var bases []string
		for base := range c.Acceptance {
			bases = append(bases, base)
		}
		slices.Sort(bases)
		for _, base := range bases[:min(len(bases), mostInside)] {
			a := c.Acceptance[base]
			t.add(text.Thousands(a.Steps), view.Percent(float64(a.Accepted)/float64(max(1, a.Steps))), ppx.Printable(base))
		}
		out = append(out, t)
	}
	addresses, err := r.Addresses(ctx)
	if err != nil {
		return nil, err
	}
	a := view.NewAddresses(addresses, r.Damaged, mostInside)
	t := headed(fmt.Sprintf("Where draws are made: %s addresses", text.Thousands(uint64(len(addresses)))), "", "role", "kind", "names", ">weight", ">visits", ">most in one", "address")
	for _, x := range a.Addresses {
		t.add(x.Short, x.Role, x.Kind, text.Clip(strings.Join(x.Names, " "), 40), view.Percent(float64(x.Weight)), text.Thousands(x.Visits), fmt.Sprint(x.Instances), ppx.Printable(x.Address))
	}
	t.Note = more(len(addresses)) + "Weight is the share of the probability of traces that pass an address."
	out = append(out, t)
	types, err := r.Types(ctx)
	if err != nil {
		return nil, err
	}
	ty := view.NewTypes(types, r.Damaged, mostInside)
	t = headed(fmt.Sprintf("Which paths it took: %s trace types", text.Thousands(uint64(len(types)))), "", ">weight", ">traces", ">statements", ">controlled", ">first draw")
	for _, x := range ty.Types {
		t.rows([][]string{{x.Short, view.Percent(float64(x.Weight)), text.Thousands(x.Traces), fmt.Sprint(x.Length), fmt.Sprint(x.Controlled), fmt.Sprint(x.First)}})
	}
	t.Note = more(len(types)) + strings.Join(r.Damaged, "; ")
	return append(out, t), nil
}

func more(n int) string {
	if n > mostInside {
		return fmt.Sprintf("… and %s more. ", text.Thousands(uint64(n-mostInside)))
	}
	return ""
}

// again is how to make a run once more.
func (r *run) again(m *rundir.Manifest) {
	r.Made = fmt.Sprintf("Made by ppx %s on %s, %s: %s traces in %s", ppx.Printable(m.PPXVersion), ppx.Printable(m.Host.OS), m.Started.Format("2006-01-02 15:04 MST"), text.Thousands(m.Counts.Traces), view.Short(view.Seconds(m.Seconds)))
	if len(m.Systems) > 0 {
		r.Made += "; simulator: " + ppx.Printable(strings.Join(m.Systems, ", "))
	}
	r.Made += fmt.Sprintf("; seed %d.", m.Seed)
	if l := m.Lineage; l != nil {
		r.Made += fmt.Sprintf(" Made of %s: %s.", ppx.Printable(l.Run), ppx.Printable(l.Words()))
	}
	var names []string
	for name := range m.Data {
		names = append(names, name)
	}
	slices.Sort(names)
	var data []string
	for _, name := range names {
		d := m.Data[name]
		v := "…"
		if len(d.Data) == 1 {
			v = view.Figure(float64(d.Data[0]))
		} else if len(d.Data) > 0 {
			v = fmt.Sprintf("%d numbers", len(d.Data))
		}
		data = append(data, ppx.Printable(name)+" = "+v)
	}
	if len(data) > mostInside {
		data = append(data[:mostInside], fmt.Sprintf("and %d more", len(data)-mostInside))
	}
	r.Data = strings.Join(data, ", ")
	var pretty bytes.Buffer
	if json.Indent(&pretty, m.Job, "", "  ") == nil && pretty.Len() > 0 {
		lines := strings.Split(pretty.String(), "\n")
		for i := range lines {
			lines[i] = ppx.Printable(lines[i])
		}
		r.Job = strings.Join(lines, "\n")
		var verb struct{ Verb string }
		if json.Unmarshal(m.Job, &verb) == nil {
			r.Verb = verb.Verb
		}
	}
}

// pairs are the first variables two by two, of the first run.
func pairs(ctx context.Context, r *inspect.Run, vars []string) (out []pair, err error) {
	vars = vars[:min(len(vars), mostPairs)]
	if len(vars) < 2 {
		return nil, nil
	}
	values, err := r.Values(ctx, vars, 0)
	if err != nil {
		return nil, err
	}
	for i := range values {
		for j := range i {
			p := inspect.Together(&values[j], &values[i], 48, 36)
			if p.Both == 0 {
				continue
			}
			img, err := heat(&p)
			if err != nil {
				return nil, err
			}
			ends := func(lo, hi float64) string { return fmt.Sprintf("%.3g to %.3g", lo, hi) }
			out = append(out, pair{ppx.Printable(p.X), ppx.Printable(p.Y), ends(p.LowX, p.HighX), ends(p.LowY, p.HighY), view.Figure(math.Round(1000*p.Correlation) / 1000), img})
		}
	}
	return out, nil
}

// heat draws a plane.
func heat(p *inspect.Plane) (template.URL, error) {
	const size = 6
	rows, columns := len(p.Share), len(p.Share[0])
	most := 0.0
	for _, row := range p.Share {
		most = math.Max(most, slices.Max(row))
	}
	img := image.NewRGBA(image.Rect(0, 0, columns*size, rows*size))
	for y := range rows * size {
		for x := range columns * size {
			v := 0.0
			if most > 0 {
				v = math.Sqrt(p.Share[rows-1-y/size][x/size] / most)
			}
			img.SetRGBA(x, y, shade(v))
		}
	}
	var b bytes.Buffer
	if err := png.Encode(&b, img); err != nil {
		return "", err
	}
	return within("image/png", b.Bytes()), nil
}

// shade is a colour from white to dark blue, which is read without colours too.
func shade(v float64) color.RGBA {
	mix := func(a, b float64) uint8 { return uint8(math.Round(a + (b-a)*v)) }
	return color.RGBA{mix(255, 8), mix(255, 48), mix(255, 107), 255}
}
