package main

import (
	"fmt"
	"os"
	"strconv"
	"time"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"

	"github.com/ppx-engine/ppx-engine/engine"
	"github.com/ppx-engine/ppx-engine/ppx"
)

// simulator is the flags that say which simulator to run and how.
type simulator struct {
	o       engine.Options
	workers string
}

func (s *simulator) register(f *pflag.FlagSet, many bool) {
	f.StringArrayVar(&s.o.Connect, "connect", nil, "connect to a simulator that runs already, at tcp://HOST:PORT or ipc://PATH (repeatable)")
	f.DurationVar(&s.o.StartTimeout, "start-timeout", 30*time.Second, "longest time from start to handshake")
	f.DurationVar(&s.o.Timeout, "timeout", 60*time.Second, "longest silence between two messages of a run; 0: none")
	f.BoolVar(&s.o.Plain, "plain", false, "speak plain PPX 1.0, one message for each statement: slower, with the same results (to rounding, where the clients draw)")
	if !many {
		return
	}
	f.StringVar(&s.workers, "workers", "auto", "copies to launch; auto adds copies as long as that helps")
	f.Float64Var(&s.o.MaxFailed, "max-failed", engine.MaxFailed, "end when more than ten draws, and clearly more than this share, fail for good; 1: never")
	f.DurationVar(&s.o.RunTimeout, "run-timeout", 0, "longest time for one run; 0: none")
	f.IntVar(&s.o.RestartEvery, "restart-every", 0, "restart a copy after so many runs; 0: never")
	f.BoolVar(&s.o.CwdPerWorker, "cwd-per-worker", false, "give each copy a working folder of its own, below OUT.workers")
}

// options completes the engine's options with the command after "--".
func (s *simulator) options(c *cobra.Command, command []string, log func(string)) (engine.Options, error) {
	o := s.o
	o.Command = command
	o.System = "ppx-engine " + versionString()
	o.Log = log
	switch {
	case len(command) > 0 && len(o.Connect) > 0:
		return o, usagef("give either --connect or a command after --, not both")
	case len(command) == 0 && len(o.Connect) == 0:
		return o, usagef("which simulator? Give a command after -- (with {endpoint} in it), or --connect ENDPOINT")
	case o.Timeout < 0 || o.RunTimeout < 0 || o.StartTimeout <= 0:
		return o, usagef("timeouts must not be negative")
	case c.Flags().Changed("max-failed") && !(o.MaxFailed > 0 && o.MaxFailed <= 1):
		return o, usagef("--max-failed %g: want a share above 0, at most 1", o.MaxFailed)
	case o.RestartEvery < 0:
		return o, usagef("--restart-every %d must not be negative", o.RestartEvery)
	}
	if s.workers != "" && s.workers != "auto" {
		n, err := strconv.Atoi(s.workers)
		if o.Workers = n; err != nil || n < 1 || n > 4096 {
			return o, usagef("--workers %s: want auto or a number from 1 to 4096", ppx.Quote(s.workers))
		}
	}
	return o, nil
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

// remark prints a warning while a job runs.
func remark(text string) { fmt.Fprintln(os.Stderr, "ppx: "+text) }
