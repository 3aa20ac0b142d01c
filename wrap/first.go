package wrap

import (
	"fmt"
	"strings"
)

// File is a first file for the program, with all that was seen in comments.
func (s *Seen) File(command []string) string {
	var b strings.Builder
	imports := ""
	if len(s.Imports) > 0 {
		imports = fmt.Sprintf("\n# Imports that are made once, and not by every run.\n# imports = [\"%s\"]\n", strings.Join(s.Imports, "\", \""))
	}
	fmt.Fprintf(&b, "# How ppx runs: %s\n", strings.Join(command, " "))
	fmt.Fprintf(&b, `# Look at what it does:  ppx wrap THIS.toml -- PROGRAM ARGS
# Infer:                 ppx infer --observe NAME=VALUE -- ppx wrap THIS.toml {endpoint} -- PROGRAM ARGS

# How the program is run again (%s, unless said otherwise):
#   main: forked where main begins   draw: forked at the first draw, for programs that prepare themselves for long
#   exec: started anew               none: a Python script again in one process
# fork = "main"
%s
# The output that is the run's result.
# result = "y"

# What goes into the program. {rate} in the command line, RATE in the environment, or {rate} in a template.
# [[parameter]]
# name = "rate"
# prior = "Gamma(2, 0.5)"
# env = "RATE"                                # else it stands for {rate} in the command line
#
# [[parameter]]
# name = "speed"
# prior = "Normal(1, 0.1)"
# file = "sim.cfg"                            # made of the template, in which it stands for {speed}
# template = "sim.cfg.in"

`, s.Again, imports)
	if len(s.Draws) == 0 {
		b.WriteString("# No draws were seen.\n")
	}
	for _, n := range s.Notes {
		fmt.Fprintf(&b, "# note: %s\n", n)
	}
	for i := range s.Draws {
		d := &s.Draws[i]
		if d.Address == "[bulk]" {
			continue
		}
		fmt.Fprintf(&b, "# %d draws in %d runs, the first %s = %s\n#   %s\n", d.Count, s.Runs, d.Dist, d.Value, d.Address)
		fmt.Fprintf(&b, "# [[draw]]\n# at = %q                                 # a function (%s), FILE:LINE, MODULE+0xOFFSET, a family, or /REGEX/ of addresses\n# name = \"x%d\"                                # with a name it can be observed\n# as = \"latent\"                              # quiet: recorded, not steered; bulk: drawn at once, a latent that is not recorded\n\n",
			d.Spot, d.What, i+1)
	}
	b.WriteString(`# What comes out: from stdout, stderr, exit (the status), file:PATH. By regex (the number in parentheses; all matches are a vector), json = ".path[0]", csv = "column",
# or npy. With a likelihood it can be observed, in which value is what the program gave.
# [[output]]
# name = "y"
# from = "stdout"
# regex = 'result: (\S+)'
# likelihood = "Normal(value, 0.5)"
`)
	return b.String()
}
