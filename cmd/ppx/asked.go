package main

import (
	"crypto/rand"
	"encoding/binary"
	"slices"
	"strings"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"

	"github.com/ppx-engine/ppx-engine/jobs"
	"github.com/ppx-engine/ppx-engine/ppx"
)

// asked is what the verbs that do jobs have in common: flags that fill in a Spec, a file that may hold it already, a folder in which one goes
// on.
type asked struct {
	spec     *jobs.Spec // of the flags
	sim      simulator
	file     string
	printJob bool
	resume   bool
}

func newAsked(verb string) asked { return asked{spec: jobs.New(verb)} }

func (a *asked) register(c *cobra.Command) {
	f := c.Flags()
	f.StringVar(&a.file, "job", "", "do what this file says, a job that --print-job has written, or once more what this run did")
	f.BoolVar(&a.printJob, "print-job", false, "print the job that these flags make, as --job reads it, and do nothing")
	a.sim.register(f, true)
}

// setting is the name that a Spec has for what a flag sets; "" for a flag that sets nothing in it.
func setting(flag string) string {
	for _, x := range [][2]string{{"num", "n"}, {"output", "output"}, {"embed", "embeddings"}, {"lr", "rate"}, {"lr-end", "end_rate"}, {"weight-decay", "decay"},
		{"address-dim", "address_embedding"}, {"value-dim", "value_embedding"}, {"checkpoint-every", "save_every"}} {
		if flag == x[0] {
			return x[1]
		}
	}
	return strings.ReplaceAll(flag, "-", "_")
}

// ask is the Spec that the flags make, that the file holds, or that goes on; nil if it was only to be printed.
func (a *asked) ask(c *cobra.Command, args []string) (s *jobs.Spec, err error) {
	_, command := splitDash(c, args)
	return a.askFor(c, command)
}

// askFor is ask with the simulator's command.
func (a *asked) askFor(c *cobra.Command, command []string) (s *jobs.Spec, err error) {
	f := c.Flags()
	s = a.spec
	if err := a.sim.fill(&s.Simulator, command); err != nil {
		return nil, err
	}
	switch {
	case a.resume && (a.file != "" || a.printJob):
		return nil, usagef("--job and --print-job are for new jobs: --resume goes on with the one of the folder")
	case a.resume:
		return a.goOn(f)
	case a.file != "":
		if s, err = a.fromFile(f); err != nil {
			return nil, err
		}
	default:
		if !f.Changed("seed") {
			s.Seed = systemSeed()
		}
		if m := jobs.Lookup(s.Verb, s.Method); m != nil {
			f.Visit(func(flag *pflag.Flag) {
				if err == nil {
					err = m.Applies(flag.Name)
				}
			})
		}
	}
	if err != nil || !a.printJob {
		return s, err
	}
	if err := s.Check(); err != nil {
		return nil, err
	}
	if err := s.Complete(); err != nil {
		return nil, err
	}
	return nil, s.Write(c.OutOrStdout(), ".")
}

// goOn is the job in the folder that the flags name. Other settings than they may change are refused.
func (a *asked) goOn(f *pflag.FlagSet) (*jobs.Spec, error) {
	changed := map[string]bool{"command": len(a.spec.Simulator.Command) > 0}
	var err error
	f.Visit(func(flag *pflag.Flag) {
		name := setting(flag.Name)
		changed[name] = true
		decides := slices.Contains([]string{"observe", "observe-file", "from", "embed", "chains", "warmup", "thin", "each", "islands", "keep", "moves", "kernel", "ladder", "score", "above", "at-least"}, flag.Name) || a.spec.Has(name)
		if err == nil && decides && !jobs.Free(name) && name != "out" && name != "method" && name != "network" {
			err = usagef("--%s: a job that goes on takes it from its folder (-n and --max-time may extend it)", flag.Name)
		}
	})
	switch {
	case err != nil:
		return nil, err
	case a.spec.Out == "":
		return nil, usagef("--resume continues the run in --out DIR")
	case changed["n"] && a.spec.N == 0:
		return nil, usagef("-n must be at least 1")
	}
	s, err := jobs.Continue(a.spec.Out, a.spec, func(name string) bool { return changed[name] })
	if err != nil {
		return nil, err
	}
	if changed["method"] && a.spec.Method != s.Method {
		return nil, usagef("%s was made by another method, %s", s.Out, s.Method)
	}
	if a.spec.Sampling != nil && a.spec.Network != nil {
		if s.Network == nil {
			return nil, usagef("%s was made without a network", s.Out)
		}
		s.Network.File = a.spec.Network.File // where it is now
	}
	return s, nil
}

// fromFile reads the Spec of --job. A flag that says something else is an error; --out may always be given.
func (a *asked) fromFile(f *pflag.FlagSet) (*jobs.Spec, error) {
	s, err := jobs.Read(a.file)
	if err != nil {
		return nil, err
	}
	if s.Verb != a.spec.Verb {
		return nil, usagef("%s is a job for \"ppx %s\"", a.file, ppx.Quote(s.Verb))
	}
	if f.Changed("out") {
		s.Out = a.spec.Out
	}
	f.Visit(func(flag *pflag.Flag) {
		name := setting(flag.Name)
		if same, says := s.Same(a.spec, name); err == nil && !same && name != "out" && name != "network" && name != "output" {
			err = usagef("--%s contradicts %s: its %s is %v", flag.Name, a.file, name, says)
		}
	})
	switch {
	case err != nil:
		return nil, err
	case len(a.spec.Simulator.Command) > 0 && !slices.Equal(a.spec.Simulator.Command, s.Simulator.Command):
		return nil, usagef("the command after -- contradicts %s", a.file)
	case s.Sampling == nil || a.spec.Sampling == nil: // Check says what does not belong there
		if s.Training != nil && f.Changed("output") { // where a result goes may always be said
			s.Training.Output = a.spec.Training.Output
		}
		return s, nil
	}
	for name, d := range a.spec.Data {
		if o, ok := s.Data[name]; !ok || !o.Value.Same(d.Value) {
			return nil, usagef("--observe %s contradicts %s", ppx.Quote(name), a.file)
		}
	}
	if n := a.spec.Network; n != nil {
		if s.Network == nil {
			return nil, usagef("--network contradicts %s: it has none", a.file)
		}
		s.Network.File = n.File // where it is now: that it is the same is checked
	}
	return s, nil
}

// systemSeed is a random seed that any program can read back from JSON.
func systemSeed() uint64 {
	var b [8]byte
	_, _ = rand.Read(b[:]) // never fails
	return binary.LittleEndian.Uint64(b[:]) >> 11
}
