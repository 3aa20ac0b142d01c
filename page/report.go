package page

import (
	"bytes"
	"context"
	_ "embed"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"html/template"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"github.com/ppx-engine/ppx-engine/internal/text"
	"github.com/ppx-engine/ppx-engine/jobs"
	"github.com/ppx-engine/ppx-engine/judge"
	"github.com/ppx-engine/ppx-engine/posterior"
	"github.com/ppx-engine/ppx-engine/ppx"
	"github.com/ppx-engine/ppx-engine/report"
	"github.com/ppx-engine/ppx-engine/tracing/inspect"
	"github.com/ppx-engine/ppx-engine/tracing/rundir"
	"github.com/ppx-engine/ppx-engine/view"
)

//go:embed report.html
var reportHTML string

//go:embed report.js
var reportJS string

var reportTemplate = template.Must(template.New("report").Parse(reportHTML))

// Options of a report.
type Options struct {
	Title  string             // "": what it is of
	Lead   string             // text in front of all, as a terminal would show it
	Vars   []string           // that are drawn; none: the first that can be
	Truths map[string]float64 // true values, by variable

	// Of a page that is served rather than written into a file:
	Links      []Link // to others; none: it stands alone
	Run, State string // what it is of, and how far that is
	Nonce      string // of its scripts, for the browser's policy
}

// Link leads to another page.
type Link struct{ Name, URL string }

// shown is what the template takes.
type shown struct {
	Options
	Title   string
	Runs    []run
	Figures []figure
	Graph   template.HTML
	GraphOf string
	Data    *Charts
	Library []template.JS // of charts; none: pictures only
	Own     template.JS
}

// figure is a picture of a page, and the chart that takes its place where there is a library.
type figure struct {
	Chart, Title, Caption, Note string
	Image                       template.URL
}

