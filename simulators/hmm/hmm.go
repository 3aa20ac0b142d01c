// Package hmm is a hidden Markov model with three states: the first state emits nothing, then 16 steps
// follow, each with a Normal emission.
package hmm

import (
	"math"
	"strconv"

	"github.com/ppx-engine/ppx-engine/adapters/gosim"
)

// Name is the model's name in all languages.
const Name = "hmm"

// States and Steps are the model's sizes.
const (
	States = 3
	Steps  = 16
)

var (
	initial    = [States]float64{1, 1, 1}
	transition = [States][States]float64{{0.1, 0.5, 0.4}, {0.2, 0.2, 0.6}, {0.15, 0.15, 0.7}}
	emission   = [States]float64{-1, 1, 0} // means, standard deviation 1
)

// Data are the observations of the example, obs1 to obs16.
var Data = [Steps]float64{0.9, 0.8, 0.7, 0, -0.025, -5, -2, -0.1, 0, 0.13, 0.45, 6, 0.2, 0.3, -1, -1}

var stateNames, obsNames [Steps + 1]string

func init() {
	for i := range stateNames {
		stateNames[i] = "state" + strconv.Itoa(i)
		obsNames[i] = "obs" + strconv.Itoa(i)
	}
}

// Model is the simulator; its result is the sequence of states, shape [17].
func Model(r *gosim.Run) gosim.Tensor {
	states := make([]float64, Steps+1)
	states[0] = r.Sample(stateNames[0], gosim.Categorical(initial[:]...))
	for t := 1; t <= Steps; t++ {
		row := &transition[int(states[t-1])]
		states[t] = r.Sample(stateNames[t], gosim.Categorical(row[:]...))
		r.Observe(obsNames[t], gosim.Normal(emission[int(states[t])], 1))
	}
	return gosim.Vector(states...)
}

// Posterior is the exact smoothed probability of every state at every step, by the forward-backward
// algorithm, and the log evidence. NaN stands for a step without data.
func Posterior(data [Steps]float64) (smoothed [Steps + 1][States]float64, logEvidence float64) {
	var forward, backward [Steps + 1][States]float64
	density := func(t, s int) float64 {
		z := data[t-1] - emission[s]
		if math.IsNaN(z) {
			return 1
		}
		return math.Exp(-z*z/2) / math.Sqrt(2*math.Pi)
	}
	for s := range States {
		forward[0][s] = 1.0 / States
		backward[Steps][s] = 1
	}
	for t := 1; t <= Steps; t++ {
		total := 0.0
		for s := range States {
			for p := range States {
				forward[t][s] += forward[t-1][p] * transition[p][s]
			}
			forward[t][s] *= density(t, s)
			total += forward[t][s]
		}
		for s := range States {
			forward[t][s] /= total
		}
		logEvidence += math.Log(total)
	}
	for t := Steps - 1; t >= 0; t-- {
		total := 0.0
		for s := range States {
			for n := range States {
				backward[t][s] += transition[s][n] * density(t+1, n) * backward[t+1][n]
			}
			total += backward[t][s]
		}
		for s := range States {
			backward[t][s] /= total
		}
	}
	for t := range smoothed {
		total := 0.0
		for s := range States {
			smoothed[t][s] = forward[t][s] * backward[t][s]
			total += smoothed[t][s]
		}
		for s := range States {
			smoothed[t][s] /= total
		}
	}
	return smoothed, logEvidence
}
