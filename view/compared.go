package view

import (
	"fmt"
	"io"
	"math"

	"github.com/ppx-engine/ppx-engine/internal/text"
	"github.com/ppx-engine/ppx-engine/judge"
	"github.com/ppx-engine/ppx-engine/posterior"
	"github.com/ppx-engine/ppx-engine/ppx"
)

// Powers is how a posterior moves when its prior or its likelihood is raised to a power.
type Powers struct {
	Run       string          `json:"run"`
	Varies    bool            `json:"latents_vary"` // between traces: then there are no powers of the prior
	Variables []PowerVariable `json:"variables"`
}

// PowerVariable is a variable's means at the powers 0.8 and 1.25, and by how many standard deviations of the posterior the mean moves between them.
type PowerVariable struct {
	Name            string    `json:"name"`
	Mean            Number    `json:"mean"` // as it is
	SD              Number    `json:"sd"`
	Prior           [2]Number `json:"prior"`
	Likelihood      [2]Number `json:"likelihood"`
	PriorMoves      Number    `json:"prior_moves"`
	PriorSE         Number    `json:"prior_moves_se"`
	LikelihoodMoves Number    `json:"likelihood_moves"`
	LikelihoodSE    Number    `json:"likelihood_moves_se"`
	Word            string    `json:"word"`
}

// LeaveOneOut is what a run's posterior says of each number of the data without it.
type LeaveOneOut struct {
	Run        string         `json:"run"`
	ELPD       Number         `json:"elpd"` // sum of the log densities, in nats
	SE         Number         `json:"se"`
	PLOO       Number         `json:"p_loo"`          // effective number of parameters
	MonteCarlo Number         `json:"monte_carlo_se"` // error of elpd that more draws would lessen
	Bad        int            `json:"bad"`            // numbers whose k̂ is above 0.7
	Better     Number         `json:"better"`         // than the first run's, by so many nats; null if the data are others
	BetterSE   Number         `json:"better_se"`
	Data       []LeftOutDatum `json:"data"`
}

// LeftOutDatum is one of the numbers.
type LeftOutDatum struct {
	Name     string `json:"name"`
	Observed Number `json:"observed"`
	ELPD     Number `json:"elpd"`
	Khat     Number `json:"khat"`
}

// C2ST is how well a classifier tells two runs apart.
type C2ST struct {
	Run       string   `json:"run"`
	Accuracy  Number   `json:"accuracy"`
	SE        Number   `json:"se"` // of chance
	Draws     int      `json:"draws"`
	Variables []string `json:"variables"`
	Why       string   `json:"why,omitempty"` // there is no accuracy
}

// moves is how far a mean has to move, in standard deviations, to be called sensitive.
const moves = 0.1

// AddPowers adds the table of a run; its own posterior stands in the Comparison already.
func (c *Comparison) AddPowers(i int, x *judge.PowerScaled) {
	p := c.results[i]
	out := Powers{Run: p.Run, Varies: x.Varies, Variables: []PowerVariable{}}
	means := func(of [2]*posterior.Summary) (m [2]map[string]float64) {
		for k, sum := range of {
			m[k] = map[string]float64{}
			for _, v := range sum.Variables() {
				m[k][v.Name] = v.Mean
			}
		}
		return m
	}
	prior, likelihood := means(x.Prior), means(x.Likelihood)
	for _, v := range p.Variables {
		if v.Kind == posterior.TensorKind || !(v.SD > 0) {
			continue
		}
		r := PowerVariable{Name: v.Name, Mean: v.Mean, SD: v.SD}
		for k := range r.Prior {
			r.Prior[k], r.Likelihood[k] = Number(prior[k][v.Name]), Number(likelihood[k][v.Name])
		}
		r.PriorMoves, r.LikelihoodMoves = (r.Prior[1]-r.Prior[0])/v.SD, (r.Likelihood[1]-r.Likelihood[0])/v.SD
		// d mean / d power is the covariance of the variable with the log density, whose error is √2 σ σ'/√ESS at most, nearly.
		se := (judge.Powers[1] - judge.Powers[0]) * math.Sqrt(2/min(x.ESS, float64(v.ESS)))
		r.PriorSE, r.LikelihoodSE = Number(se*x.PriorSD), Number(se*x.LikelihoodSD)
		if x.Varies {
			nan := Number(math.NaN())
			r.Prior, r.PriorMoves, r.PriorSE = [2]Number{nan, nan}, nan, nan
		}
		significant := func(m, se Number) bool { return math.Abs(float64(m)) > max(moves, 3*float64(se)) }
		a, b := significant(r.PriorMoves, r.PriorSE), significant(r.LikelihoodMoves, r.LikelihoodSE)
		switch {
		case a && b && r.PriorMoves*r.LikelihoodMoves < 0:
			r.Word = "prior and data disagree"
		case a && !b:
			r.Word = "the prior decides"
		}
		out.Variables = append(out.Variables, r)
	}
	c.Powers = append(c.Powers, out)
}

