package posterior

import (
	"fmt"
	"math"
	"strings"
	"time"

	"github.com/ppx-engine/ppx-engine/ppx"
)

// Verdict is how far a result can be relied on. Good never claims that no mode was missed: no figure of a run can.
type Verdict string

// The verdicts, from good to bad.
const (
	Good     Verdict = "good"
	Doubtful Verdict = "doubtful"
	None     Verdict = "none" // the figures mean nothing
)

func (v Verdict) rank() int { return map[Verdict]int{Good: 0, Doubtful: 1, None: 2}[v] }

// Worse is the worse of two verdicts.
func (v Verdict) Worse(w Verdict) Verdict {
	if w.rank() > v.rank() {
		return w
	}
	return v
}

// Codes of reasons.
const (
	FewDraws      = "few-draws"
	LowESS        = "low-ess"
	NoWeight      = "no-weight"
	HighKhat      = "high-khat"
	LargeWeight   = "large-weight"
	FailedDraws   = "failed-draws"
	UnseenAddress = "unseen-addresses"
	CutOff        = "cut-off"
	UnusedData    = "unused-data"
	PartlyUsed    = "data-partly-used"
	DigitsLost    = "digits-lost"
	Mixed         = "mixed-simulators"
	Unfamiliar    = "outside-training"
	HighRhat      = "high-rhat"
	OneChain      = "one-chain"
	StuckChains   = "stuck-chains"
	OneIsland     = "one-island"
	Extinct       = "islands-extinct"
	FewMoved      = "few-moved"
	NotChecked    = "not-checked"
	CheckDiffers  = "check-differs"
	LargeIsland   = "large-island"
)

// Reason is one thing that speaks against a result: a code that stays, a sentence that says what it means and what to do,
// and the variable that it is about, "" for the result as a whole.
type Reason struct {
	Code     string
	Text     string
	Variable string
	Verdict  Verdict // what it makes of the result
}

// Trust is the judgement of a result, or of one variable; the reasons are the worst first.
type Trust struct {
	Verdict Verdict
	Reasons []Reason
}

// add notes a reason; worse ones stand before others.
func (t *Trust) add(v Verdict, code, variable, format string, args ...any) {
	r := Reason{code, fmt.Sprintf(format, args...), variable, v}
	at := len(t.Reasons)
	for at > 0 && t.Reasons[at-1].Verdict.rank() < v.rank() {
		at--
	}
	t.Reasons = append(t.Reasons[:at], append([]Reason{r}, t.Reasons[at:]...)...)
	t.Verdict = t.Verdict.Worse(v)
}

// The bounds of the verdicts.
const (
	fewDraws    = 10
	noESS       = 10.0  // below, figures rest on a handful of draws
	lowESS      = 100.0 // below, standard errors are rough
	noKhat      = 1.0   // above, the weights have no mean
	largeWeight = 0.10  // share of one draw
	smallShare  = 0.01  // of failed draws, or of the weight of what a network does not know
	unfamiliar  = 1e-3  // probability that data of the prior are as far from those of a training
	chainESS400 = 400.0 // below, R̂ and the sizes themselves are rough
	noRhat      = 1.1   // above, chains have not found the same distribution
	highRhat    = 1.01
	largeIsland = 0.5  // share of one island
	fewMoved    = 0.2  // share of particles that moved at a rung
	cutOffMeans = 10.0 // a run that had taken so many times the mean when it was cut off
)

// Facts are what there is to know of a run besides its weights.
type Facts struct {
	Conditioned bool    // the weights carry a likelihood
	Unseen      float64 // share of the weight of traces that came to addresses which the network does not know
	UnseenText  string  // what there is to say of that
	Cut         Cut
	Unused      []string // names in the data that no trace has used
	Partly      []Partly
	Mixed       []uint64 // draws from which on another simulator has answered
	Check       *Check   // of auto
	Moved       float64  // share of particles that moved at the rung where the fewest did; 0: not known
	FailedSteps float64  // share of the steps of chains whose runs failed
	Familiar    float64  // probability that data of the prior are so far from those that the network was trained on; 0: not known
}

// Check is a run of another kind that a result was compared with.
type Check struct {
	Made bool
	Z    float64 // of the largest difference
	Text string  // that there is to say
}

// Partly is a datum that only some traces have used: the others are not scored against it.
type Partly struct {
	Name   string
	Traces float64 // share of traces that have used it
	Weight float64 // share of the weight that these have
}

