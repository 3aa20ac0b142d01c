package jobs

import (
	"context"
	"fmt"
	"slices"
	"strings"

	"github.com/ppx-engine/ppx-engine/engine"
	"github.com/ppx-engine/ppx-engine/ppx"
)

// Method is a row of the table of methods: all that is special of one.
type Method struct {
	Name string
	Doc  string
	Verb string // that it belongs to
	// Conditioned tells that its weights carry the likelihood of data.
	Conditioned bool
	// Settings are those that only some methods have, by the names of their flags.
	Settings []string
	// Chains tells that its draws are those of chains.
	Chains bool
	// Particles tells that its draws are particles.
	Particles bool
	// run does the job.
	run func(context.Context, *Method, *Spec, Options) (*Outcome, error)
	// guide prepares what proposes values; nil: they are drawn from the prior.
	guide func(r *run) (func(engine.Draw) engine.Layer, error)
	// needs is what has to be given, in words, when it is not.
	needs func(s *Spec) string
}

// moves is how chains and particles move: the probability that a step of one site is from the neighbourhood; that a step draws a whole trace from the network;
// that the network proposes for one site.
type moves struct{ walk, whole, guided float64 }

// kernels are the ways to move, by the names of the methods that make chains with them.
var kernels = map[string]moves{"lmh": {}, "rmh": {walk: 0.5}, "ic-mh": {0.5, 0.25, 0.25}}

// Methods is the table.
var Methods = []Method{
	{Name: "prior", Doc: "the simulator as it is", Verb: Prior, Settings: []string{"keep-values", "prior-inflation", "target-ess"}, run: sampling},
	{Name: "is", Doc: "importance sampling from the prior", Verb: Infer, Conditioned: true, Settings: slices.Concat(conditioned, []string{"prior-inflation"}), run: sampling},
	{Name: "ic", Doc: "the same, guided by a network (--network)", Verb: Infer, Conditioned: true, Settings: slices.Concat(conditioned, []string{"network", "defensive", "rejection-passes", "rejection-loops"}), run: sampling,
		guide: loadNetwork,
		needs: aNetwork},
	{Name: "lmh", Doc: "chains of single-site Metropolis-Hastings, new values from the prior", Verb: Infer, Conditioned: true, Settings: slices.Concat(chainSettings, data), Chains: true, run: chained},
	{Name: "rmh", Doc: "the same, half of the steps from the neighbourhood of the present value", Verb: Infer, Conditioned: true, Settings: slices.Concat(chainSettings, data), Chains: true, run: chained},
	{Name: "ic-mh", Doc: "the same, a quarter of the steps whole traces from a network (--network), a quarter single sites by it", Verb: Infer, Conditioned: true,
		Settings: slices.Concat(chainSettings, data, []string{"network", "defensive"}), Chains: true, run: chained, guide: loadNetwork, needs: aNetwork},
	{Name: "smc", Doc: "particles that go from the prior (or a network) to the posterior by steps", Verb: Infer, Conditioned: true, Settings: slices.Concat(particleSettings, conditioned, []string{"network", "defensive"}),
		Particles: true, run: particles, guide: maybeNetwork},
	{Name: "auto", Doc: "whichever of is, ic and smc a pilot finds to work, checked by another", Verb: Infer, Conditioned: true, Settings: slices.Concat(conditioned, []string{"network", "defensive"})},
	{Name: "predict", Doc: "data from the latents of a run", Verb: Predict, run: sampling, guide: replayRun},
	{Name: "ic", Doc: "a network for inference compilation", Verb: Train, Settings: []string{"prior-inflation"}, run: trained},
}

// particleSettings are those of particles.
var particleSettings = []string{"islands", "keep", "moves", "kernel", "ladder", "score", "above", "at-least"}

// data are the settings of all methods that take data, conditioned those of weighted draws, chainSettings those of chains.
var (
	data          = []string{"observe", "observe-file", "missing", "invalid-observe", "likelihood-importance"}
	conditioned   = slices.Concat(data, []string{"target-ess"})
	chainSettings = []string{"chains", "warmup", "thin"}
)

