package jobs

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"math"
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/ppx-engine/ppx-engine/internal/disk"
	"github.com/ppx-engine/ppx-engine/internal/text"
	"github.com/ppx-engine/ppx-engine/mcmc"
	"github.com/ppx-engine/ppx-engine/posterior"
	"github.com/ppx-engine/ppx-engine/smc"
	"github.com/ppx-engine/ppx-engine/tracing/rundir"
)

// What auto does by itself.
const (
	autoFolder   = ".auto" // beside the run directory: its other runs
	autoFile     = "auto.json"
	autoESS      = 400.0
	pilotDraws   = 1000
	leastDraws   = 10_000 // of the prior, for an answer or a check: it sees what one draw in a thousand does
	pilotTime    = 0.1    // share of the time for a pilot
	cheapDraws   = 200_000
	autoParticle = 512
	mostParticle = 1 << 20
	mostIslands  = 128
	mostKept     = 64 // states of a particle
)

// DefaultAutoRuns is how many runs of the simulator auto may make, unless that is given.
const DefaultAutoRuns = 10_000_000

// autoJob is a job whose method is found on the way: a pilot chooses and is thrown away, the answer is drawn by what was chosen, and is checked by a run of another
// kind that starts from the prior.
type autoJob struct {
	spec   *Spec
	o      Options
	began  time.Time
	spent  uint64 // runs of the simulator, by all stages
	how    string // the answer was drawn
	result rundir.Auto
}

// auto runs one.
func auto(ctx context.Context, _ *Method, spec *Spec, o Options) (*Outcome, error) {
	if spec.TargetESS == 0 {
		spec.TargetESS = autoESS
	}
	if spec.Out == "" {
		spec.Out = FreshDirectory(spec.Verb)
	}
	if o.RetryFailed {
		return nil, misuse("--retry-failed goes with a method of its own")
	}
	if !o.Resume {
		if err := rundir.Free(spec.Out); errors.Is(err, rundir.ErrExists) {
			return nil, misuse("%w; give another --out, or --resume to continue it", err)
		} else if err != nil {
			return nil, err
		}
		if err := unused(spec.Out + autoFolder); err != nil {
			return nil, err
		}
	}
	a := &autoJob{spec: spec, o: o, began: time.Now()}
	if o.shared == nil {
		pool, err := spec.open(ctx, o)
		if err != nil {
			return nil, err
		}
		defer pool.Close()
		a.o.shared = newShared(pool, spec)
	}
	if err := a.note(); err != nil {
		return nil, err
	}
	if o.Begun != nil {
		o.Begun(a.o.shared.pool.Model(), spec)
	}
	out, err := a.run(ctx)
	if err != nil && !o.Resume && !errors.Is(err, ErrInterrupted) && (a.spent == 0 || errors.Is(err, smc.ErrStart) || errors.Is(err, mcmc.ErrStart)) { // nothing is there that could be gone on with
		return nil, errors.Join(err, os.RemoveAll(spec.Out), os.RemoveAll(spec.Out+autoFolder))
	}
	if errors.Is(err, ErrInterrupted) && out == nil {
		out = &Outcome{Dir: spec.Out, Spec: spec, State: rundir.Interrupted}
		return nil, fmt.Errorf("%w; --resume --out %s continues", err, spec.Out)
	}
	return out, err
}

// note keeps what was asked for, before there is a run directory.
func (a *autoJob) note() error {
	job, err := a.spec.record()
	if err != nil {
		return err
	}
	dir := a.spec.Out + autoFolder
	if err := os.MkdirAll(dir, 0o777); err != nil {
		return err
	}
	return disk.WriteJSON(filepath.Join(dir, autoFile), struct {
		Schema int             `json:"schema"`
		Job    json.RawMessage `json:"job"`
	}{Schema, job})
}

// say tells how far it is.
func (a *autoJob) say(format string, args ...any) {
	if a.o.Remark != nil {
		a.o.Remark("auto: " + fmt.Sprintf(format, args...))
	}
}

// left is how many runs may yet be made.
func (a *autoJob) left() uint64 {
	if a.spent >= a.spec.N {
		return 0
	}
	return a.spec.N - a.spent
}

