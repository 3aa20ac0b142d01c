package view

import (
	"fmt"
	"io"
	"maps"
	"math"
	"slices"
	"strconv"
	"strings"

	"github.com/ppx-engine/ppx-engine/internal/text"
	"github.com/ppx-engine/ppx-engine/jobs"
	"github.com/ppx-engine/ppx-engine/posterior"
	"github.com/ppx-engine/ppx-engine/ppx"
	"github.com/ppx-engine/ppx-engine/tracing/rundir"
)

// Diagnosis is what "diagnose" prints of a run: findings, the worst first, and a verdict, the same as everywhere.
type Diagnosis struct {
	Schema   int               `json:"schema"`
	Run      string            `json:"run"`
	Verdict  posterior.Verdict `json:"verdict"`
	Findings []Finding         `json:"findings"`
	Ladder   []rundir.Rung     `json:"ladder,omitempty"` // that particles have climbed
	Mixing   []Mixing          `json:"mixing,omitempty"` // of chains, the worst first

	result *Posterior
}

// Mixing is how one variable goes along chains.
type Mixing struct {
	Name            string   `json:"name"`
	Rhat            *Number  `json:"rhat,omitempty"`
	Bulk            Number   `json:"bulk_ess"`
	Tail            Number   `json:"tail_ess"`
	Time            Number   `json:"autocorrelation_time"` // draws for each that counts
	Autocorrelation []Number `json:"autocorrelation"`      // of draws 1, 10 and 100 apart
}

// Finding is one thing that was looked at.
type Finding struct {
	Code    string            `json:"code"`
	Verdict posterior.Verdict `json:"verdict"` // what it makes of the result; good: it speaks for it
	Text    string            `json:"text"`
	Means   string            `json:"means"`
	Do      string            `json:"do"` // "" where nothing is to be done
}

// advice is what findings mean and what to do, by their codes.
var advice = map[string][2]string{
	posterior.FewDraws:      {"so few draws say nothing of how far figures may be off", "draw more: --resume with a larger -n"},
	posterior.LowESS:        {"the weights are so uneven that only so many draws count: the proposal seldom makes what the data ask for", "draw more, train a network for it (ppx train, infer --network), or look for a datum that is far more exact than the prior is wide"},
	posterior.NoWeight:      {"no draw is possible under the data: the model cannot have made them, or the data are not in its units", "look at ppx trace show RUN 0: what is the log density of each Observe?"},
	posterior.HighKhat:      {"the largest weights fall off so slowly that larger ones have yet to come: errors that are computed from the weights are too small", "draw more and see whether k̂ falls; else a better proposal: a network, or prior inflation"},
	posterior.LargeWeight:   {"the result is to that share that of one draw", "draw more, or use a better proposal"},
	posterior.FailedDraws:   {"the posterior is that of \"the run succeeds, and the data\": where runs fail more often for some values, those are missing", "see why they fail: ppx trace ls RUN; then --resume --retry-failed"},
	posterior.UnseenAddress: {"the network has not been trained where these traces went, and the prior proposed there", "train with more traces, or with --prior-inflation, so that it sees rare paths"},
	posterior.CutOff:        {"runs that take long are missing: if they are long for a reason, so are the values that make them long", "give the job more time, or limit runs (--run-timeout), which counts them as failed"},
	posterior.Unfamiliar:    {"a network answers for data like those of its training; for others its proposals may be anything, and what they miss has no weight", "see whether the model can make such data at all: ppx predict RUN; compare with a run without the network; train one on a wider prior (--prior-inflation)"},
	posterior.HighRhat:      {"each chain has seen another part of the posterior, or is still on its way: figures of all together are of neither", "run the chains longer (--warmup, -n), start more of them (--chains); if they stay apart the posterior has modes that single steps do not connect: take particles (--method smc), or let --method auto find a way"},
	posterior.StuckChains:   {"each of these chains has stayed where it began; together they say where modes are, and nothing of their weights", "--method smc, whose particles come from all modes with their weights, or auto; or more chains, to see more modes"},
	posterior.OneChain:      {"one chain that has missed a mode looks as good as one that has not", "run several: --chains 8"},
	posterior.OneIsland:     {"particles of one island descend from each other: only independent islands tell errors", "use several: --islands 16"},
	posterior.Extinct:       {"an island whose particles are all dead counts as an evidence of zero: right on average, but a sign that there are too few", "take more particles: -n"},
	posterior.LargeIsland:   {"the evidences of the islands are of many sizes: figures are those of one island, whose particles descend from each other", "more particles (-n), more moves (--moves), a better --kernel"},
	posterior.NotChecked:    {"a result that nothing of another kind has confirmed may have missed what its method cannot see", "give auto more to spend (-n, --max-time), or compare with another method"},
	posterior.CheckDiffers:  {"two runs of different kinds differ by more than their errors: at least one of them has missed something", "compare the two: ppx compare RUN RUN.auto/check (or RUN.auto/again); neither is right for sure"},
	posterior.FewMoved:      {"particles that were resampled and did not move are clones of each other", "more moves (--moves), another --kernel, or a network"},
	posterior.UnusedData:    {"the posterior is not conditioned on it", "compare names: ppx trace show RUN 0; a name must be that of an Observe, or of a Sample"},
	posterior.PartlyUsed:    {"traces that do not come to the Observe are not scored against the datum, and have an advantage", "that is right only if the datum would not exist there; else observe it on every path"},
	posterior.DigitsLost:    {"densities are so large that differences between traces are lost in rounding", "rescale the data, or the distribution's parameters"},
	posterior.Mixed:         {"the run holds traces of two simulators", "make it again with one of them"},
}

