package view

import (
	"cmp"
	"fmt"
	"io"
	"math"
	"slices"
	"strings"

	"github.com/ppx-engine/ppx-engine/internal/text"
	"github.com/ppx-engine/ppx-engine/jobs"
	"github.com/ppx-engine/ppx-engine/posterior"
	"github.com/ppx-engine/ppx-engine/ppx"
)

// Calibration is what "calibrate" prints.
type Calibration struct {
	Schema          int     `json:"schema"`
	Run             string  `json:"run"`
	Model           string  `json:"model"`
	Method          string  `json:"method"`
	Seed            uint64  `json:"seed"`
	N               uint64  `json:"n"`       // data sets that were asked for
	Decided         int     `json:"decided"` // of those that were made
	Undecided       int     `json:"undecided"`
	Failed          int     `json:"failed"` // without a truth: the simulator failed
	Draws           uint64  `json:"draws"`
	Trust           Trust   `json:"trust"`
	Gain            Number  `json:"gain"` // over the prior, in nats
	GainSE          Number  `json:"gain_se"`
	Seconds         Number  `json:"seconds"`
	TracesPerSecond Number  `json:"traces_per_second"`
	Band            [2]int  `json:"band"` // least and most data sets of a bin, at 99 %
	Quantities      []Ranks `json:"quantities"`

	minESS   float64
	maxDraws uint64
}

// Ranks are those of the true values of one quantity among draws of the posterior, over data sets.
type Ranks struct {
	Name      string     `json:"name"`
	Sets      int        `json:"sets"`
	Undecided int        `json:"undecided"`
	Distance  Number     `json:"distance"`   // Kolmogorov and Smirnov's
	P         Number     `json:"p"`          // of it, or of the ranks' variance, whichever is smaller, for both
	PAdjusted Number     `json:"p_adjusted"` // for all quantities together
	Word      string     `json:"word"`       // what is wrong, "" if nothing seems to be
	Coverage  []Coverage `json:"coverage"`
	Bins      []int      `json:"bins"`
}

// Coverage is the share of truths inside of a central interval.
type Coverage struct {
	Interval Number `json:"interval"`
	Share    Number `json:"share"`
	SE       Number `json:"se"`
}

// NewCalibration judges the data sets of a calibration.
func NewCalibration(o *jobs.Outcome) *Calibration {
	x, s := o.Calibrated, o.Spec
	c := x.Judge(s)
	out := &Calibration{Schema: Schema, Run: o.Dir, Model: x.Manifest.Model, Method: s.Method, Seed: s.Seed, N: s.N, Decided: c.Decided, Undecided: c.Undecided,
		Failed: len(x.Sets) - c.Decided - c.Undecided, Trust: trustOf(c.Trust), Gain: Number(c.Gain), GainSE: Number(c.GainSE), Seconds: Number(x.Seconds),
		TracesPerSecond: Number(x.PerSecond), Quantities: []Ranks{}, minESS: s.Calibration.MinESS, maxDraws: s.Calibration.MaxDraws}
	for _, set := range x.Sets {
		out.Draws += set.Draws
	}
	out.Band[0], out.Band[1] = posterior.BinomialBand(c.Decided, posterior.RankBins, 0.99)
	for _, q := range c.Quantities {
		r := Ranks{Name: q.Name, Sets: q.Sets, Undecided: q.Undecided, Distance: Number(q.Distance), P: Number(q.P), PAdjusted: Number(q.Adjusted), Bins: q.Bins[:]}
		if q.Adjusted < 0.01 {
			r.Word = q.Word()
		}
		for i, interval := range posterior.Intervals {
			r.Coverage = append(r.Coverage, Coverage{Number(interval), Number(q.Coverage[i].Value), Number(q.Coverage[i].SE)})
		}
		out.Quantities = append(out.Quantities, r)
	}
	return out
}