// AddLeaveOneOut adds the data of a run.
func (c *Comparison) AddLeaveOneOut(i int, list []judge.LeftOut) {
	out := LeaveOneOut{Run: c.results[i].Run, Data: []LeftOutDatum{}, Better: Number(math.NaN()), BetterSE: Number(math.NaN())}
	var elpd []float64
	for _, x := range list {
		elpd = append(elpd, x.ELPD)
		out.MonteCarlo = Number(math.Hypot(float64(out.MonteCarlo), x.SE))
		out.PLOO += Number(x.LPPD - x.ELPD)
		if x.Khat > 0.7 {
			out.Bad++
		}
		out.Data = append(out.Data, LeftOutDatum{x.Label, Number(x.Observed), Number(x.ELPD), Number(x.Khat)})
	}
	out.ELPD, out.SE = sumWithError(elpd)
	if len(c.LeftOut) > 0 {
		first := c.LeftOut[0].Data
		same := len(first) == len(out.Data)
		var difference []float64
		for k := 0; same && k < len(first); k++ {
			same = first[k].Name == out.Data[k].Name && first[k].Observed == out.Data[k].Observed
			difference = append(difference, float64(out.Data[k].ELPD-first[k].ELPD))
		}
		if same {
			out.Better, out.BetterSE = sumWithError(difference)
			out.BetterSE = Number(math.Hypot(float64(out.BetterSE), math.Hypot(float64(out.MonteCarlo), float64(c.LeftOut[0].MonteCarlo))))
		}
	}
	c.LeftOut = append(c.LeftOut, out)
}

// sumWithError is a sum of n terms, and √n times their standard deviation.
func sumWithError(x []float64) (sum, se Number) {
	n := float64(len(x))
	if n < 2 {
		for _, v := range x {
			sum += Number(v)
		}
		return sum, 0
	}
	total, squares := 0.0, 0.0
	for _, v := range x {
		total += v
	}
	for _, v := range x {
		squares += (v - total/n) * (v - total/n)
	}
	return Number(total), Number(math.Sqrt(n * squares / (n - 1)))
}

// AddC2ST adds what a classifier made of the first run and run i.
func (c *Comparison) AddC2ST(i int, x *judge.C2ST) {
	c.C2ST = append(c.C2ST, C2ST{Run: c.results[i].Run, Accuracy: Number(x.Accuracy), SE: Number(x.SE), Draws: x.Draws, Variables: x.Variables})
}

// AddNoC2ST adds why there is none.
func (c *Comparison) AddNoC2ST(i int, why error) {
	nan := Number(math.NaN())
	c.C2ST = append(c.C2ST, C2ST{Run: c.results[i].Run, Accuracy: nan, SE: nan, Variables: []string{}, Why: why.Error()})
}

// judged writes what was asked for besides.
func (c *Comparison) judged(w io.Writer, s Style) {
	for i, p := range c.Powers {
		fmt.Fprintf(w, "\n%s the mean when prior or likelihood is raised to a power\n", s.Bold(fmt.Sprintf("(%d)", i+1)))
		t := &Table{Header: []string{"variable", ">mean", ">prior^0.8", ">prior^1.25", ">moves", ">likelihood^0.8", ">^1.25", ">moves", ""}}
		for k, v := range p.Variables {
			if k == maxListed {
				break
			}
			t.Add(text.Clip(v.Name, 40), Figure(float64(v.Mean)), Figure(float64(v.Prior[0])), Figure(float64(v.Prior[1])), WithError(float64(v.PriorMoves), float64(v.PriorSE)),
				Figure(float64(v.Likelihood[0])), Figure(float64(v.Likelihood[1])), WithError(float64(v.LikelihoodMoves), float64(v.LikelihoodSE)), v.Word)
		}
		t.Print(w)
		if p.Varies {
			fmt.Fprintln(w, "the number of latents varies between traces: a power of their density would depend on units, and is not shown")
		}
		if c.results[i].Trust.Verdict == posterior.None {
			fmt.Fprintln(w, "the run cannot be trusted, nor what follows from it")
		}
	}
	if len(c.Powers) > 0 {
		fmt.Fprintln(w, "\nmoves: of the mean between the two powers, in standard deviations of the posterior.")
	}
	if len(c.LeftOut) > 0 {
		fmt.Fprintf(w, "\n%s\n", s.Bold("every number of the data predicted from all others (leave-one-out)"))
		t := &Table{Header: []string{"run", ">log density", ">parameters", ">k̂ > 0.7", ">better than (1) by"}}
		for i, l := range c.LeftOut {
			better := "–"
			if i > 0 && !math.IsNaN(float64(l.Better)) {
				better = WithError(float64(l.Better), float64(l.BetterSE))
			} else if i > 0 {
				better = "other data"
			}
			if l.Bad > 0 {
				better += " (not to be relied on: k̂)"
			}
			t.Add(fmt.Sprintf("(%d)", i+1), WithError(float64(l.ELPD), float64(l.SE)), Figure(digits2(float64(l.PLOO))), fmt.Sprintf("%d of %d", l.Bad, len(l.Data)), better)
		}
		t.Print(w)
	}
	for i, x := range c.C2ST {
		if x.Why != "" {
			fmt.Fprintf(w, "\nno classifier for (1) and (%d): %s\n", i+2, ppx.Printable(x.Why))
			continue
		}
		what := "they are not told apart"
		if d := float64(x.Accuracy) - 0.5; d > 4*float64(x.SE) {
			what = "they differ"
		}
		fmt.Fprintf(w, "\na classifier tells (1) and (%d) apart in %.1f ± %.1f %% of %s draws, by %s: %s\n", i+2, 100*float64(x.Accuracy), 100*float64(x.SE), text.Thousands(uint64(2*x.Draws)),
			ppx.List(x.Variables, 5), what)
	}
}