// Loops adds that a network proposed in what looks like rejection loops.
func (d *Diagnosis) Loops(addresses []string) {
	for _, a := range addresses {
		d.Findings = append(d.Findings, Finding{"rejection-loop", posterior.Good, "passes that begin at " + ppx.Quote(a) + " come as those of a loop that draws until it accepts",
			"weights multiply over rejected passes: a network that makes them rare has weights without a variance", "ppx check tells whether it is one; then mark it by rs_start and rs_end, and train with --rejection"})
	}
}

// climbed says what became of particles on their way.
func climbed(m *rundir.Particles, p *Posterior, add func(v posterior.Verdict, code, what, means, do string)) {
	add(posterior.Good, "particles", p.Figures(), "the smallest effective sample size of all variables, from what islands differ by; weights and numbers of particles say nothing of it", "")
	steps := map[string]*rundir.Acceptance{}
	for _, r := range m.Ladder {
		for base, a := range r.Steps {
			x := steps[base]
			if x == nil {
				x = &rundir.Acceptance{}
				steps[base] = x
			}
			x.Steps, x.Accepted = x.Steps+a.Steps, x.Accepted+a.Accepted
		}
	}
	hardlyMove(steps, "more moves, or another --kernel", add)
}

// hardlyMove names sites whose moves are hardly ever taken.
func hardlyMove(steps map[string]*rundir.Acceptance, do string, add func(v posterior.Verdict, code, what, means, do string)) {
	for _, base := range slices.Sorted(maps.Keys(steps)) {
		if a := steps[base]; a.Steps >= 200 && float64(a.Accepted) < 0.02*float64(a.Steps) {
			add(posterior.Good, "acceptance", fmt.Sprintf("of %s steps at %s %s were taken", text.Thousands(a.Steps), ppx.Quote(base), text.Thousands(a.Accepted)), "that site hardly moves", do)
		}
	}
}