func init() { Lookup(Infer, "auto").run = auto } // which looks others up in the table

// aNetwork is what methods with a network need.
func aNetwork(s *Spec) string {
	if s.Network == nil {
		return "a network: --network FILE, made by ppx train"
	}
	return ""
}

// Lookup finds a method of a verb by its name; nil if there is none.
func Lookup(verb, name string) *Method {
	for i := range Methods {
		if m := &Methods[i]; m.Verb == verb && m.Name == name {
			return m
		}
	}
	return nil
}

// Of are the methods of a verb.
func Of(verb string) (out []Method) {
	for _, m := range Methods {
		if m.Verb == verb {
			out = append(out, m)
		}
	}
	return out
}

func (s *Spec) method() (*Method, error) {
	if !slices.Contains([]string{Prior, Infer, Train, Calibrate, Predict}, s.Verb) {
		return nil, misuse("verb %s: want %s, %s, %s, %s or %s", ppx.Quote(s.Verb), Prior, Infer, Train, Calibrate, Predict)
	}
	verb := s.Verb
	if verb == Calibrate { // it judges the methods of inference
		verb = Infer
	}
	if m := Lookup(verb, s.Method); m != nil {
		return m, nil
	}
	var list []string
	for _, m := range Of(verb) {
		list = append(list, fmt.Sprintf("%s (%s)", m.Name, m.Doc))
	}
	return nil, misuse("--method %s: this version has %s", ppx.Quote(s.Method), strings.Join(list, " and "))
}

// Applies refuses a setting, by the name of its flag, that a method does not have, and says which have it.
func (m *Method) Applies(flag string) error {
	var others []string
	for _, o := range Methods {
		if o.Verb == m.Verb && slices.Contains(o.Settings, flag) {
			others = append(others, o.Name)
		}
	}
	if slices.Contains(m.Settings, flag) || len(others) == 0 && !slices.ContainsFunc(Methods, func(o Method) bool { return slices.Contains(o.Settings, flag) }) {
		return nil // it, or all have it
	}
	if len(others) == 0 {
		return misuse("--%s does not go with ppx %s", flag, m.Verb)
	}
	return misuse("--%s does not go with --method %s, but with %s", flag, m.Name, strings.Join(others, ", "))
}

// check refuses what the method cannot do.
func (m *Method) check(s *Spec) error {
	switch {
	case s.Verb == Train && s.Sampling != nil:
		return misuse("a job that trains has no data, nor other settings of inference")
	case s.Verb != Train && s.Training != nil:
		return misuse("training does not go with ppx %s", s.Verb)
	case s.Verb != Calibrate && s.Calibration != nil:
		return misuse("calibration does not go with ppx %s", s.Verb)
	case s.Verb != Predict && s.Prediction != nil:
		return misuse("prediction does not go with ppx %s", s.Verb)
	case s.Sampling != nil && s.Each != nil && s.Verb != Infer:
		return misuse("each does not go with ppx %s", s.Verb)
	case s.Verb == Train:
		return nil
	}
	if m.needs != nil {
		if what := m.needs(s); what != "" {
			return misuse("--method %s needs %s", m.Name, what)
		}
	}
	for _, x := range []struct {
		flag  string
		given bool
	}{{"network", s.Network != nil}, {"observe", len(s.Data) > 0}, {"prior-inflation", s.Inflation != 0}, {"keep-values", s.KeepValues},
		{"likelihood-importance", s.LikelihoodImportance != 1}, {"target-ess", s.TargetESS != 0}, {"chains", s.MCMC != nil}, {"islands", s.SMC != nil}, {"invalid-observe", s.InvalidObserve != Fail}} {
		if x.given {
			if err := m.Applies(x.flag); err != nil {
				return err
			}
		}
	}
	return nil
}
