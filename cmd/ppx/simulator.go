package main

import (
	"errors"
	"fmt"
	"os"
	"strconv"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"

	"github.com/ppx-engine/ppx-engine/engine"
	"github.com/ppx-engine/ppx-engine/jobs"
	"github.com/ppx-engine/ppx-engine/ppx"
)

// simulator is the flags that say which simulator to run and how.
type simulator struct {
	s       jobs.Simulator
	workers string
}

func (s *simulator) register(f *pflag.FlagSet, many bool) {
	s.s = jobs.New(jobs.Prior).Simulator
	f.StringArrayVar(&s.s.Connect, "connect", nil, "connect to a simulator that runs already, at tcp://HOST:PORT or ipc://PATH (repeatable)")
	duration(f, &s.s.StartTimeout, "start-timeout", "longest time from start to handshake")
	duration(f, &s.s.Timeout, "timeout", "longest silence between two messages of a run; 0: none")
	f.BoolVar(&s.s.Plain, "plain", false, "speak plain PPX 1.0, one message for each statement: slower, with the same results (to rounding, where the clients draw)")
	if !many {
		return
	}
	f.StringVar(&s.workers, "workers", "auto", "copies to launch; auto adds copies as long as that helps")
	f.Float64Var(&s.s.MaxFailed, "max-failed", s.s.MaxFailed, "end when more than ten draws, and clearly more than this share, fail for good; 1: never")
	duration(f, &s.s.RunTimeout, "run-timeout", "longest time for one run; 0: none")
	f.IntVar(&s.s.RestartEvery, "restart-every", 0, "restart a copy after so many runs; 0: never")
	f.BoolVar(&s.s.CwdPerWorker, "cwd-per-worker", false, "give each copy a working folder of its own, below OUT.workers")
}

// fill completes a simulator with the command after "--".
func (s *simulator) fill(to *jobs.Simulator, command []string) error {
	if s.workers != "" && s.workers != "auto" {
		n, err := strconv.Atoi(s.workers)
		if s.s.Workers = n; err != nil || n < 1 || n > 4096 {
			return usagef("--workers %s: want auto or a number from 1 to 4096", ppx.Quote(s.workers))
		}
	}
	*to = s.s
	to.Command = append([]string{}, command...)
	to.Connect = append([]string{}, s.s.Connect...)
	return nil
}

// options are the engine's, for verbs that run a simulator themselves.
func (s *simulator) options(command []string, log func(string)) (o engine.Options, err error) {
	var sim jobs.Simulator
	if err := errors.Join(s.fill(&sim, command), sim.Check()); err != nil {
		return o, err
	}
	o = sim.Options()
	o.System, o.Log = "ppx-engine "+versionString(), log
	return o, nil
}

// of are the options for the simulator of a run: another one if it is given, else the one that has made it.
func (s *simulator) of(run string, command []string, log func(string)) (o engine.Options, err error) {
	if len(command) == 0 && len(s.s.Connect) == 0 {
		sim, err := jobs.SimulatorOf(run)
		if err != nil {
			return o, err
		}
		command, s.s.Connect = sim.Command, sim.Connect
	}
	return s.options(command, log)
}

// splitDash separates a verb's own arguments from the simulator's command after "--".
func splitDash(c *cobra.Command, args []string) (own, command []string) {
	if at := c.ArgsLenAtDash(); at >= 0 {
		return args[:at], args[at:]
	}
	return args, nil
}

// commandOnly is for verbs whose only arguments are the simulator's command.
func commandOnly(c *cobra.Command, args []string) error {
	own, _ := splitDash(c, args)
	if len(own) > 0 {
		return usagef("unexpected argument %s: the simulator's command goes after --", ppx.Quote(own[0]))
	}
	return nil
}

// warning prints one with a result.
func warning(text string) { remark("warning: " + text) }

// remark prints a warning while a job runs.
func remark(text string) { fmt.Fprintln(os.Stderr, "ppx: "+text) }
