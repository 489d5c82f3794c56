// Package audit is the disclosure log of a node: a tamper-evident record of every decision about AMBER and above.
package audit
