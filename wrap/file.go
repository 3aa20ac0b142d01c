package wrap

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"

	"github.com/pelletier/go-toml/v2"
	"github.com/pelletier/go-toml/v2/unstable"

	"github.com/ppx-engine/ppx-engine/ppx"
)

// File says what a program's parameters, draws and outputs are.
type File struct {
	Model     string      `toml:"model"`
	Result    string      `toml:"result"`
	Fork      string      `toml:"fork"`
	Program   string      `toml:"program"`
	Stdin     string      `toml:"stdin"`
	Folder    string      `toml:"folder"`
	Imports   []string    `toml:"imports"`
	Threads   string      `toml:"threads"`
	Parameter []Parameter `toml:"parameter"`
	Draw      []Rule      `toml:"draw"`
	Output    []Output    `toml:"output"`

	path  string
	lines map[string]int // where keys stand: draw[0].at
	prior []*family      // of the parameters
}

// Parameter is a number that the program takes from outside; it is drawn before the run.
type Parameter struct {
	Name     string `toml:"name"`
	Prior    string `toml:"prior"`
	Into     string `toml:"-"` // arg, env, file: where it goes
	Env      string `toml:"env"`
	File     string `toml:"file"`
	Template string `toml:"template"`

	text string // of the template, once it is known to fit
}

// Rule is about draws at a place of the program.
type Rule struct {
	At   string `toml:"at"`
	Name string `toml:"name"`
	As   string `toml:"as"` // latent, quiet, bulk
	Many bool   `toml:"many"`

	matches matcher
}

// Output is what the program has written.
type Output struct {
	Name       string `toml:"name"`
	From       string `toml:"from"` // stdout, stderr, exit, file:PATH
	Regex      string `toml:"regex"`
	JSON       string `toml:"json"`
	CSV        string `toml:"csv"`
	NPY        bool   `toml:"npy"`
	Count      int    `toml:"count"` // how many numbers there are to be; 0: as many as there are
	Likelihood string `toml:"likelihood"`

	regex      *regexp.Regexp
	likelihood *family
}

// FileError is what is wrong with a file, and where.
type FileError struct {
	Path string
	Line int
	What string
}

func (e *FileError) Error() string {
	if e.Line == 0 {
		return fmt.Sprintf("%s: %s", e.Path, e.What)
	}
	return fmt.Sprintf("%s:%d: %s", e.Path, e.Line, e.What)
}

// Read reads and checks a file. Errors: those of reading it, *FileError.
func Read(path string) (*File, error) {
	data, err := os.ReadFile(path)
	if err != nil {
		return nil, err
	}
	f := &File{path: path}
	d := toml.NewDecoder(strings.NewReader(string(data)))
	d.DisallowUnknownFields()
	if err := d.Decode(f); err != nil {
		return nil, tomlError(path, err)
	}
	f.lines = linesOf(data)
	return f, f.check()
}

// tomlError puts what the library says into one line.
func tomlError(path string, err error) error {
	var strict *toml.StrictMissingError
	if errors.As(err, &strict) && len(strict.Errors) > 0 {
		e := &strict.Errors[0]
		line, _ := e.Position()
		return &FileError{path, line, fmt.Sprintf("nothing here is called %s%s", ppx.Quote(strings.Join(e.Key(), ".")), nearest(e.Key()))}
	}
	var bad *toml.DecodeError
	if errors.As(err, &bad) {
		line, _ := bad.Position()
		return &FileError{path, line, strings.TrimPrefix(bad.Error(), "toml: ")}
	}
	return &FileError{path, 0, err.Error()}
}

var keysOf = map[string]string{
	"":          "model, result, fork, program, stdin, folder, imports, threads, [[parameter]], [[draw]], [[output]]",
	"parameter": "name, prior, env, file, template",
	"draw":      "at, name, as, many",
	"output":    "name, from, regex, json, csv, npy, count, likelihood",
}

// nearest says what there is where a key is unknown.
func nearest(key toml.Key) string {
	table := ""
	if len(key) > 1 {
		table = key[0]
	}
	if keys := keysOf[table]; keys != "" {
		return "; there are " + keys
	}
	return ""
}

// linesOf finds where keys stand.
func linesOf(data []byte) map[string]int {
	lines := map[string]int{}
	counts := map[string]int{}
	table := ""
	var p unstable.Parser
	p.Reset(data)
	for p.NextExpression() {
		e := p.Expression()
		var names []string
		line := 0
		for key := e.Key(); key.Next(); {
			n := key.Node()
			names = append(names, string(n.Data))
			if line == 0 {
				line = p.Shape(n.Raw).Start.Line
			}
		}
		name := strings.Join(names, ".")
		switch e.Kind {
		case unstable.ArrayTable:
			table = fmt.Sprintf("%s[%d]", name, counts[name])
			counts[name]++
			lines[table] = line
		case unstable.Table:
			table = name
			lines[table] = line
		case unstable.KeyValue:
			if table != "" {
				name = table + "." + name
			}
			lines[name] = line
		}
	}
	return lines
}

