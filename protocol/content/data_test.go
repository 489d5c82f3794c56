package content

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/entente-network/entente/protocol/tlp"
)

// dataFiles finds real documents, which are not part of the repository.
func dataFiles(t *testing.T, pattern string) []string {
	t.Helper()
	files, err := filepath.Glob(filepath.Join("../../../shared/data", pattern))
	if err != nil {
		t.Fatal(err)
	}
	if len(files) == 0 {
		t.Skipf("real data is not here: %s", pattern)
	}
	return files
}

// readFile reads a real document, and searches its terms for those of query.
func readFile(t *testing.T, path, query string) (Info, error) {
	t.Helper()
	f, err := os.Open(path)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	wanted := make(map[Term]bool)
	for _, x := range Terms(query) {
		wanted[x] = true
	}
	info, err := Read(f, path, func(x Term) {
		checkTerm(t, x)
		delete(wanted, x)
	})
	for x := range wanted {
		t.Errorf("%s: %s %q is not found", filepath.Base(path), x.Kind, x.Value)
	}
	return info, err
}

func TestRealDocuments(t *testing.T) {
	for _, c := range []struct {
		path   string
		format Format
		label  tlp.Label
		title  string
		query  string
	}{
		{"misp-feed-certfr/62167543-c4e0-4f39-a23e-c09f0abe1822.json", MISP, tlp.Clear, "[NCSC-UK] Cyclops blink", "blink cyclops"},
		{"misp-feed-certfr/5fda21d6-81cc-47b3-9117-c19a0aba047c.json", MISP, tlp.Clear, "[CERT-FR] Liste d'IP distibuant des dll Egregor", "egregor dll"},
		{"misp-events-circl/circl-osint-sednit-5a3c2fcd.json", MISP, tlp.Clear, "OSINT - Sednit update: How Fancy Bear Spent the Year", "sednit fancy"},
		{"misp-events-circl/57c4445b-c548-4654-af0b-4be3950d210f.json", MISP, tlp.Clear, "Ransomware - Xorist", "xorist"},
		{"misp-events-circl/fsecure-regin-54884656.json", MISP, tlp.Unset, "OSINT - F-Secure W32/Regin, Stage #1", "regin"},
		{"misp-events-circl/sharing_groups.json", JSON, tlp.Unset, "sharing_groups.json", ""},
		{"misp-events-eset/cloudmensis.misp.json", MISP, tlp.Unset, "CloudMensis", ""},
		{"misp-events-eset/kessel.json", MISP, tlp.Unset, "SSHDoor : Kessel", "kessel"},
		{"misp-feed-certfr/manifest.json", JSON, tlp.Unset, "manifest.json", ""},
		{"csaf-oasis/csaf_2.1/examples/csaf/bsi-2022-0001.json", CSAF21, tlp.Clear, "CVRF-CSAF-Converter: XML External Entities Vulnerability", "CVE-2022-27193"},
		{"attack-stix21/ics-attack.json", STIX21, tlp.Unset, "ICS ATT&CK", "stuxnet triton"},
		{"stix21-oasis/tlp2-iep2-incident-markings.json", STIX21, tlp.AmberStrict, "x", ""},
		{"stix21-oasis/examples/example_json/using-granular-markings.json", STIX21, tlp.Red, "Fake email address", "gotham"},
		{"stix21-oasis/examples/example_json/using-marking-definitions.json", STIX21, tlp.Amber, "Known malicious IP Address", ""},
		{"stix21-oasis/examples/interop-objectmarking-test.json", STIX21, tlp.Red, "Spear Phishing", ""},
		{"stix21-oasis/examples/example_json/apt1.json", STIX21, tlp.Unset, "", "hugesoft.org"},
		{"stix21-oasis/examples/example_json/malware-indicator-for-file-hash.json", STIX21, tlp.Unset, "", "ef537f25c895bfa782526529a9b63d97aa631564d5d789c2b765448c8635fb6c"},
		{"shadowserver/golden/blocklist.jsonl", IntelMQ, tlp.Unset, "", "198.123.245.134"},
		{"shadowserver/golden/special.jsonl", IntelMQ, tlp.Unset, "3 events: vulnerable-system", "192.168.0.3 node03.example.com cyclops-blink"},
		{"intelmq/misp_event.json", MISP, tlp.Unset, "", "http://fake.example.com/malware/is/here locky"},
		{"rsit/humanv1.md", Markdown, tlp.Unset, "", "phishing"},
		{"taxonomies/tlp.json", JSON, tlp.Unset, "", "chatham"},
	} {
		path := dataFiles(t, c.path)[0]
		info, err := readFile(t, path, c.query)
		if err != nil || info.Format != c.format || info.Label != c.label || c.title != "" && info.Title != c.title {
			t.Errorf("%s: got %+v, %v; want %s, %s, %q", c.path, info, err, c.format, c.label, c.title)
		}
	}
}

func TestRealSets(t *testing.T) {
	for _, c := range []struct {
		pattern string
		format  Format
		label   tlp.Label
	}{
		{"misp-feed-certfr/*-*.json", MISP, tlp.Clear},
		{"misp-events-eset/*.json", MISP, tlp.Unset},
		{"csaf-cisa/*/white/2024/*.json", CSAF20, tlp.Clear},
		{"shadowserver/golden/*.jsonl", IntelMQ, tlp.Unset},
		{"stix21-oasis/examples/threat-reports/*.json", STIX21, tlp.Unset},
	} {
		for _, path := range dataFiles(t, c.pattern) {
			info, err := readFile(t, path, "")
			if err != nil || info.Format != c.format || info.Label != c.label || info.Title == "" {
				t.Errorf("%s: got %+v, %v; want %s, %s", path, info, err, c.format, c.label)
			}
		}
	}
}

// TestConformanceSuite reads the CSAF documents of the OASIS test suite, most of them wrong on purpose. Whatever is wrong
// with one, its label is the one it states, or the document is refused.
func TestConformanceSuite(t *testing.T) {
	counts := make(map[Format]int)
	for _, path := range dataFiles(t, "csaf-oasis/csaf_*/test/validator/data/*/*.json") {
		raw, err := os.ReadFile(path)
		if err != nil {
			t.Fatal(err)
		}
		info, err := readFile(t, path, "")
		forbidden := strings.Contains(string(raw), `"00000000-0000-0000-0000-000000000000"`) ||
			strings.Contains(string(raw), `"No sharing allowed"`)
		if (err != nil) != forbidden {
			t.Errorf("%s: got %v; sharing forbidden: %v", path, err, forbidden)
		}
		counts[info.Format]++
		for _, l := range []string{"GREEN", "AMBER", "AMBER+STRICT", "RED"} {
			want, _ := tlp.Parse(l)
			if err == nil && strings.Contains(string(raw), `"label": "`+l+`"`) != (info.Label == want) {
				t.Errorf("%s: got %s", path, info.Label)
			}
		}
	}
	if counts[CSAF20] < 100 || counts[CSAF21] < 500 {
		t.Errorf("read %v", counts)
	}
}
