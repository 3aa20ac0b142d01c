package main

import (
	"encoding/json"
	"image/png"
	"math"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/ppx-engine/ppx-engine/internal/testbed"
	"github.com/ppx-engine/ppx-engine/posterior"
	"github.com/ppx-engine/ppx-engine/view"
)

func (s *session) prediction(out string) (p view.Prediction) {
	s.t.Helper()
	if err := json.Unmarshal([]byte(out), &p); err != nil {
		s.t.Fatalf("%v in %q", err, out)
	}
	return p
}

func statistic(t *testing.T, p view.Prediction, data, name string) view.Statistic {
	t.Helper()
	for _, s := range p.Statistics {
		if s.Data == data && s.Name == name {
			return s
		}
	}
	t.Fatalf("no %s of %s in %+v", name, data, p.Statistics)
	return view.Statistic{}
}

// Predictive distributions of gum are exact: of the posterior, of the prior, of a datum that was left out.
func TestPredict(t *testing.T) {
	s := newSession(t)
	sim := append([]string{"--"}, testbed.Simulator(t, "gum", "cpp")...)
	s.run(0, args(words("infer --quiet --seed 1 -n 60000 --observe obs0=4 --observe obs1=3 --out run"), sim)...)
	const n = 4000
	for flags, want := range map[string]struct {
		data, kind string
		mean, sd   float64
	}{
		"":                  {"obs1", "posterior", 3.083333, math.Sqrt(0.912871*0.912871 + 2)},
		"--prior":           {"obs1", "prior", 1, math.Sqrt(7)},
		"--leave-out obs1":  {"obs1", "left-out", 3.142857, math.Sqrt(1/0.7 + 2)}, // mu given obs0 = 4: N((0.2 + 2)/0.7, 1/0.7)
		"--leave-out=obs0 ": {"obs0", "left-out", 2.428571, math.Sqrt(1/0.7 + 2)},
	} {
		out, _ := s.run(0, words("predict --json --quiet --seed 2 -n 4000 run --out "+strings.Map(func(r rune) rune {
			if r == ' ' || r == '=' {
				return '_'
			}
			return r
		}, "to"+flags)+" "+flags)...)
		p := s.prediction(out)
		x := statistic(t, p, want.data, "value")
		if se := want.sd / math.Sqrt(n); p.Kind != want.kind || p.Replicates != n || math.Abs(float64(x.Mean)-want.mean) > 4*se || math.Abs(float64(x.SD)-want.sd) > 4*se/math.Sqrt2 {
			t.Errorf("%q: %s, mean %g, sd %g; exact %g, %g", flags, p.Kind, x.Mean, x.SD, want.mean, want.sd)
		}
		// P(y > observed).
		if exact := 0.5 * math.Erfc((float64(x.Observed)-want.mean)/want.sd/math.Sqrt2); math.Abs(float64(x.P)-exact) > 4*math.Sqrt(exact*(1-exact)/n) || !(x.PSE > 0) {
			t.Errorf("%q: p %g ± %g, exact %g", flags, x.P, x.PSE, exact)
		}
		if x.Blind != (want.kind == "posterior") || p.Verdict != posterior.Good {
			t.Errorf("%q: %+v", flags, x)
		}
	}
	// A statistic of one's own, and one in which a latent occurs: that of replicates is a χ² of two.
	out, _ := s.run(0, append(words("predict --json --quiet --resume --out to"), "--stat", "gap=obs1 - obs0", "--stat", "chi=((obs0-mu)^2+(obs1-mu)^2)/2")...)
	p := s.prediction(out)
	if x := statistic(t, p, "", "gap"); x.Observed != -1 || math.Abs(float64(x.SD)-2) > 4*2/math.Sqrt(2*n) {
		t.Errorf("%+v", x)
	}
	if x := statistic(t, p, "", "chi"); math.Abs(float64(x.Mean)-2) > 4*2/math.Sqrt(n) || !(x.P > 0.2 && x.P < 0.8) {
		t.Errorf("%+v", x)
	}
	// Replicates are a run, each with the row that it was made from; so are those of a derived run.
	if out, _ := s.run(0, words("summary to --json")...); decoded(t, out)["ess"] != 4000.0 {
		t.Error(out)
	}
	s.run(0, args(words("derive run -o derived --let twice=mu*2 --where mu>2.5"))...)
	out, _ = s.run(0, words("predict --json --quiet --seed 2 -n 500 derived --out td")...)
	if x := statistic(t, s.prediction(out), "obs1", "value"); math.Abs(float64(x.Mean)-3.083333) > 0.9 {
		t.Errorf("%+v", x)
	}
	f, err := os.Open(filepath.Join(s.dir, "to", "predictive.png"))
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	if img, err := png.Decode(f); err != nil || img.Bounds().Dx() < 500 {
		t.Error(err)
	}
}