// time is a share of what is left of the time; 0: there is no bound.
func (a *autoJob) time(share float64) Duration {
	if a.spec.MaxTime == 0 {
		return 0
	}
	left := time.Duration(a.spec.MaxTime) - time.Since(a.began)
	return Duration(max(time.Millisecond, time.Duration(share*float64(left))))
}

// over tells that the time is.
func (a *autoJob) over() bool {
	return a.spec.MaxTime > 0 && time.Since(a.began) >= time.Duration(a.spec.MaxTime)
}

// stage is the Spec of one of the runs: with a seed of its own.
func (a *autoJob) stage(name, method string, n uint64) *Spec {
	s := a.spec.clone()
	s.Method, s.N, s.TargetESS, s.MaxTime, s.MCMC, s.SMC = method, n, 0, 0, nil, nil
	s.Out = a.spec.Out
	if name == "check" || name == "again" { // which know no network
		s.Network = nil
	}
	number := map[string]uint64{"": 0, "pilot": 1, "learned": 2, "check": 3, "again": 4}[name]
	if name != "" {
		s.Out = filepath.Join(a.spec.Out+autoFolder, name)
	}
	s.Seed = (a.spec.Seed + number*0x9E3779B97F4A7C15) >> 1 // of 63 bits
	if number == 0 {
		s.Seed = a.spec.Seed
	}
	if method == "smc" {
		s.SMC = s.defaultSMC()
		s.SMC.Islands = int(max(uint64(s.SMC.Islands), min(mostIslands, n/32))) // the more, the better known are errors
	}
	return s
}

// make makes a stage, or goes on with it, or takes what there is of it.
func (a *autoJob) make(ctx context.Context, s *Spec) (*Outcome, error) {
	o := a.o
	o.Begun, o.asked = nil, a.spec
	before := uint64(0) // draws of earlier sessions
	if m, err := rundir.ReadManifest(s.Out); err == nil {
		o.Resume, before = true, m.Counts.Traces+m.Counts.Failed
		if m.State == rundir.Complete && m.N >= s.N {
			out, err := Summarise(ctx, s.Out, a.o.Full)
			if err == nil {
				a.count(out)
			}
			return out, err
		}
	} else {
		o.Resume = false
		if errors.Is(err, rundir.ErrNotARun) {
			_ = os.RemoveAll(s.Out) // one that was begun and has nothing
		}
	}
	m := Lookup(Infer, s.Method)
	out, err := m.run(ctx, m, s, o)
	if err != nil {
		return nil, err
	}
	a.count(out)
	if out.Manifest.Particles == nil && a.spent >= before { // those were counted when they were made
		a.spent -= before
	}
	return out, nil
}

// begun is how many draws or particles a stage was begun with in an earlier session; 0: it was not.
func (a *autoJob) begun(name string) uint64 {
	m, err := rundir.ReadManifest(a.stage(name, "is", 1).Out)
	if err != nil {
		return 0
	}
	return m.N
}

// count adds the runs of a stage.
func (a *autoJob) count(o *Outcome) {
	if p := o.Manifest.Particles; p != nil {
		a.spent += p.Runs
		return
	}
	a.spent += o.Done
}