// Text writes the judgement and the table.
func (c *Calibration) Text(w io.Writer) {
	s := Styled(w)
	fmt.Fprintf(w, "calibration of %s on %s: %s data sets, %s draws\n", s.Bold(c.Method), s.Bold(ppx.Printable(c.Model)), text.Thousands(uint64(c.Decided+c.Undecided)), text.Thousands(c.Draws))
	switch c.Trust.Verdict {
	case posterior.Good:
		fmt.Fprintln(w, "good: the truth is where a posterior would have it")
	default:
		for i, r := range c.Trust.Reasons {
			line := string(c.Trust.Verdict) + ": " + r.Text
			if i > 0 {
				line = "  also: " + r.Text
			}
			if i == 0 && c.Trust.Verdict == posterior.None {
				line = s.Alarm(line)
			}
			fmt.Fprintln(w, ppx.Printable(line))
		}
	}
	learned := ""
	if !(float64(c.Gain) > 3*float64(c.GainSE)) {
		learned = ": nothing that shows was learned from the data, which no rank tells"
	}
	if !math.IsNaN(float64(c.Gain)) {
		fmt.Fprintf(w, "gain over the prior %s nats a data set%s\n", WithError(float64(c.Gain), float64(c.GainSE)), learned)
	}
	if c.Undecided > 0 {
		fmt.Fprintf(w, "%s data sets are undecided: their effective sample size stayed below %g (--max-draws %d draws more)\n", text.Thousands(uint64(c.Undecided)), c.minESS, 10*c.maxDraws)
	}
	if c.Failed > 0 {
		fmt.Fprintf(w, "%s data sets have no truth: the simulator failed there\n", text.Thousands(uint64(c.Failed)))
	}
	if c.Seconds > 0 {
		fmt.Fprintf(w, "%s traces a second\n", Figure(Round(float64(c.TracesPerSecond))))
	}
	fmt.Fprintln(w)
	list := slices.Clone(c.Quantities)
	if len(list) > maxListed {
		slices.SortStableFunc(list, func(a, b Ranks) int { return Rarer(float64(a.P), float64(b.P)) })
		list = list[:maxListed]
	}
	t := &Table{Header: []string{"quantity", "0 ← rank of the truth → 1", ">sets", ">undecided", ">p", ">in 50 %", ">in 90 %", ""}}
	for _, q := range list {
		t.Add(text.Clip(q.Name, 40), c.bars(&q, s), text.Thousands(uint64(q.Sets)), undecided(q.Undecided), figureP(float64(q.PAdjusted)), percent(q, 0), percent(q, 2), q.Word)
	}
	t.Print(w)
	fmt.Fprintln(w, "\np: the probability that ranks of the truth are so far from uniform by chance, for all quantities together. in 50 %: truths in the central interval, ± what chance makes of the share.")
	fmt.Fprintln(w, "ties are ranked by chance. too high: the posterior lies above the truth; too narrow: it is surer than it may be.")
	if len(list) < len(c.Quantities) {
		fmt.Fprintf(w, "the worst %d of %d quantities; --json has all\n", len(list), len(c.Quantities))
	}
}

// undecided is a number of data sets, if there are any.
func undecided(n int) string {
	if n == 0 {
		return ""
	}
	return text.Thousands(uint64(n))
}

// Rarer orders p-values, the smallest first; those that are not known come last.
func Rarer(p, q float64) int {
	if math.IsNaN(p) || math.IsNaN(q) {
		return -cmp.Compare(p, q)
	}
	return cmp.Compare(p, q)
}

func percent(q Ranks, i int) string {
	if q.Sets == 0 {
		return "–"
	}
	return fmt.Sprintf("%.0f ± %.0f %%", 100*float64(q.Coverage[i].Share), 100*float64(q.Coverage[i].SE))
}

func figureP(p float64) string {
	switch {
	case math.IsNaN(p):
		return "–"
	case p < 0.001:
		return fmt.Sprintf("%.0e", p)
	}
	return fmt.Sprintf("%.3f", p)
}

// bars is a histogram of ranks in a line; full height is twice what is expected.
func (c *Calibration) bars(q *Ranks, s Style) string {
	var b strings.Builder
	low, high := posterior.BinomialBand(q.Sets, len(q.Bins), 0.99)
	for _, n := range q.Bins {
		level := 0.0
		if q.Sets > 0 {
			level = math.Round(4 * float64(n) * float64(len(q.Bins)) / float64(q.Sets))
		}
		bar := string([]rune(" ▁▂▃▄▅▆▇█")[int(min(8, level))])
		if n < low || n > high {
			bar = s.Alarm(bar)
		}
		b.WriteString(bar)
	}
	return b.String()
}