// Data that the model cannot make are named; what cannot be predicted is refused with a reason.
func TestPredictWhatDoesNotFit(t *testing.T) {
	s := newSession(t)
	s.run(0, args(words("infer --quiet --seed 1 -n 20000 --observe obs1=0.9 --observe obs2=0.8 --observe obs3=.7 --observe obs4=0 --observe obs5=9 --out hmm --"), testbed.Simulator(t, "hmm", "cpp"))...)
	text, e := s.run(1, words("predict --quiet --strict --seed 1 hmm --out wrong")...)
	if !strings.Contains(text, "none: no replicate of 1,000 comes up to the observed data in: ") || !strings.Contains(text, "outside") || !strings.Contains(e, "--strict") {
		t.Error(text, e)
	}
	s.run(0, args(words("infer --quiet --seed 1 -n 2000 --observe y=1 --out run"), model("pair"))...)
	s.run(0, args(words("prior --quiet --seed 1 -n 10 --out prior"), model("pair"))...)
	s.run(0, words("derive run --resample 50 -o equal")...)
	for command, want := range map[string]struct {
		code int
		says string
	}{
		"":                           {2, "which run?"},
		"nowhere":                    {2, "nowhere: not a run directory"},
		"prior":                      {2, "prior has no data"},
		"run run":                    {2, "one run directory"},
		"run --leave-out z":          {2, "--leave-out z: no trace of run has an Observe of that name"},
		"run --prior --leave-out y":  {2, "--leave-out goes without --prior"},
		"equal --leave-out y":        {2, "has been resampled"},
		"run --stat a":               {2, "want NAME=EXPRESSION"},
		"run --stat a=zz+1 --out o1": {2, "there is no variable zz"},
		"run -n 0":                   {2, "-n must be at least 1"},
		"run --resume --out run":     {2, "settled by --resume"},
		"--resume --out run":         {2, "run was made by ppx infer"},
	} {
		if _, e := s.run(want.code, words("predict --quiet "+command)...); !strings.Contains(e, want.says) || strings.Count(e, "\n") != 1 {
			t.Errorf("%q: %q, want %q", command, e, want.says)
		}
	}
	// Elements that are missing are neither scored nor predicted: without all of the others the prior is left.
	s.run(0, args(words("infer --quiet --seed 1 -n 20000 --missing ok --observe v=[1,null,3,null,2,2] --out holes"), model("six"))...)
	out, _ := s.run(0, words("predict --json --quiet --seed 1 holes --leave-out v --out o5")...)
	p := s.prediction(out)
	if x := statistic(t, p, "v", "mean"); math.Abs(float64(p.ESS)-20000) > 1 || x.Observed != 2 || math.Abs(float64(x.SD)-math.Sqrt(4+0.25)) > 0.25 {
		t.Errorf("%+v, ESS %g", x, p.ESS)
	}
	out, _ = s.run(0, words("compare holes --loo --json")...)
	var c view.Comparison
	if err := json.Unmarshal([]byte(out), &c); err != nil {
		t.Fatal(err)
	}
	exact := 0.0
	for i, y := range []float64{1, 3, 2, 2} {
		sum := 0.0
		for k, z := range []float64{1, 3, 2, 2} {
			if k != i {
				sum += z
			}
		}
		variance := 1 / (0.25 + 3)
		d := y - sum*variance
		exact += -d*d/2/(variance+1) - math.Log(2*math.Pi*(variance+1))/2
	}
	if l := c.LeftOut[0]; len(l.Data) != 4 || math.Abs(float64(l.ELPD)-exact) > 4*float64(l.MonteCarlo) || l.MonteCarlo > 0.1 {
		t.Errorf("%+v, exact %g", l, exact)
	}
	// Few replicates cannot tell; nothing compared is nothing good.
	s.run(0, args(words("infer --quiet --seed 1 -n 20000 --observe v=[0.5,1,-1,2,0.3,9] --out far"), model("six"))...)
	out, _ = s.run(0, words("predict --json --quiet --seed 1 -n 100 far --out o6")...)
	if p := s.prediction(out); p.Verdict == posterior.Good || !strings.Contains(p.Findings[0], "too few to tell") {
		t.Error(out)
	}
	s.run(0, args(words("infer --quiet --seed 1 -n 100 --observe x=1 --out sample"), model("quiet"))...)
	if _, e := s.run(2, words("predict sample")...); !strings.Contains(e, "has no data") {
		t.Error(e)
	}
	// Another simulator; one that is not deterministic.
	if _, e := s.run(2, args(words("predict --quiet run --out o2"), model("pair", "V=moved"))...); !strings.Contains(e, "this is not the simulator that") || !strings.Contains(e, "at statement 0: Sample at x2") {
		t.Error(e)
	}
	if _, e := s.run(0, args(words("predict --quiet run --out o3"), model("pair", "V=random"))...); !strings.Contains(e, "the simulator is not deterministic") || !strings.Contains(e, "statement 0") {
		t.Error(e)
	}
	s.run(0, words("predict --quiet equal --out o4")...)
	// Which latents are replicated is settled in the beginning.
	if _, e := s.run(2, words("predict --resume --out o4 -n 2000")...); !strings.Contains(e, "was settled") {
		t.Error(e)
	}
}