// run makes the stages.
func (a *autoJob) run(ctx context.Context) (*Outcome, error) {
	method := "is"
	kind := "draws of the prior"
	if a.spec.Network != nil {
		method, kind = "ic", "draws from the network"
	}
	pilot := a.stage("pilot", method, max(10, min(pilotDraws, a.left()/10)))
	pilot.MaxTime = a.time(pilotTime)
	if a.left() < 100 {
		return nil, misuse("-n %d: auto needs at least 100 runs of the simulator, and far more to say something", a.spec.N)
	}
	p, err := a.make(ctx, pilot)
	if err != nil {
		return nil, err
	}
	if p.Summary.Weights.ESS() < 10 && p.Stopped == "" && a.left() > 20*leastDraws { // so few say little
		pilot.N = leastDraws
		if p, err = a.make(ctx, pilot); err != nil {
			return nil, err
		}
	}
	a.result.Pilot = pilot.Out
	w := p.Summary.Weights
	ess, khat := w.ESS(), w.Khat()
	needed := math.Inf(1)
	if ess > 0 {
		needed = 1.3 * a.spec.TargetESS * float64(w.N) / ess
	}
	heavy := khat > posterior.KhatLimit(w.N)+2*posterior.KhatSE(khat, w.N) // more draws would not change it
	good := ess >= 10 && !heavy && needed <= math.Max(cheapDraws, float64(pilot.N)) && needed <= 0.6*float64(a.left())
	what := "good enough to go on so"
	switch {
	case good:
	case heavy:
		what = "a few weights dominate: particles instead"
	default:
		what = "too few that count: particles instead"
	}
	a.say("%s %s: effective sample size %.3g%s: %s", text.Thousands(w.N), kind, ess, khatText(khat), what)
	if !good {
		if t, err := firstGood(ctx, pilot.Out); err != nil {
			return nil, err
		} else if t != nil && t.Own() != "" {
			return nil, misuse("particles cannot move %s, which is the simulator's own, and of weighted draws too few count: give --method %s more (-n), or write the distribution with others", t.Own(), method)
		}
	}
	var answer *Outcome
	if good {
		if answer, err = a.weighted(ctx, method, needed); err != nil {
			return nil, err
		}
	}
	if answer == nil {
		if answer, err = a.particles(ctx); err != nil {
			return nil, err
		}
	}
	check, what, err := a.check(ctx)
	if err != nil {
		return nil, err
	}
	return a.finish(answer, check, what)
}

// khatText is k̂, where there is one.
func khatText(khat float64) string {
	if isBad(khat) {
		return ""
	}
	return fmt.Sprintf(", k̂ %.2f", khat)
}

// weighted draws with the pilot's proposals, looking after 1,000·2^k draws; nil: the weights were not so good after all.
func (a *autoJob) weighted(ctx context.Context, method string, needed float64) (*Outcome, error) {
	n := uint64(pilotDraws)
	for float64(n) < needed || method == "is" && n < leastDraws || n < a.begun("") {
		n *= 2
	}
	share := a.left() * 6 / 10
	most := uint64(4 * math.Max(needed, float64(n)))
	for {
		s := a.stage("", method, min(n, max(share, 100)))
		s.MaxTime = a.time(0.6)
		out, err := a.make(ctx, s)
		if err != nil {
			return nil, err
		}
		khat := out.Summary.Weights.Khat()
		reached := out.Summary.ESS() >= a.spec.TargetESS
		enough := reached && !(khat > posterior.KhatLimit(n))
		ended := n >= share || out.Stopped != "" || a.over()
		switch {
		case !enough && !ended && (n >= most || !reached && a.spec.TargetESS*float64(n) > 2*cheapDraws*out.Summary.ESS()): // it needs far more than it seemed
			a.say("%s draws: effective sample size %.3g of %.3g%s: particles instead", text.Thousands(out.Done), out.Summary.ESS(), a.spec.TargetESS, khatText(khat))
			return nil, os.RemoveAll(s.Out)
		case enough || ended:
			how := "importance sampling from the prior"
			if method == "ic" {
				how = "importance sampling from the network's proposals"
			}
			a.result.Chosen = method
			a.how = how + ", as a pilot showed that its weights do not collapse"
			return out, nil
		}
		a.say("%s draws: effective sample size %.3g of %.3g%s", text.Thousands(out.Done), out.Summary.ESS(), a.spec.TargetESS, khatText(khat))
		if n *= 2; reached { // once more, for k̂
			most = min(most, n)
		}
	}
}