// wrong is an error at a key; of a table's missing key it is at the table.
func (f *File) wrong(key, format string, args ...any) error {
	line := f.lines[key]
	if table, _, ok := strings.Cut(key, "]."); ok && line == 0 {
		line = f.lines[table+"]"]
	}
	return &FileError{f.path, line, fmt.Sprintf(format, args...)}
}

// oneOf checks a word.
func (f *File) oneOf(key, value string, words ...string) error {
	if slices.Contains(words, value) {
		return nil
	}
	return f.wrong(key, "%s is no %s: there are %s", ppx.Quote(value), key[strings.LastIndexByte(key, '.')+1:], strings.Join(words, ", "))
}

func (f *File) check() error {
	if f.Fork != "" {
		if err := f.oneOf("fork", f.Fork, "main", "draw", "exec", "none"); err != nil {
			return err
		}
	}
	if f.Threads != "" {
		if err := f.oneOf("threads", f.Threads, "refuse", "allow"); err != nil {
			return err
		}
	}
	if f.Folder != "" {
		if err := f.oneOf("folder", f.Folder, "own", "shared"); err != nil {
			return err
		}
	}
	names := map[string]string{}
	named := func(key, name, what string) error {
		if name == "" {
			return f.wrong(key, "a%s needs a name", what)
		}
		if before := names[name]; before != "" {
			return f.wrong(key, "%s is the name of another %s", ppx.Quote(name), before)
		}
		names[name] = strings.TrimSpace(strings.TrimPrefix(what, "n "))
		return nil
	}
	for i := range f.Parameter {
		if err := f.checkParameter(&f.Parameter[i], fmt.Sprintf("parameter[%d].", i), named); err != nil {
			return err
		}
	}
	for i := range f.Output {
		if err := f.checkOutput(&f.Output[i], fmt.Sprintf("output[%d].", i), named); err != nil {
			return err
		}
	}
	for i := range f.Draw {
		if err := f.checkRule(&f.Draw[i], fmt.Sprintf("draw[%d].", i), names); err != nil {
			return err
		}
	}
	if f.Result != "" && names[f.Result] == "" {
		return f.wrong("result", "%s is none of the outputs and parameters", ppx.Quote(f.Result))
	}
	return nil
}

var identifier = regexp.MustCompile(`^[A-Za-z_][A-Za-z0-9_]*$`)

func (f *File) checkParameter(p *Parameter, key string, named func(key, name, what string) error) error {
	if err := named(key+"name", p.Name, " parameter"); err != nil {
		return err
	}
	if !identifier.MatchString(p.Name) {
		return f.wrong(key+"name", "%s: a parameter's name is of letters, digits and _, so that {%s} can stand for it", ppx.Quote(p.Name), "name")
	}
	prior, err := parseFamily(p.Prior, f.before(p))
	if err != nil {
		return f.wrong(key+"prior", "prior of %s: %v", p.Name, err)
	}
	f.prior = append(f.prior, prior)
	switch {
	case p.Env != "" && p.File+p.Template != "":
		return f.wrong(key+"env", "parameter %s goes into the environment or into a file: env, or file and template", p.Name)
	case p.Env != "":
		p.Into = "env"
	case p.File+p.Template != "":
		p.Into = "file"
	default:
		p.Into = "arg"
	}
	if p.Into == "file" && (p.File == "" || p.Template == "") {
		return f.wrong(key+"file", "parameter %s goes into a file: file = \"…\" is what the program reads, template = \"…\" what it is made of", p.Name)
	}
	if outside(p.File) {
		return f.wrong(key+"file", "%s is outside of the folder, of which each copy of the program has one: give its whole path if all are to read it", ppx.Quote(p.File))
	}
	if f.Fork == "draw" {
		return f.wrong("fork", "fork = \"draw\" goes on from the first draw, when the program has read its command line, environment and files: parameters need fork = \"main\" or \"exec\"")
	}
	return nil
}

// outside tells whether a relative path leaves the folder.
func outside(path string) bool { return strings.HasPrefix(filepath.Clean(path)+"/", "../") }