// What was drawn by weights that nobody can trust is not trusted either, nor is what is made of it.
func TestPredictionsOfWhatIsNotTrusted(t *testing.T) {
	s := newSession(t)
	s.run(0, args(words("infer --quiet --seed 1 -n 100 --observe y=30 --out run"), model("pair"))...)
	s.run(0, words("predict --quiet --seed 2 -n 200 run --out replicates")...)
	s.run(0, words("derive --quiet replicates -o more --let z=y+1")...)
	for _, run := range words("replicates more") {
		p := s.posteriorOf(t, run)
		if !(p.ESS < 3) || p.Trust.Verdict != posterior.None || p.Variable("y").Trust.Verdict != posterior.None {
			t.Errorf("%s: ESS %g, %+v", run, p.ESS, p.Trust)
		}
		text, _ := s.run(0, words("summary "+run)...)
		if !strings.Contains(text, "posterior predictive of") || !strings.Contains(text, "DO NOT TRUST") || !strings.Contains(text, "of the weights that they were drawn by") {
			t.Error(text)
		}
	}
	s.run(0, args(words("infer --quiet --seed 1 -n 2000 --observe y=1 --out good"), model("pair"))...)
	s.run(0, words("predict --quiet --seed 2 -n 200 good --out fine")...)
	if p := s.posteriorOf(t, "fine"); p.Trust.Verdict != posterior.Good || p.ESS > 200 {
		t.Errorf("ESS %g, %+v", p.ESS, p.Trust)
	}
}
