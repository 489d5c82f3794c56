package trust

import (
	"go/ast"
	"go/parser"
	"go/token"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

// The package is pure: the same input gives the same answer. So it has no clock, no goroutine, no file and no socket.
func TestPackageIsPure(t *testing.T) {
	banned := []string{"os", "net", "io", "sync", "context", "math/rand", "math/rand/v2", "crypto/rand", "log", "log/slog"}
	names, err := filepath.Glob("*.go")
	if err != nil {
		t.Fatal(err)
	}
	files := 0
	for _, name := range names {
		if strings.HasSuffix(name, "_test.go") {
			continue
		}
		file, err := parser.ParseFile(token.NewFileSet(), name, nil, 0)
		if err != nil {
			t.Fatal(err)
		}
		files++
		for _, i := range file.Imports {
			path := strings.Trim(i.Path.Value, `"`)
			if slices.Contains(banned, path) || strings.HasPrefix(path, "net/http") {
				t.Errorf("%s imports %s", name, path)
			}
		}
		ast.Inspect(file, func(n ast.Node) bool {
			switch n := n.(type) {
			case *ast.GoStmt, *ast.SendStmt, *ast.SelectStmt:
				t.Errorf("%s: a goroutine or channel", name)
			case *ast.SelectorExpr:
				if x, ok := n.X.(*ast.Ident); ok && x.Name == "time" && slices.Contains([]string{"Now", "Since", "Until", "Sleep", "After", "NewTimer", "Tick"}, n.Sel.Name) {
					t.Errorf("%s: time.%s", name, n.Sel.Name)
				}
			}
			return true
		})
	}
	if files < 10 {
		t.Fatalf("only %d files were looked at", files)
	}
}
