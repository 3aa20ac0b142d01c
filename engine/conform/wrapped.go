package conform

import (
	"errors"
	"fmt"
	"strings"

	"github.com/ppx-engine/ppx-engine/ppx"
)

// wrapped judges a program that nobody edits by what its hooks have seen, and says where a client is slow for lack of a compiler.
func (c *checker) wrapped(raw []ppx.Statement) {
	if strings.Contains(c.sess.System, "no compiled samplers") {
		c.rule("draws tensors by compiled samplers", nil, "they are not there: tensors of Gammas, Betas, Poissons and Binomials take some microseconds an element; install a C++ compiler, and ppxsim again")
	}
	if !strings.HasPrefix(c.sess.System, "ppx wrap ") {
		return
	}
	counts := map[*ppx.Notice]float64{}
	draws := 0
	for i := range raw {
		if n, ok := ppx.NoticeOf(raw[i].Address); ok && len(raw[i].Value.Data) == 1 {
			counts[n] = raw[i].Value.Data[0]
		}
		if raw[i].Op == ppx.Sample && raw[i].Address != raw[i].Name {
			draws++
		}
	}
	detail := fmt.Sprintf("%d draws", draws)
	if draws == 0 {
		detail = "no draw was seen: its randomness, if any, is nobody's"
	}
	c.rule("draws by functions that are hooked", nil, "%s", detail)
	for i := range ppx.Notices {
		n := &ppx.Notices[i]
		var err error
		detail := "none was seen"
		if k := counts[n]; k > 0 {
			detail = fmt.Sprintf("the program %s (%g): %s", n.Text, k, n.Means)
			if !n.Mild {
				err = errors.New(detail)
			}
		}
		c.rule(n.Rule, err, "%s", detail)
	}
}
