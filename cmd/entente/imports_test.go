package main

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"go/ast"
	"go/parser"
	"go/token"
	"io"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
)

const module = "github.com/entente-network/entente"

// repo is the root of the repository, from this directory.
var repo = filepath.Join("..", "..")

// A rule is a row of the table of import rules.
type rule struct {
	packages string   // a package, a tree (protocol/...), or "all but" several of these
	banned   []string // import paths; those of this module without its name
	why      string
}

// importRules reads the table under "## Import rules" in ARCHITECTURE.md, so that the document cannot lie.
func importRules(t *testing.T) []rule {
	t.Helper()
	b, err := os.ReadFile(filepath.Join(repo, "ARCHITECTURE.md"))
	if err != nil {
		t.Fatal(err)
	}
	_, section, ok := strings.Cut(string(b), "\n## Import rules\n")
	if !ok {
		t.Fatal(`ARCHITECTURE.md has no section "## Import rules"`)
	}
	section, _, _ = strings.Cut(section, "\n## ")
	code := regexp.MustCompile("`([^`]+)`")
	var rules []rule
	for l := range strings.Lines(section) {
		cells := strings.Split(strings.Trim(strings.TrimSpace(l), "|"), "|")
		if !strings.HasPrefix(l, "|") || len(cells) != 3 || strings.HasPrefix(cells[0], "---") || strings.TrimSpace(cells[0]) == "package" {
			continue
		}
		r := rule{packages: strings.TrimSpace(cells[0]), why: strings.TrimSpace(cells[2])}
		for _, m := range code.FindAllStringSubmatch(cells[1], -1) {
			r.banned = append(r.banned, m[1])
		}
		if len(r.banned) == 0 || r.why == "" {
			t.Errorf("import rule without a ban or a reason: %s", strings.TrimSpace(l))
		}
		rules = append(rules, r)
	}
	if len(rules) < 5 {
		t.Fatalf("got %d import rules: is the table still where this test looks?", len(rules))
	}
	return rules
}

// A listed package is what go list tells of one.
type listed struct {
	ImportPath string
	Imports    []string // direct, of non-test files
	Deps       []string // transitive
	Standard   bool
}

func goList(t *testing.T) map[string]listed {
	t.Helper()
	cmd := exec.Command("go", "list", "-e", "-deps", "-json=ImportPath,Imports,Deps,Standard", "./...")
	cmd.Dir = repo
	var stderr bytes.Buffer
	cmd.Stderr = &stderr
	out, err := cmd.Output()
	if err != nil {
		t.Fatalf("go list: %v\n%s", err, stderr.String())
	}
	pkgs := map[string]listed{}
	d := json.NewDecoder(bytes.NewReader(out))
	for {
		var p listed
		if err := d.Decode(&p); errors.Is(err, io.EOF) {
			return pkgs
		} else if err != nil {
			t.Fatal(err)
		}
		pkgs[p.ImportPath] = p
	}
}

// ours reports whether the package, named without the module, is in the pattern.
func ours(pattern, pkg string) bool {
	if tree, ok := strings.CutSuffix(pattern, "/..."); ok {
		return pkg == tree || strings.HasPrefix(pkg, tree+"/")
	}
	return pkg == pattern
}

// full returns the import path of a banned one: of this module if its first element has no dot and it is not of the
// standard library.
func full(banned string, pkgs map[string]listed) string {
	if p, ok := pkgs[banned]; ok && p.Standard {
		return banned
	}
	if first, _, _ := strings.Cut(banned, "/"); strings.Contains(first, ".") {
		return banned
	}
	return module + "/" + banned
}

