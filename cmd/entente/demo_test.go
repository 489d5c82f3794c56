package main

import (
	"bufio"
	"bytes"
	"context"
	"io"
	"regexp"
	"strings"
	"testing"

	"github.com/entente-network/entente/protocol/content"
	"github.com/entente-network/entente/protocol/tlp"
)

// TestDemoFiles checks that the demo's documents are what the story takes them for.
func TestDemoFiles(t *testing.T) {
	want := map[string]struct {
		format content.Format
		label  tlp.Label
	}{
		"log4shell.csaf.json":   {content.CSAF20, tlp.Clear},
		"log4shell-2.csaf.json": {content.CSAF20, tlp.Clear},
		"sunburst.misp.json":    {content.MISP, tlp.Green},
		"xz.stix.json":          {content.STIX21, tlp.Clear},
		"notpetya.md":           {content.Markdown, tlp.Green},
		"moveit.intelmq.jsonl":  {content.IntelMQ, tlp.Green},
		"citrixbleed.txt":       {content.Text, tlp.Clear},
		"after.md":              {content.Markdown, tlp.Clear},
		"blocked.md":            {content.Markdown, tlp.Green},
		"lastword.txt":          {content.Text, tlp.Green},
		"recovered.txt":         {content.Text, tlp.Clear},
		"thief.txt":             {content.Text, tlp.Clear},
		"victim.txt":            {content.Text, tlp.Amber},
		"unmarked.txt":          {content.Text, tlp.Unset},
		"answer.txt":            {content.Text, tlp.Amber},
		"bystick.txt":           {content.Text, tlp.Amber},
		"late.txt":              {content.Text, tlp.Amber},
		"newkey.txt":            {content.Text, tlp.Amber},
		"strict.txt":            {content.Text, tlp.AmberStrict},
		"source.md":             {content.Markdown, tlp.Red},
		"acidrain.misp.json":    {content.MISP, tlp.Amber},
		"windfarm.txt":          {content.Text, tlp.AmberStrict},
		"modems.txt":            {content.Text, tlp.Amber},
		"gateway.txt":           {content.Text, tlp.Amber},
		"harbour.txt":           {content.Text, tlp.Amber},
	}
	files, err := demoFiles.ReadDir("demo")
	if err != nil {
		t.Fatal(err)
	}
	if len(files) != len(want) {
		t.Errorf("%d files are embedded, want %d", len(files), len(want))
	}
	for _, f := range files {
		info, err := content.Read(bytes.NewReader(demoFile(f.Name()).data), f.Name(), nil)
		if err != nil {
			t.Errorf("%s: %v", f.Name(), err)
		}
		if w := want[f.Name()]; info.Format != w.format || info.Label != w.label {
			t.Errorf("%s: got %s, %s; want %s, %s", f.Name(), info.Format, info.Label, w.format, w.label)
		}
	}
}

// TestDemoTour runs every command that the demo names when its story is over, as a person does who follows it.
func TestDemoTour(t *testing.T) {
	if testing.Short() {
		t.Skip("the story takes a while")
	}
	env := func(k string) string {
		return map[string]string{"HOME": t.TempDir(), "USER": "tester", "ENTENTE_PASSPHRASE": demoPassphrase}[k]
	}
	told, tell := io.Pipe()
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	ended := make(chan int, 1)
	go func() {
		p := &program{stdin: strings.NewReader(""), stdout: tell, stderr: io.Discard, getenv: env}
		ended <- p.main(ctx, []string{"demo", "--home", t.TempDir()})
		tell.Close()
	}()
	want := map[string]string{ // what a command has to show
		"status":       "CERT Aldoria",
		"team list":    "CERT Falken",
		"inbox":        "AMBER",
		"search":       "MOVEit",
		"agree list":   "AMBER+STRICT",
		"agree show":   "AGREEMENT ON THE EXCHANGE OF INFORMATION",
		"room list":    "KA-SAT",
		"room show":    "closed",
		"show":         "555-0143",
		"receipts":     "opened",
		"audit log":    "agreement-ceiling",
		"doctor":       "blocked",
		"team unblock": "Elmark",
	}
	word := regexp.MustCompile(`'[^']*'|\S+`)
	command := regexp.MustCompile(`^  entente --home (\S+|'[^']*') (.*)$`)
	lines := bufio.NewScanner(told)
	run := 0
	for lines.Scan() {
		l := lines.Text()
		if strings.Contains(l, "✗") {
			t.Error(l)
		}
		m := command.FindStringSubmatch(l)
		if m == nil {
			continue
		}
		if strings.HasPrefix(m[2], "watch") { // it would not end by itself
			cancel()
			continue
		}
		var args []string
		for _, a := range word.FindAllString("--home "+m[1]+" "+m[2], -1) {
			args = append(args, strings.Trim(a, "'"))
		}
		var out, errs bytes.Buffer
		p := &program{stdin: strings.NewReader(""), stdout: &out, stderr: &errs, getenv: env}
		if code := p.main(t.Context(), args); code != exitDone {
			t.Errorf("%s: exit code %d: %s", l, code, errs.String())
			continue
		}
		for name, says := range want {
			if strings.HasPrefix(m[2], name+" ") || m[2] == name {
				run++
				if !strings.Contains(out.String(), says) {
					t.Errorf("%s does not show %q:\n%s", l, says, out.String())
				}
			}
		}
	}
	if code := <-ended; code != exitDone {
		t.Errorf("the demo ended with exit code %d", code)
	}
	if run != len(want) {
		t.Errorf("%d of %d commands were named", run, len(want))
	}
}