// NewDiagnosis looks at a recorded run; halves are the weights of its even and odd draws.
func NewDiagnosis(o *jobs.Outcome, halves [2]*posterior.Weights) *Diagnosis {
	p := NewPosterior(o)
	d := &Diagnosis{Schema: Schema, Run: p.Run, result: p, Findings: []Finding{}}
	add := func(v posterior.Verdict, code, what, means, do string) {
		d.Findings = append(d.Findings, Finding{code, v, what, means, do})
	}
	verdict := p.Trust.Verdict
	for _, r := range p.Reasons {
		a := advice[r.Code]
		if r.Code == posterior.LowESS && p.Rhat != nil {
			a = [2]string{"draws of a chain depend on each other: so many independent ones would tell as much", "run the chains longer (--resume -n), or take particles (--method smc), or let --method auto find a way"}
		}
		if r.Code == posterior.LowESS && p.Islands > 0 {
			a = [2]string{"islands are independent of each other, so that what they differ by is the error", "take more particles (-n): with --ladder RUN they need not learn it again"}
		}
		add(r.Verdict, r.Code, r.Text, a[0], a[1])
	}
	if m := o.Manifest.Particles; m != nil {
		climbed(m, p, add)
		d.Ladder = m.Ladder
	}
	w := p.Sum.Weights
	if p.Rhat != nil && w.N > 0 {
		add(posterior.Good, "chains", p.Figures(), "the smallest effective sample size of all variables, the log joint density and the number of statements; R̂ compares variances between and within chains: above 1.01 they do not agree", "")
		d.Mixing = mixings(p.Sum)
		hardlyMove(o.Manifest.Chains.Acceptance, "run longer; rmh walks where lmh jumps, particles (--method smc) come down to a narrow posterior step by step", add)
	}
	if p.Rhat == nil && p.Islands == 0 && p.Conditioned && w.N > 0 && !math.IsNaN(w.Largest()) {
		add(posterior.Good, "weights", fmt.Sprintf("effective sample size %s of %s traces, k̂ %s, the largest weight %.2g %%", Figure(w.ESS()), text.Thousands(w.N), khat(w.Khat()), 100*w.Largest()),
			"the effective sample size is how many independent draws of the posterior would do as much; k̂ below 0.7 says that their errors can be believed", "")
	}
	if z, se := halves[0].LogEvidence()-halves[1].LogEvidence(), math.Hypot(halves[0].LogEvidenceSE(), halves[1].LogEvidenceSE()); p.Conditioned && p.Rhat == nil && p.Islands == 0 && o.Manifest.Resampled == nil && p.drawn == "" && halves[0].N > 10 && !math.IsNaN(z) {
		what := fmt.Sprintf("the evidence of even and odd draws differs by %s nats, %.1f standard errors", WithError(math.Abs(z), se), math.Abs(z)/se)
		if !(math.Abs(z) <= 4*se) {
			add(posterior.Doubtful, "halves-differ", what, "halves of one run are two runs: they differ by more than their errors allow, so these are too small", "draw more")
			verdict = verdict.Worse(posterior.Doubtful)
		} else {
			add(posterior.Good, "halves-agree", what, "", "")
		}
	}
	if n := o.Manifest.Network; n != nil {
		if n.P >= 0.001 {
			add(posterior.Good, "inside-training", fmt.Sprintf("the data are like those that the network was trained on: p = %.2g", n.P), "the probability that data of the prior are as far, by the distance of their embedding", "")
		}
		if n.Gain != 0 {
			add(posterior.Good, "training", fmt.Sprintf("the network's training has gained %.3g nats over the prior", n.Gain), "what it has learned of the latents from data, on held-out traces; the more, the better its proposals", "")
		}
		if x := o.Unseen.Warnings(); len(x) > 0 && o.Unseen.Share() <= 0.01 { // else it is among the reasons
			add(posterior.Good, "unseen", x[0], "", "")
		}
	}
	for _, x := range o.Names.Partly() {
		if 1-x.Weight <= 0.01 { // else it is among the reasons
			add(posterior.Good, "data-use", fmt.Sprintf("%s was used by %.3g %% of the traces, which carry %.4g %% of the weight", ppx.Quote(x.Name), 100*x.Traces, 100*x.Weight), "", "")
		}
	}
	for _, v := range p.Variables {
		if v.Trust.Verdict != verdict && v.Trust.Verdict != posterior.Good && v.Trust.Verdict.Worse(verdict) == v.Trust.Verdict {
			last := v.Trust.Reasons[0]
			add(posterior.Good, "variable", last.Text, "this variable is in few of the traces that count", "draw more, if it matters")
		}
	}
	for _, x := range p.remarks {
		add(posterior.Good, "remark", x, "", "")
	}
	d.Verdict = verdict
	slices.SortStableFunc(d.Findings, func(a, b Finding) int {
		rank := map[posterior.Verdict]int{posterior.None: 0, posterior.Doubtful: 1, posterior.Good: 2}
		return rank[a.Verdict] - rank[b.Verdict]
	})
	return d
}