// Cut is a run that had not ended when a job did.
type Cut struct {
	What    string // it is, if it is not a draw: a step of a chain, a move of a particle
	Draw    uint64
	Last    uint64        // it is one of the draws from Draw to this one
	Running time.Duration // 0: there is none
	Mean    time.Duration // that a run takes
}

// Matters tells that runs of that kind are under-represented.
func (c Cut) Matters() bool {
	return c.Running > 100*time.Millisecond && c.Running.Seconds() > cutOffMeans*c.Mean.Seconds()
}

// Judge tells how far the figures of s can be relied on: the one function that table, JSON, pictures and exit codes show. The
// bounds of k̂ are those of A. Vehtari et al., "Pareto smoothed importance sampling" (2024).
func (s *Summary) Judge(f Facts) Trust {
	t := Trust{Verdict: Good}
	w := s.Weights
	if s.Chained != nil {
		s.judgeChains(&t)
		s.judgeFacts(&t, f)
		return t
	}
	if s.Islands != nil {
		s.judgeParticles(&t, f)
		s.judgeFacts(&t, f)
		return t
	}
	ess := w.ESS()
	switch {
	case w.N == 0:
		t.add(None, FewDraws, "", "there is no draw")
		return t
	case w.Zero+w.Bad == w.N:
		where := ""
		if len(s.ZeroAt) > 0 {
			where = ", at " + strings.Join(s.ZeroAt, ", ")
		}
		if w.Bad > 0 {
			t.add(None, NoWeight, "", "no weight is a positive number: %d of %d are NaN or infinite, the others zero", w.Bad, w.N)
			return t
		}
		t.add(None, NoWeight, "", "every weight is zero: the data are impossible under this model%s", where)
		return t
	case w.N < fewDraws:
		t.add(None, FewDraws, "", "%d draws are too few for any figure; draw more (-n)", w.N)
	case ess < noESS && f.Conditioned:
		t.add(None, LowESS, "", "the effective sample size is %.3g of %d traces: the figures rest on %s; draw many more (-n), use a better proposal, or let --method auto look for a way", ess, w.N, few(ess))
	case ess < lowESS && f.Conditioned:
		t.add(Doubtful, LowESS, "", "the effective sample size is only %.3g of %d traces: the figures rest on few traces; draw more (-n), use a better proposal, or let --method auto look for a way", ess, w.N)
	case ess < lowESS:
		t.add(Doubtful, LowESS, "", "%d draws are few: the figures are rough; draw more (-n)", w.N)
	}
	if f.Conditioned {
		if k := w.Khat(); k > noKhat {
			t.add(None, HighKhat, "", "k̂ = %.2f is above 1: as far as the largest weights show, they have no mean, and neither figures nor standard errors can be relied on; draw many more, or use a better proposal", k)
		} else if k > KhatLimit(w.N) {
			t.add(Doubtful, HighKhat, "", "k̂ = %.2f is above %.2f: a few weights dominate and the standard errors cannot be trusted; draw more, or use a better proposal", k, KhatLimit(w.N))
		}
		// A draw of w̄ = 10 % leaves an ESS of at most 100 only in company: the share is said where the ESS does not say it all.
		if share := w.Largest(); share > largeWeight && t.Verdict != None {
			t.add(Doubtful, LargeWeight, "", "one draw carries %.0f %% of the weight; draw more, or use a better proposal", 100*share)
		}
	}
	s.judgeFacts(&t, f)
	return t
}

// judgeChains looks at chains: A. Vehtari et al. (2021) for the bounds.
func (s *Summary) judgeChains(t *Trust) {
	n := s.Weights.N
	if n < fewDraws {
		t.add(None, FewDraws, "", "%d draws are too few for any figure; draw more (-n)", n)
		return
	}
	c := s.ChainFigures()
	switch {
	case len(s.Chained.count) == 1:
		t.add(None, OneChain, "", "one chain cannot tell whether it has seen all: run several (--chains)")
	case c.Rhat > noRhat:
		if v, text := s.apart(); text != "" {
			t.add(None, StuckChains, v, "chains never leave a part of the values of %s: %s; their steps do not connect these, and how much each holds is not known: use --method smc or auto", v, text)
		}
		t.add(None, HighRhat, "", "R̂ = %.3g is above %.1f: the chains have not found the same distribution; run them longer (--warmup, -n), or use a method that finds all modes", c.Rhat, noRhat)
	case c.Rhat > highRhat:
		t.add(Doubtful, HighRhat, "", "R̂ = %.3f is above %.2f: the chains do not agree yet; run them longer (-n)", c.Rhat, highRhat)
	}
	switch {
	case c.Bulk < noESS:
		t.add(None, LowESS, "", "the effective sample size is %.3g of %d draws, which depend on each other: run the chains much longer (-n)", c.Bulk, n)
	case c.Bulk < chainESS400:
		t.add(Doubtful, LowESS, "", "the effective sample size is only %.3g of %d draws, which depend on each other: run the chains longer (-n)", c.Bulk, n)
	}
}

