package main

import (
	"bytes"
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
