// Command ppx draws traces from a simulator, turns observations into posteriors, and inspects what was
// recorded. One file per verb; everything that is decided is decided in the packages below.
package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/signal"
	"runtime/debug"
	"strings"
	"syscall"
	"time"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"

	"github.com/ppx-engine/ppx-engine/engine"
	"github.com/ppx-engine/ppx-engine/jobs"
	"github.com/ppx-engine/ppx-engine/judge"
	"github.com/ppx-engine/ppx-engine/ppx"
	"github.com/ppx-engine/ppx-engine/tracing/rundir"
	"github.com/ppx-engine/ppx-engine/view"
)

// version is that of the module when built from one, and can be set by the linker.
var version = ""

func versionString() string {
	if version != "" {
		return version
	}
	if info, ok := debug.ReadBuildInfo(); ok && info.Main.Version != "" && info.Main.Version != "(devel)" {
		return strings.TrimPrefix(info.Main.Version, "v")
	}
	return "devel"
}

// usageError is wrong use: exit code 2.
type usageError struct{ err error }

func (e usageError) Error() string { return e.err.Error() }
func (e usageError) Unwrap() error { return e.err }

func usagef(format string, args ...any) error { return usageError{fmt.Errorf(format, args...)} }

var errInterrupted = jobs.ErrInterrupted

func main() { os.Exit(run()) }

func run() int {
	ctx, cancel := context.WithCancelCause(context.Background())
	defer cancel(nil)
	signals := make(chan os.Signal, 2)
	signal.Notify(signals, os.Interrupt, syscall.SIGTERM)
	if !signal.Ignored(syscall.SIGHUP) { // as under nohup
		signal.Notify(signals, syscall.SIGHUP) // the terminal is gone
	}
	go func() {
		<-signals
		cancel(errInterrupted)
		first := time.Now()
		for range signals { // what tells a whole group tells us twice
			if time.Since(first) > time.Second {
				break
			}
		}
		os.Exit(130) // launched simulators die with their parent
	}()
	err := newRoot().ExecuteContext(ctx)
	if err == nil {
		return 0
	}
	if !errors.Is(err, errShown) {
		fmt.Fprintln(os.Stderr, "ppx: "+err.Error())
	}
	return exitCode(err)
}

// errShown marks a failure that was reported already.
var errShown = errors.New("failed")

func exitCode(err error) int {
	var usage usageError
	var misuse jobs.Misuse
	switch {
	case errors.Is(err, jobs.ErrTime):
		return 1
	case errors.Is(err, errInterrupted):
		return 130
	case strings.HasPrefix(err.Error(), "unknown command"): // cobra's own
		return 2
	case errors.As(err, &usage), errors.As(err, &misuse), errors.Is(err, judge.ErrUse), errors.Is(err, engine.ErrUsage), errors.Is(err, rundir.ErrExists),
		errors.Is(err, rundir.ErrNotARun), errors.Is(err, rundir.ErrDamaged), errors.Is(err, rundir.ErrFormat):
		return 2
	}
	return 1
}