func TestImportRules(t *testing.T) {
	pkgs := goList(t)
	var own []string
	for path := range pkgs {
		if rest, ok := strings.CutPrefix(path, module+"/"); ok {
			own = append(own, rest)
		}
	}
	slices.Sort(own)
	code := regexp.MustCompile("`([^`]+)`")
	for _, r := range importRules(t) {
		var names []string
		for _, m := range code.FindAllStringSubmatch(r.packages, -1) {
			names = append(names, m[1])
			if !slices.ContainsFunc(own, func(p string) bool { return ours(m[1], p) }) {
				t.Errorf("the rule for %s names a package that does not exist: %s", r.packages, m[1])
			}
		}
		except := strings.HasPrefix(r.packages, "all but")
		for _, banned := range r.banned {
			path := full(banned, pkgs)
			known := false
			for p := range pkgs {
				known = known || p == path || strings.HasPrefix(p, path+"/")
			}
			if !known {
				t.Errorf("the rule for %s bans what does not exist or is not used: %s", r.packages, banned)
			}
			for _, p := range own {
				named := slices.ContainsFunc(names, func(n string) bool { return ours(n, p) })
				if named == except || within(module+"/"+p, path, pkgs) {
					continue
				}
				if via := imports(pkgs, module+"/"+p, path, except); via != "" {
					t.Errorf("%s imports %s: not allowed, because %s", p, via, r.why)
				}
			}
		}
	}
}

// within reports whether path is the banned package or below it. Packages of this module and of the standard library are
// banned alone, because their children are something else; a foreign one with all that is below it.
func within(path, banned string, pkgs map[string]listed) bool {
	alone := strings.HasPrefix(banned, module) || pkgs[banned].Standard
	return path == banned || !alone && strings.HasPrefix(path, banned+"/")
}

// imports returns how the package imports the banned one, or "". Of the standard library only direct imports count: fmt
// itself needs os. With "all but", too: the others may well use the one that is allowed to.
func imports(pkgs map[string]listed, pkg, banned string, direct bool) string {
	p := pkgs[pkg]
	for _, i := range p.Imports {
		if within(i, banned, pkgs) {
			return i
		}
	}
	if direct || pkgs[banned].Standard {
		return ""
	}
	for _, d := range p.Deps {
		if within(d, banned, pkgs) {
			return d + " (by way of another package)"
		}
	}
	return ""
}

// TestTrustHasNoClock looks for calls that make trust's answers depend on more than its arguments. go list cannot see them.
func TestTrustHasNoClock(t *testing.T) {
	banned := map[string][]string{
		"time":         {"Now", "Since", "Until", "After", "AfterFunc", "NewTimer", "NewTicker", "Tick", "Sleep"},
		"math/rand":    nil, // all of it
		"math/rand/v2": nil,
		"crypto/rand":  nil,
	}
	files := 0
	err := filepath.WalkDir(filepath.Join(repo, "trust"), func(path string, e fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		if e.IsDir() && path != filepath.Join(repo, "trust") {
			return fs.SkipDir // helpers of tests
		}
		if !strings.HasSuffix(path, ".go") || strings.HasSuffix(path, "_test.go") {
			return nil
		}
		files++
		for _, use := range uses(t, path, banned) {
			t.Errorf("%s: the same question must get the same answer: pass the time in", use)
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	if files == 0 {
		t.Fatal("no file of package trust was read")
	}
}

// uses returns where a file uses one of the banned functions.
func uses(t *testing.T, path string, banned map[string][]string) []string {
	t.Helper()
	set := token.NewFileSet()
	f, err := parser.ParseFile(set, path, nil, 0)
	if err != nil {
		t.Fatal(err)
	}
	local := map[string]string{} // name in the file → import path
	for _, i := range f.Imports {
		p := strings.Trim(i.Path.Value, `"`)
		if _, ok := banned[p]; !ok {
			continue
		}
		name := strings.TrimSuffix(filepath.Base(p), "/v2")
		if i.Name != nil {
			name = i.Name.Name
		}
		local[name] = p
	}
	var out []string
	ast.Inspect(f, func(n ast.Node) bool {
		s, ok := n.(*ast.SelectorExpr)
		if !ok {
			return true
		}
		id, ok := s.X.(*ast.Ident)
		if !ok {
			return true
		}
		p, ok := local[id.Name]
		if ok && (banned[p] == nil || slices.Contains(banned[p], s.Sel.Name)) {
			out = append(out, fmt.Sprintf("%s: %s.%s", set.Position(s.Pos()), id.Name, s.Sel.Name))
		}
		return true
	})
	return out
}
