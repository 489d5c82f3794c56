//go:build race

package world

// RaceEnabled says whether the race detector is on, under which simulations want to be smaller.
const RaceEnabled = true