// judgeFacts looks at what there is to know besides weights and chains.
func (s *Summary) judgeFacts(t *Trust, f Facts) {
	w := s.Weights
	if c := f.Check; c != nil {
		switch {
		case !c.Made:
			t.add(Doubtful, NotChecked, "", "%s", c.Text)
		case c.Z > NoAnswer:
			t.add(None, CheckDiffers, "", "%s", c.Text)
		case c.Z > Disagree:
			t.add(Doubtful, CheckDiffers, "", "%s", c.Text)
		}
	}
	if len(f.Unused) > 0 {
		t.add(None, UnusedData, "", "no trace used the data given for %s: is the name right?", ppx.List(f.Unused, 20))
	}
	for _, d := range f.Partly {
		if without := 1 - d.Weight; without > smallShare {
			t.add(Doubtful, PartlyUsed, "", "%s was used by %.3g %% of the traces, which carry %.3g %% of the weight; the others are not scored against it", ppx.Quote(d.Name), 100*d.Traces, 100*d.Weight)
		}
	}
	if lost := s.digits.lost(w.max); len(lost) > 0 && f.Conditioned {
		t.add(None, DigitsLost, "", "digits lost at %s: log densities there are so large that what tells traces apart is rounded away; rescale the data", strings.Join(lost, ", "))
	}
	if f.FailedSteps > smallShare {
		t.add(Doubtful, FailedDraws, "", "%.3g %% of the steps failed, and were not taken: the result is that of \"the run succeeds, and the data\"", 100*f.FailedSteps)
	}
	if share := float64(w.Failed) / w.draws(); share > smallShare {
		t.add(Doubtful, FailedDraws, "", "%.3g %% of the draws failed: the result is that of the draws that the simulator survives", 100*share)
	}
	for _, from := range f.Mixed {
		t.add(Doubtful, Mixed, "", "from draw %d on the simulator is another than before (--force)", from)
	}
	if f.Familiar > 0 && f.Familiar < unfamiliar {
		t.add(Doubtful, Unfamiliar, "", "the data are unlike those that the network was trained on (p %s): its proposals may miss where the posterior is, which no weight shows; compare with a run without it", tiny(f.Familiar))
	}
	if f.Unseen > smallShare {
		t.add(Doubtful, UnseenAddress, "", "%s", f.UnseenText)
	}
	if f.Cut.Matters() {
		which := fmt.Sprintf("draw %d", f.Cut.Draw)
		switch {
		case f.Cut.What != "":
			which = f.Cut.What
		case f.Cut.Last > f.Cut.Draw:
			which = fmt.Sprintf("one of the draws %d to %d", f.Cut.Draw, f.Cut.Last)
		}
		t.add(Doubtful, CutOff, "", "%s had been running for %.3g s, where a run takes %.2g s, and is not counted: long runs are under-represented", which, f.Cut.Running.Seconds(), f.Cut.Mean.Seconds())
	}
}

// tiny is a small probability.
func tiny(p float64) string {
	if p < 1e-12 {
		return "< 1e-12"
	}
	return fmt.Sprintf("= %.1g", p)
}

// few says how few draws an effective sample size below noESS is.
func few(ess float64) string {
	if ess < 1.5 {
		return "a single trace"
	}
	return fmt.Sprintf("some %.0f traces", ess)
}

// Of is the judgement of one variable: that of the result, and its own effective sample size.
func (t Trust) Of(v *Variable) Trust {
	out := Trust{Verdict: t.Verdict, Reasons: append([]Reason{}, t.Reasons...)}
	switch {
	case math.IsNaN(v.ESS): // nothing is said of it anyway, or it is a tensor
	case v.ESS < noESS:
		out.add(None, LowESS, v.Name, "%s rests on an effective sample size of %.3g", v.Name, v.ESS)
	case v.ESS < lowESS:
		out.add(Doubtful, LowESS, v.Name, "%s rests on an effective sample size of only %.3g", v.Name, v.ESS)
	}
	return out
}