// Text writes the findings.
func (d *Diagnosis) Text(w io.Writer) {
	s := Styled(w)
	line := "good: nothing that was looked at speaks against the result. (That no mode was missed, no figure of a run can say.)"
	switch d.Verdict {
	case posterior.Doubtful:
		line = "doubtful: read what follows before you use the figures"
	case posterior.None:
		line = s.Alarm("none: do not use the figures")
	}
	fmt.Fprintf(w, "%s: %s\n", s.Bold(ppx.Printable(d.Run)), line)
	if len(d.Ladder) > 0 {
		fmt.Fprintln(w)
		d.ladder().Print(w)
	}
	if len(d.Mixing) > 0 {
		fmt.Fprintln(w)
		d.mixing().Print(w)
	}
	for _, f := range d.Findings {
		mark := map[posterior.Verdict]string{posterior.None: "✗", posterior.Doubtful: "!", posterior.Good: "·"}[f.Verdict]
		fmt.Fprintf(w, "\n%s %s\n", mark, folded(ppx.Printable(f.Text), 2))
		if f.Means != "" {
			fmt.Fprintf(w, "  %s\n", s.Dim(folded("means: "+f.Means, 2)))
		}
		if f.Do != "" {
			fmt.Fprintf(w, "  %s\n", folded("do: "+f.Do, 2))
		}
	}
}

// mixings are how the variables of chains go along them.
func mixings(s *posterior.Summary) (out []Mixing) {
	for _, m := range s.Mixings() {
		x := Mixing{Name: m.Name, Bulk: Number(m.Bulk), Tail: Number(m.Tail), Time: Number(float64(s.Weights.N) / m.Bulk)}
		if !math.IsNaN(m.Rhat) {
			r := Number(m.Rhat)
			x.Rhat = &r
		}
		for _, r := range m.Autocorrelation {
			x.Autocorrelation = append(x.Autocorrelation, Number(r))
		}
		out = append(out, x)
	}
	return out
}

// mixing is the table of those that mix worst.
func (d *Diagnosis) mixing() *Table {
	const most = 12
	t := &Table{Header: []string{"", ">R̂", ">bulk ESS", ">tail ESS", ">draws each", ">autocorrelation 1 apart", ">10", ">100"}}
	for i, m := range d.Mixing {
		if i == most && len(d.Mixing) > most+1 {
			t.Add(fmt.Sprintf("… %d that mix better …", len(d.Mixing)-most), "", "", "", "", "", "", "")
			break
		}
		rhat := ""
		if m.Rhat != nil {
			rhat = fmt.Sprintf("%.3f", float64(*m.Rhat))
		}
		row := []string{ppx.Printable(m.Name), rhat, Figure(math.Round(float64(m.Bulk))), Figure(math.Round(float64(m.Tail))), fmt.Sprintf("%.1f", float64(m.Time))}
		for _, r := range m.Autocorrelation {
			cell := ""
			if !math.IsNaN(float64(r)) {
				cell = fmt.Sprintf("%.2f", float64(r))
			}
			row = append(row, cell)
		}
		t.Add(row...)
	}
	return t
}

// ladder is the way of particles, its ends if it is long.
func (d *Diagnosis) ladder() *Table {
	const most = 24
	t := &Table{Header: []string{"rung", ">β", ">level", ">ESS", ">resampled", ">moves", ">moved", ">ancestors left"}}
	for i, r := range d.Ladder {
		if n := len(d.Ladder); n > most && i >= most/2 && i < n-most/2 {
			if i == most/2 {
				t.Add(fmt.Sprintf("… %d rungs …", n-most), "", "", "", "", "", "", "")
			}
			continue
		}
		level := ""
		if r.Level != nil {
			level = Figure(float64(*r.Level))
		}
		t.Add(strconv.Itoa(i+1), Figure(r.Beta), level, Figure(math.Round(r.ESS)), fmt.Sprintf("%d of %d", r.Resampled, d.result.Islands), strconv.Itoa(r.Moves), fmt.Sprintf("%.0f %%", 100*r.Moved), strconv.Itoa(r.Ancestors))
	}
	return t
}

// folded breaks a text into lines of some 100 letters, indented from the second on.
func folded(t string, indent int) string {
	const width = 100
	var lines []string
	line := ""
	for _, word := range strings.Fields(t) {
		if line != "" && len([]rune(line))+1+len([]rune(word)) > width {
			lines = append(lines, line)
			line = ""
		}
		if line != "" {
			line += " "
		}
		line += word
	}
	return strings.Join(append(lines, line), "\n"+strings.Repeat(" ", indent))
}
