package world

import (
	"math/rand/v2"
	"time"
)

// Region is a part of the world.
type Region uint8

// Regions.
const (
	Europe Region = iota
	NorthAmerica
	Asia
	SouthAmerica
	Elsewhere // Oceania and Africa
	regions
)

// String returns a short name.
func (r Region) String() string {
	return [...]string{"europe", "north america", "asia", "south america", "elsewhere"}[r]
}

// population is the share of teams in each region, in percent.
var population = [regions]int{Europe: 36, NorthAmerica: 22, Asia: 24, SouthAmerica: 9, Elsewhere: 9}

// distance is the one-way time between regions in milliseconds, near to what public measurements between data centres
// show. Routes are no metric: a detour can be faster.
var distance = [regions][regions]int{
	Europe:       {20, 50, 85, 100, 120},
	NorthAmerica: {50, 30, 80, 70, 100},
	Asia:         {85, 80, 40, 150, 70},
	SouthAmerica: {100, 70, 150, 25, 150},
	Elsewhere:    {120, 100, 70, 150, 60},
}

// spread is by how many percent the time between two places lies above or below that of their regions, at most.
const spread = 15

// geography deals out regions by population and draws the time between each pair of places, the same in both directions.
func geography(seed uint64, n int) ([]Region, [][]time.Duration) {
	dice := rand.New(rand.NewPCG(seed, 1))
	where := make([]Region, n)
	var r Region
	sum := population[0]
	for i := range where {
		for (2*i+1)*50 >= sum*n && r < regions-1 {
			r++
			sum += population[r]
		}
		where[i] = r
	}
	dice.Shuffle(n, func(i, j int) { where[i], where[j] = where[j], where[i] })

	times := make([][]time.Duration, n)
	for i := range times {
		times[i] = make([]time.Duration, n)
	}
	for i := range times {
		for j := range i {
			base := time.Duration(distance[where[i]][where[j]]) * time.Millisecond
			d := base * time.Duration(100_000-1_000*spread+dice.IntN(2_000*spread+1)) / 100_000
			times[i][j], times[j][i] = d, d
		}
	}
	return where, times
}