// particles learns a ladder, and draws the answer by particles that know it.
func (a *autoJob) particles(ctx context.Context) (*Outcome, error) {
	n := max(autoParticle, a.begun("learned"))
	var learned *Outcome
	smaller := filepath.Join(a.spec.Out+autoFolder, "learned-before")
	for {
		s := a.stage("learned", "smc", n)
		s.SMC.MaxRuns = max(1, a.left()*6/10)
		s.MaxTime = a.time(0.5)
		out, err := a.make(ctx, s)
		if errors.Is(err, smc.ErrBudget) || errors.Is(err, ErrInterrupted) && ctx.Err() == nil {
			if _, e := os.Stat(smaller); e == nil { // they will have to do
				if learned == nil { // in an earlier session
					if learned, e = Summarise(ctx, smaller, a.o.Full); e != nil {
						return nil, e
					}
				}
				n = learned.Manifest.N
				if err := errors.Join(os.RemoveAll(s.Out), os.Rename(smaller, s.Out)); err != nil {
					return nil, err
				}
				break
			}
			why, _, _ := strings.Cut(err.Error(), ";") // what continues is said once
			return nil, misuse("particles did not get to the posterior within the budget (%s runs, or the time; the first climb has 60 %% of the runs and half of the time that is left): give more (-n, --max-time); in %s is how far they came: %s", text.Thousands(a.spec.N), s.Out, why)
		}
		if err != nil {
			return nil, err
		}
		learned = out
		ess := out.Summary.ESS()
		a.say("%s particles from the %s: %d rungs, %s runs, effective sample size %.3g", text.Thousands(n), startOf(a.spec), len(out.Manifest.Particles.Ladder), text.Thousands(out.Manifest.Particles.Runs), ess)
		if ess >= a.spec.TargetESS/20 || n >= mostParticle || 5*out.Manifest.Particles.Runs > a.left() || a.over() {
			break
		}
		if err := errors.Join(os.RemoveAll(smaller), os.Rename(s.Out, smaller)); err != nil {
			return nil, err
		}
		n *= 4
	}
	a.result.Learned = filepath.Join(a.spec.Out+autoFolder, "learned")
	runs := learned.Manifest.Particles.Runs
	perParticle := float64(runs) / float64(n)
	size := max(n, a.begun("")/mostKept)
	before := filepath.Join(a.spec.Out+autoFolder, "answer-before")
	chosen := func(out *Outcome) *Outcome {
		a.result.Chosen = "smc"
		a.how = fmt.Sprintf("particles from the %s to the posterior, by %d steps that others had learned, as the weights of a pilot collapsed", startOf(a.spec), len(out.Manifest.Particles.Ladder))
		return out
	}
	for {
		s := a.stage("", "smc", size)
		// States along the last moves are cheaper than particles, which have to climb.
		s.SMC.Ladder, s.SMC.Keep, s.TargetESS = a.result.Learned, mostKept, a.spec.TargetESS
		s.SMC.MaxRuns = max(1, a.left()*9/10)
		most := uint64(float64(s.SMC.MaxRuns) * 0.9 / perParticle)
		if s.N = min(size, most/128*128); s.N < 320 {
			return nil, misuse("-n %d: what particles have learned took %s runs, and too few are left to use it: give more (-n); %s is what they came to", a.spec.N, text.Thousands(runs), a.result.Learned)
		}
		s.MaxTime = a.time(0.8)
		out, err := a.make(ctx, s)
		if (errors.Is(err, smc.ErrBudget) || errors.Is(err, ErrInterrupted)) && ctx.Err() == nil {
			if _, e := os.Stat(before); e != nil {
				why, _, _ := strings.Cut(err.Error(), ";")
				return nil, misuse("%s: what particles have learned could not be used within the budget: give more (-n, --max-time) with --resume --out %s; %s is what they came to, with an effective sample size of %.3g", why, a.spec.Out, a.result.Learned, learned.Summary.ESS())
			}
			if err := errors.Join(os.RemoveAll(s.Out), os.Rename(before, s.Out)); err != nil { // fewer will have to do
				return nil, err
			}
			if out, err = Summarise(ctx, s.Out, a.o.Full); err != nil {
				return nil, err
			}
			a.say("there was no time, or there were no runs, for more: %s particles have to do", text.Thousands(out.Manifest.N))
			return chosen(out), nil
		}
		if err != nil {
			return nil, err
		}
		ess := out.Summary.ESS()
		if ess >= a.spec.TargetESS || out.Stopped == outOfRuns || out.Stopped == outOfTime || s.N < size || size >= mostParticle || float64(2*size)*perParticle > 0.9*float64(a.left()) || a.over() {
			return chosen(out), os.RemoveAll(before)
		}
		a.say("%s particles: effective sample size %.3g of %.3g", text.Thousands(s.N), ess, a.spec.TargetESS)
		if err := errors.Join(os.RemoveAll(before), os.Rename(s.Out, before)); err != nil {
			return nil, err
		}
		for size *= 2; float64(size) < 1.3*float64(s.N)*a.spec.TargetESS/ess && size < 8*s.N; size *= 2 {
		}
	}
}

