package ic

import "github.com/ppx-engine/ppx-engine/nn"

func newAdam(n *Network[float32], rate float64) *nn.Adam[float32] { return nn.NewAdam[float32](rate) }
