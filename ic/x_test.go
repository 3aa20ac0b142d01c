package ic

import "github.com/ppx-engine/ppx-engine/ic/net"

func newAdam(n *Network[float32], rate float64) *net.Adam[float32] { return net.NewAdam[float32](rate) }