func startOf(s *Spec) string {
	if s.Network != nil {
		return "network"
	}
	return "prior"
}

// check is a run of another kind than the answer that starts from the prior; nil: there is none that says something.
func (a *autoJob) check(ctx context.Context) (*Outcome, string, error) {
	try := func(s *Spec, what string) (*Outcome, string, error) {
		out, err := a.make(ctx, s)
		switch {
		case ctx.Err() != nil:
			return nil, "", context.Cause(ctx)
		case errors.Is(err, smc.ErrBudget), errors.Is(err, ErrInterrupted), errors.Is(err, smc.ErrStart):
			return nil, "the budget ended before the check did", nil
		case errors.Is(err, mcmc.ErrPath):
			return nil, "the simulator is not deterministic, so that particles cannot", nil
		case err != nil:
			return nil, "", err
		}
		if ess := out.Summary.ESS(); ess < 10 {
			return nil, fmt.Sprintf("%s has an effective sample size of %.2g, and cannot check anything", what, ess), nil
		}
		return out, what, nil
	}
	if a.left() < 100 || a.over() {
		return nil, "there was nothing left of the budget for a check", nil
	}
	if a.result.Chosen != "is" {
		s := a.stage("check", "is", min(leastDraws, a.left()))
		s.MaxTime = a.time(0.5)
		what := fmt.Sprintf("importance sampling from the prior (%s draws)", text.Thousands(s.N))
		out, said, err := try(s, what)
		if err != nil || out != nil && out.Summary.ESS() >= 30 {
			return out, said, err
		}
		if a.result.Chosen == "smc" && a.spec.Network == nil { // the particles that have learned started from the prior, and knew nothing
			learned, err := Summarise(ctx, a.result.Learned, false)
			a.result.Check = a.result.Learned
			return learned, fmt.Sprintf("the particles that had learned the steps, which no draw of theirs shares (%s draws of the prior say too little)", text.Thousands(s.N)), err
		}
	}
	s := a.stage("again", "smc", autoParticle)
	s.SMC.MaxRuns = max(1, a.left())
	s.MaxTime = a.time(1)
	return try(s, fmt.Sprintf("particles from the prior (%s)", text.Thousands(s.N)))
}

// finish compares, and says what was done and why it can be trusted or not.
func (a *autoJob) finish(answer, check *Outcome, what string) (*Outcome, error) {
	r := &a.result
	r.Runs = a.spent
	first := fmt.Sprintf("The answer is from %s.", a.how)
	var d posterior.Difference
	if check != nil {
		if d = posterior.Disagreement(answer.Summary, check.Summary); d.Figures == 0 {
			check, what = nil, "it has no figure that could be compared"
		}
	}
	if check == nil {
		r.Sentences = []string{first, fmt.Sprintf("Nothing has checked it: %s.", what)}
	} else {
		r.Check, r.Checked = check.Dir, true
		r.Difference, r.Where = rundir.Number(d.Z), d.Where
		how := "agrees with it"
		if d.Z > posterior.Disagree {
			how = fmt.Sprintf("does not agree with it (%s)", d.Text)
		}
		largest := fmt.Sprintf("the largest difference is one of %.1f standard errors", d.Z)
		if d.Z < 0.1 { // what is likely for so many is taken off
			largest = "no difference is larger than chance makes it"
		}
		kind := "A check of another kind"
		if check.Dir == r.Learned {
			kind = "A check"
		}
		r.Sentences = []string{first, fmt.Sprintf("%s, %s, %s: %d figures were compared, %s.", kind, what, how, d.Figures, largest)}
	}
	if err := rundir.Amend(answer.Dir, func(m *rundir.Manifest) { m.Auto = r }); err != nil {
		return nil, err
	}
	answer.Manifest.Auto, answer.Spec = r, a.spec
	return answer, nil
}
