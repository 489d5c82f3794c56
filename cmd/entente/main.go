// Entente is a trust network between CERTs, as one program: the node, and the commands with which people use it. Run
// "entente help" for the commands, and "entente help start" to begin.
//
// This package reads flags and configuration, wires the packages together, and prints. It decides nothing: what may be sent,
// read or believed is judged in packages trust and node.
//
// The interface follows a few rules. Results go to standard output, everything else to standard error. Prompts go to the
// terminal. Messages begin in lower case and end without a full stop; what to do next stands on a line of its own. With
// --json, results are JSON lines and nothing else.
package main

import (
	"context"
	"os"
)

func main() {
	os.Exit(realMain())
}

func realMain() int {
	p := &program{stdin: os.Stdin, stdout: os.Stdout, stderr: os.Stderr, getenv: os.Getenv}
	return p.main(context.Background(), os.Args[1:])
}
