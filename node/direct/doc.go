// Package direct pushes what is for one peer alone to that peer: sealed parcels and signed heads of pairs.
package direct
