package main

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/ppx-engine/ppx-engine/ppx"
	"github.com/ppx-engine/ppx-engine/view"
	"github.com/ppx-engine/ppx-engine/wrap"
)

func newWrap() *cobra.Command {
	var asJSON, cxxflags, goflags, preload bool
	var first string
	var runs int
	var seed uint64
	limit := time.Minute
	c := &cobra.Command{
		Use:   "wrap [flags] FILE.toml [{endpoint}] -- PROGRAM [ARGS]",
		Short: "Make a simulator of a program that nobody edits",
		Long: `Run a program with hooks in place of its random number functions (GSL, libc, libgfortran, numpy, Python's random, Go's math/rand), and answer an engine
with its draws. FILE.toml says what goes into the program, which draws have names, and what comes out.

Without an endpoint it is a dry run: the draws and outputs that were seen are printed, and nothing is written.`,
		Example: `  ppx wrap --init sim.toml -- gsl-randist 0 5 poisson 3
  ppx wrap sim.toml -- gsl-randist 0 5 poisson {rate}
  ppx infer --observe y@1=3 --observe y@2=7 -- ppx wrap sim.toml {endpoint} -- gsl-randist 0 5 poisson {rate}
  CXXFLAGS="$(ppx wrap --cxxflags)" make
  eval "$(ppx wrap --goflags)"; go build`,
		RunE: func(c *cobra.Command, args []string) error {
			switch {
			case cxxflags:
				flags, err := wrap.CXXFlags()
				if err == nil {
					_, err = fmt.Fprintln(c.OutOrStdout(), flags)
				}
				return err
			case goflags:
				flags, err := wrap.GoFlags(c.Context())
				if err == nil {
					_, err = fmt.Fprintln(c.OutOrStdout(), flags)
				}
				return err
			case preload:
				path, err := wrap.Preload()
				if err == nil {
					_, err = fmt.Fprintln(c.OutOrStdout(), path)
				}
				return err
			}
			own, command := splitDash(c, args)
			if len(command) == 0 {
				return usagef("which program? It goes after --: ppx wrap FILE.toml -- PROGRAM ARGS")
			}
			f := &wrap.File{}
			endpoint := os.Getenv("PPX_ENDPOINT")
			switch {
			case first != "":
				if len(own) > 0 {
					return usagef("unexpected argument %s: --init %s writes the file", ppx.Quote(own[0]), first)
				}
				if _, err := os.Lstat(first); err == nil {
					return usagef("%s is there already: remove it, or give another name", first)
				}
				endpoint = ""
			case len(own) == 0 || len(own) > 2:
				return usagef("wrap wants a file, and an endpoint to serve, before --: got %d arguments (see ppx wrap --help)", len(own))
			default:
				if len(own) == 2 {
					if endpoint = own[1]; !strings.Contains(endpoint, "://") {
						return usagef("%s is no endpoint, such as tcp://127.0.0.1:5555 or ipc:///tmp/sim; under ppx infer write {endpoint}", ppx.Quote(endpoint))
					}
				}
				var err error
				if f, err = wrap.Read(own[0]); err != nil {
					return wrapError(err)
				}
			}
			w, err := wrap.Open(c.Context(), f, command)
			if err != nil {
				return wrapError(err)
			}
			if endpoint != "" {
				err := w.Serve(endpoint, "ppx wrap "+versionString()+" ("+w.Stack()+")")
				return errors.Join(err, w.Close())
			}
			seen := w.Look(runs, seed, limit)
			if err := w.Close(); err != nil {
				return err
			}
			if first != "" {
				if seen.Failed != "" {
					return fmt.Errorf("the program did not run, and %s was not written: %s", first, seen.Failed)
				}
				if err := os.WriteFile(first, []byte(seen.File(command)), 0o644); err != nil {
					return err
				}
			}
			if asJSON {
				err = view.JSON(c.OutOrStdout(), view.NewWrap(seen))
			} else {
				view.NewWrap(seen).Text(c.OutOrStdout())
				if first != "" {
					fmt.Fprintf(c.OutOrStdout(), "\nwrote %s\n", first)
				}
			}
			if err == nil && (seen.Failed != "" || len(seen.Problems) > 0) {
				return errShown
			}
			return err
		},
	}
	f := c.Flags()
	f.SortFlags = false
	f.StringVar(&first, "init", "", "write a first FILE from a dry run, with all that was seen in comments")
	f.IntVar(&runs, "runs", 2, "runs of a dry run")
	f.Uint64Var(&seed, "seed", 1, "random seed of a dry run")
	f.DurationVar(&limit, "timeout", limit, "longest time for a run of a dry run; 0: none")
	f.BoolVar(&asJSON, "json", false, "print one JSON object")
	f.BoolVar(&cxxflags, "cxxflags", false, "print what C++ is to be compiled with, for <random>")
	f.BoolVar(&goflags, "goflags", false, "print what the shell is to evaluate before go build, for math/rand")
	f.BoolVar(&preload, "preload", false, "print the path of the library that is preloaded, built if need be")
	return c
}

// wrapError makes wrong use of what is wrong with the file, or not there.
func wrapError(err error) error {
	var bad *wrap.FileError
	if errors.As(err, &bad) || errors.Is(err, fs.ErrNotExist) {
		return usageError{err}
	}
	return err
}