func newRoot() *cobra.Command {
	root := &cobra.Command{
		Use:   "ppx",
		Short: "Inference for the simulator that you already have",
		Long: `ppx runs a simulator that asks for its random numbers over PPX, records every draw as a trace, and
turns observations into a posterior over everything that happened inside.

A simulator is launched as many times as helps (everything after "--", with {endpoint} where its endpoint
goes), or connected where it runs already (--connect).`,
		Example: `  ppx check -- ./simulator {endpoint}
  ppx infer --observe obs0=8 --observe obs1=9 -n 20000 -- ./simulator {endpoint}
  ppx summary ppx-runs/20260102T150405Z-infer
  ppx trace show ppx-runs/20260102T150405Z-infer 0`,
		SilenceErrors: true,
		SilenceUsage:  true,
	}
	root.SetFlagErrorFunc(func(c *cobra.Command, err error) error {
		var bad *pflag.InvalidValueError
		if errors.As(err, &bad) {
			name := "--" + bad.GetFlag().Name
			if short := bad.GetFlag().Shorthand; short != "" {
				name = "-" + short
			}
			return usagef("%s %s: want %s (see %s --help)", name, ppx.Quote(bad.GetValue()), wanted(bad.GetFlag()), c.CommandPath())
		}
		return usagef("%w (see %s --help)", err, c.CommandPath())
	})
	root.Version = versionString()
	root.SetVersionTemplate(versionLine())
	root.AddCommand(newPrior(), newInfer(), newTrain(), newSummary(), newDiagnose(), newCompare(), newCalibrate(), newPredict(), newReport(), newOpen(), newPlot(), newTrace(), newDerive(), newJoin(), newMerge(), newCheck(), newWrap(), newVersion())
	root.InitDefaultHelpCmd()
	root.InitDefaultCompletionCmd()
	for _, c := range root.Commands() {
		if c.Name() == "help" { // which only prints that it knows no such verb
			c.RunE = func(c *cobra.Command, args []string) error {
				about, rest, err := c.Root().Find(args)
				if err != nil || len(rest) > 0 {
					return usagef("ppx has no verb %s (see ppx --help)", ppx.Quote(strings.Join(args, " ")))
				}
				return about.Help()
			}
			c.Run = nil
		}
		if c.Name() == "completion" { // which prints its help for a shell that it does not know
			c.Args = func(c *cobra.Command, args []string) error {
				if len(args) > 0 {
					return usagef("completion knows no shell %s; it knows bash, fish, powershell and zsh", ppx.Quote(args[0]))
				}
				return nil
			}
			c.RunE = func(c *cobra.Command, _ []string) error { return c.Help() }
		}
	}
	return root
}

// wanted says in words what a flag takes.
func wanted(f *pflag.Flag) string {
	switch f.Value.Type() {
	case "uint64", "uint":
		return "a whole number, 0 or more"
	case "int":
		return "a whole number"
	case "float64":
		return "a number"
	case "duration":
		return "a time, such as 90s, 5m or 2h"
	case "bool":
		return "true or false"
	}
	return "a " + f.Value.Type()
}

// completes offers the values of a flag to shells.
func completes(c *cobra.Command, flag string, values ...string) {
	// The error is that of a flag that does not exist.
	if err := c.RegisterFlagCompletionFunc(flag, cobra.FixedCompletions(values, cobra.ShellCompDirectiveNoFileComp)); err != nil {
		panic(err)
	}
}

func versionLine() string {
	return fmt.Sprintf("ppx %s (PPX 1.0, run format %d)\n", versionString(), rundir.Format)
}

func newVersion() *cobra.Command {
	var asJSON bool
	c := &cobra.Command{
		Use:   "version",
		Short: "Print the version",
		Args:  noArgs,
		RunE: func(c *cobra.Command, _ []string) error {
			if asJSON {
				return view.JSON(c.OutOrStdout(), map[string]any{"schema": view.Schema, "version": versionString(), "protocol": "PPX 1.0", "run_format": rundir.Format})
			}
			_, err := fmt.Fprint(c.OutOrStdout(), versionLine())
			return err
		},
	}
	c.Flags().BoolVar(&asJSON, "json", false, "print one JSON object")
	return c
}

func noArgs(c *cobra.Command, args []string) error {
	if len(args) > 0 {
		return usagef("%s takes no arguments, got %q", c.CommandPath(), args[0])
	}
	return nil
}

func exactArgs(n int, what string) cobra.PositionalArgs {
	return func(c *cobra.Command, args []string) error {
		if len(args) != n {
			return usagef("%s wants %s, got %d arguments (see %s --help)", c.CommandPath(), what, len(args), c.CommandPath())
		}
		return nil
	}
}