type run struct {
	ID, Name, Verdict, Word, Figures string
	Auto, Reasons, Remarks           []string
	Table                            table
	Inside                           []table
	Made, Data, Job, Verb            string
	Apart                            bool // the job is without its data
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

// words are verdicts in a word or two.
var words = map[posterior.Verdict]string{posterior.Good: "good", posterior.Doubtful: "doubtful", posterior.None: "do not trust this result"}

// Most rows of a table, so that a page stays a page; and addresses of a graph.
const (
	mostVariables = 2000
	mostInside    = 40
)

// Report writes a page about one or several runs, in one file that needs no other; folders of replicates (ppx predict) among them are set beside the data.
// Errors: rundir's, ErrVariable, ErrNone, the writer's.
func Report(ctx context.Context, w io.Writer, paths []string, o Options) error {
	x := shown{Options: o, Title: o.Title, Library: library(), Own: template.JS(reportJS)}
	var runs []*source
	var predicted *judge.Predictive
	for _, path := range paths {
		if spec, err := jobs.Recorded(path); err == nil && spec.Verb == jobs.Predict {
			if predicted != nil {
				return fmt.Errorf("%w: one folder of replicates is enough for a page, and %s is another", ErrNone, ppx.Printable(path))
			}
			if predicted, err = jobs.Predicted(ctx, path, nil); err != nil {
				return err
			}
			continue
		}
		s, err := open(ctx, path)
		if err != nil {
			return err
		}
		runs = append(runs, s)
	}
	if len(runs) == 0 { // replicates are of the run whose latents they have
		s, err := open(ctx, predicted.Run)
		if err != nil {
			return fmt.Errorf("the run that the replicates are of: %w", err)
		}
		runs = append(runs, s)
	}
	for i, s := range runs {
		r, err := about(ctx, s)
		if err != nil {
			return err
		}
		r.ID = fmt.Sprintf("table%d", i)
		x.Runs = append(x.Runs, *r)
	}
	if x.Title == "" {
		what := "Prior"
		if runs[0].Conditioned {
			what = "Posterior"
		}
		x.Title = what + " of " + ppx.Printable(runs[0].Model)
	}
	vars := o.Vars
	if len(vars) == 0 {
		vars = common(posteriors(runs))
	}
	var err error
	if x.Data, err = newCharts(ctx, runs, vars, o.Truths, predicted); err != nil {
		return err
	}
	if x.Figures, err = figures(x.Data, runs, vars, o.Truths, predicted); err != nil {
		return err
	}
	if x.Graph, x.GraphOf, err = graphOf(ctx, runs[0]); err != nil {
		return err
	}
	var page bytes.Buffer
	if err := reportTemplate.Execute(&page, &x); err != nil {
		return err
	}
	_, err = w.Write(page.Bytes())
	return err
}

// Live writes what of a run's page changes while the run goes on: the verdict and the table. Errors: the writer's.
func Live(w io.Writer, p *view.Posterior) error {
	r := said(p)
	r.ID = "table0"
	return reportTemplate.ExecuteTemplate(w, "live", &shown{Runs: []run{*r}})
}

// open reads a run.
func open(ctx context.Context, path string) (*source, error) {
	out, err := jobs.Summarise(ctx, path, false)
	if err != nil {
		return nil, err
	}
	inside, err := inspect.Open(ctx, path)
	if err != nil {
		return nil, err
	}
	s := &source{Posterior: view.NewPosterior(out), manifest: out.Manifest, inside: inside}
	if m := out.Manifest; m.Conditioned && m.Chains == nil {
		s.lorenz = lorenz(inside)
	}
	return s, nil
}

// about is what a page says of a run.
func about(ctx context.Context, s *source) (*run, error) {
	r := said(s.Posterior)
	var err error
	if r.Inside, err = inside(ctx, s.inside, s.find()); err != nil {
		return nil, err
	}
	r.again(s.Run, s.manifest)
	return r, nil
}

// said is a run's verdict and table.
func said(s *view.Posterior) *run {
	r := &run{Name: ppx.Printable(s.Run), Verdict: string(s.Trust.Verdict), Word: words[s.Trust.Verdict]}
	if s.Conditioned {
		r.Figures = strings.ReplaceAll(s.Figures(), "   ", ", ")
	} else if s.Trust.Verdict == posterior.Good {
		r.Word = "draws of the prior"
	}
	if s.Auto != nil {
		r.Auto = s.Auto.Sentences
	}
	for _, reason := range s.Trust.Reasons {
		r.Reasons = append(r.Reasons, ppx.Printable(reason.Text))
	}
	for _, remark := range s.Remarks() {
		r.Remarks = append(r.Remarks, ppx.Printable(remark))
	}
	r.Table = variables(s)
	return r
}

// common are the variables to draw that all runs have.
func common(results []*view.Posterior) (out []string) {
	for _, name := range Plottable(results[0].Sum) {
		if !slices.ContainsFunc(results[1:], func(r *view.Posterior) bool {
			return !canDraw(r.Sum, name)
		}) {
			out = append(out, name)
		}
	}
	return out
}

// figures are the pictures of a page.
func figures(c *Charts, runs []*source, vars []string, truths map[string]float64, predicted *judge.Predictive) (out []figure, err error) {
	dir, err := os.MkdirTemp("", "ppx-report-")
	if err != nil {
		return nil, err
	}
	defer os.RemoveAll(dir)
	path := filepath.Join(dir, "picture.svg")
	add := func(f figure, draw func() error) {
		if err != nil {
			return
		}
		if err = draw(); err != nil {
			return
		}
		var b []byte
		if b, err = os.ReadFile(path); err == nil {
			f.Image = within("image/svg+xml", b)
			out = append(out, f)
		}
	}
	of := func(s *source) string {
		if len(runs) == 1 {
			return ""
		}
		return " Of " + ppx.Printable(s.Run) + "."
	}
	results := posteriors(runs)
	if len(vars) > 0 {
		add(figure{Chart: "marginals", Title: "Marginals", Caption: "How probable values are" + map[bool]string{true: ", of the runs over one another"}[len(runs) > 1] + "."}, func() error { return Marginals(path, results, vars, truths) })
	}
	if pairs := vars[:min(len(vars), 4)]; len(pairs) > 1 && c.Pairs != nil {
		add(figure{Chart: "pairs", Title: "How they lie together", Caption: "Darker is more probable" + map[bool]string{true: "; lines are truths"}[len(truths) > 0] + "." + of(runs[0])}, func() error {
			ms, err := marginals(results[:1], pairs, truths)
			if err != nil {
				return err
			}
			return report.Corner(path, "", ms, planes(runs[0].values[:len(pairs)]))
		})
	}
	var lines [][]report.XY
	var names []string
	for i, r := range runs {
		if r.lorenz != nil {
			lines, names = append(lines, r.lorenz), append(names, c.Runs[i])
		}
	}
	if len(names) > 0 {
		add(figure{Chart: "weights", Title: "Weights", Caption: "How much of the weight few draws have, the largest weights first: a line that rises at once rests on hardly any. Chains have no weights."}, func() error {
			return drawWeights(path, "", names, lines)
		})
	}
	if len(c.Chains) > 0 {
		add(figure{Chart: "chains", Title: "Chains", Caption: "Left: the course of each chain. Right: draws of each chain by their rank among all; chains that have come to the same are level." + of(withChains(runs))}, func() error {
			return drawChains(path, "", c.Chains[:min(len(c.Chains), mostChains)])
		})
	}
	if len(c.Ladder) > 0 {
		add(figure{Chart: "ladder", Title: "Ladder", Caption: "How particles came from the prior to the posterior, rung by rung." + of(withLadder(runs))}, func() error { return drawLadder(path, "", withLadder(runs).manifest.Particles) })
	}
	if predicted != nil {
		drawn := false
		if drawn, err = Predictive(path, "posterior", predicted); err != nil {
			return nil, err
		}
		if drawn {
			p := view.NewPrediction("", predicted)
			add(figure{Chart: "predictive", Title: "Data beside what the posterior predicts", Caption: "Replicates of " + ppx.Printable(predicted.Run) + ": histograms, with what was observed as a line; of series, bands that hold half and nine tenths, with dots.", Note: strings.Join(p.Findings, "; ")}, func() error { return nil })
		}
	}
	if len(c.Training) > 1 {
		add(figure{Chart: "training", Title: "Training of the network", Caption: "Loss of held-out traces, in nats."}, func() error { return Training(path, runs[0].manifest.Network.File+".train") })
	}
	return out, err
}

// within is a file in a page.
func within(kind string, b []byte) template.URL {
	return template.URL("data:" + kind + ";base64," + base64.StdEncoding.EncodeToString(b))
}

// graphOf is the graph of a run's most visited addresses.
func graphOf(ctx context.Context, s *source) (svg template.HTML, caption string, err error) {
	g, err := s.inside.Graph(ctx, inspect.GraphOptions{Most: mostInside})
	if err != nil {
		return "", "", err
	}
	if len(g.Nodes) == 0 {
		return "", "", nil
	}
	seen := view.NewGraph(s.Run, "", g, s.inside.Damaged)
	seen.Locate(s.find())
	x := Graph(seen)
	caption, x.Caption = x.Caption, ""
	var b strings.Builder
	if err := x.SVG(&b); err != nil {
		return "", "", err
	}
	return template.HTML(b.String()), caption, nil
}

// withChains is the first run of chains, withLadder the first of particles that have climbed; nil if there is none.
func withChains(runs []*source) *source {
	return first(runs, func(s *source) bool { return s.Sum.Chained != nil })
}

func withLadder(runs []*source) *source {
	return first(runs, func(s *source) bool { return s.manifest.Particles != nil && len(s.manifest.Particles.Ladder) > 0 })
}

func first(runs []*source, is func(*source) bool) *source {
	if i := slices.IndexFunc(runs, is); i >= 0 {
		return runs[i]
	}
	return nil
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
func inside(ctx context.Context, r *inspect.Run, find view.Locator) (out []table, err error) {
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
	addresses, err := r.Folded(ctx)
	if err != nil {
		return nil, err
	}
	a := view.NewAddresses(addresses, r.Damaged, mostInside)
	a.Locate(find)
	t := headed("Where draws are made: "+text.Count(len(addresses), "address", "addresses"), "", "role", "kind", "names", ">weight", ">visits", ">most in one", "source", "address")
	for _, x := range a.Addresses {
		t.add(x.Short, x.Role, x.Kind, text.Clip(strings.Join(x.Names, " "), 40), view.Percent(float64(x.Weight)), text.Thousands(x.Visits), fmt.Sprint(x.Instances), x.Source, ppx.Printable(x.Address))
	}
	if !slices.ContainsFunc(t.Rows, func(r []cell) bool { return r[7].Text != "" }) { // no line is known
		t.Header = slices.Delete(t.Header, 7, 8)
		for i := range t.Rows {
			t.Rows[i] = slices.Delete(t.Rows[i], 7, 8)
		}
	}
	t.Note = more(len(addresses)) + "Weight is the share of the probability of traces that pass an address."
	out = append(out, t)
	types, err := r.Types(ctx)
	if err != nil {
		return nil, err
	}
	ty := view.NewTypes(types, r.Damaged, mostInside)
	t = headed("Which paths it took: "+text.Count(len(types), "trace type", "trace types"), "", ">weight", ">traces", ">statements", ">controlled", ">first draw")
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
func (r *run) again(path string, m *rundir.Manifest) {
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
	spec, err := jobs.Recorded(path)
	if err != nil {
		return
	}
	r.Verb, spec.Out = spec.Verb, ""
	var job bytes.Buffer
	if spec.Write(&job, ".") != nil { // the data are too large for it
		job.Reset()
		_ = json.Indent(&job, m.Job, "", "  ") // it is JSON: it was read
		r.Apart = true
	}
	lines := strings.Split(job.String(), "\n")
	for i := range lines {
		lines[i] = ppx.Printable(lines[i])
	}
	r.Job = strings.TrimSpace(strings.Join(lines, "\n"))
}