// before are the names of the parameters before p, which its prior may use; of all where p is nil.
func (f *File) before(p *Parameter) (names []string) {
	for i := range f.Parameter {
		if &f.Parameter[i] == p {
			return names
		}
		names = append(names, f.Parameter[i].Name)
	}
	return names
}

func (f *File) checkOutput(o *Output, key string, named func(key, name, what string) error) (err error) {
	if err := named(key+"name", o.Name, "n output"); err != nil {
		return err
	}
	if o.From == "" {
		o.From = "stdout"
	}
	if path, ok := strings.CutPrefix(o.From, "file:"); ok {
		if path == "" {
			return f.wrong(key+"from", "output %s: from = \"file:PATH\"", o.Name)
		}
		if outside(path) {
			return f.wrong(key+"from", "output %s: %s is outside of the folder, of which each copy of the program has one: give its whole path if all are to write it", o.Name, ppx.Quote(path))
		}
	} else if err := f.oneOf(key+"from", o.From, "stdout", "stderr", "exit", "file:PATH"); err != nil {
		return err
	}
	ways := 0
	for _, set := range []bool{o.Regex != "", o.JSON != "", o.CSV != "", o.NPY} {
		if set {
			ways++
		}
	}
	switch {
	case o.From == "exit" && ways > 0:
		return f.wrong(key+"from", "output %s: the exit status is a number, there is nothing to look for", o.Name)
	case o.From != "exit" && ways != 1:
		return f.wrong(key+"name", "output %s: one of regex, json, csv and npy says where in %s it is", o.Name, o.From)
	}
	if o.Regex != "" {
		if o.regex, err = regexp.Compile("(?m)" + o.Regex); err != nil {
			return f.wrong(key+"regex", "output %s: %v", o.Name, strings.TrimPrefix(err.Error(), "error parsing regexp: "))
		}
		if o.regex.NumSubexp() > 1 {
			return f.wrong(key+"regex", "output %s: one pair of parentheses is around the number, (?:…) around what is not", o.Name)
		}
	}
	if o.Count < 0 {
		return f.wrong(key+"count", "output %s: count is how many numbers there are to be", o.Name)
	}
	if o.Likelihood != "" {
		if o.likelihood, err = parseFamily(o.Likelihood, append([]string{"value"}, f.before(nil)...)); err != nil {
			return f.wrong(key+"likelihood", "likelihood of %s: %v", o.Name, err)
		}
	}
	return nil
}

func (f *File) checkRule(r *Rule, key string, names map[string]string) (err error) {
	if r.At == "" {
		return f.wrong(key+"at", "a rule needs at = \"FILE:LINE\", \"FUNCTION\", \"MODULE+0xOFFSET\", \"FAMILY\" or \"/REGEX/\"")
	}
	if r.matches, err = parseAt(r.At); err != nil {
		return f.wrong(key+"at", "%v", err)
	}
	if r.As == "" {
		r.As = "latent"
	}
	if err := f.oneOf(key+"as", r.As, "latent", "quiet", "bulk"); err != nil {
		return err
	}
	if r.Name != "" {
		if r.As == "bulk" {
			return f.wrong(key+"name", "draws that are bulk are not recorded: they have no name")
		}
		if before := names[r.Name]; before != "" {
			return f.wrong(key+"name", "%s is the name of a %s", ppx.Quote(r.Name), strings.TrimSpace(before))
		}
	}
	return nil
}

// line is where rule i stands.
func (f *File) line(i int) int { return f.lines[fmt.Sprintf("draw[%d]", i)] }

// model is the name of the model: the file's, else the program's, of an interpreter the script's.
func (f *File) model(command []string, s stack) string {
	if f.Model != "" {
		return f.Model
	}
	if k := 1 + interpreterOptions(command[1:]); s == python && k < len(command) && command[k] != "-c" {
		if command[k] == "-m" && k+1 < len(command) {
			return command[k+1]
		}
		return strings.TrimSuffix(filepath.Base(command[k]), ".py")
	}
	return filepath.Base(command[0])
}

// number is how a parameter's value is written for the program.
func number(v float64) string {
	if v == float64(int64(v)) && v > -1e15 && v < 1e15 {
		return strconv.FormatInt(int64(v), 10)
	}
	return strconv.FormatFloat(v, 'g', -1, 64)
}

// fill puts values in the place of {names}; names that are none are kept.
func fill(text string, values map[string]string) string {
	return placeholder.ReplaceAllStringFunc(text, func(m string) string {
		if v, ok := values[m[1:len(m)-1]]; ok {
			return v
		}
		return m
	})
}

var placeholder = regexp.MustCompile(`\{[A-Za-z_][A-Za-z0-9_]*\}`)
