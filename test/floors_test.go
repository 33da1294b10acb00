// Package test holds the tests of the whole: the house rules that no single package can
// keep, and integration tests on real kernels, engines, Swarms and Elasticsearches.
package test

import (
	"go/ast"
	"go/parser"
	"go/token"
	"io/fs"
	"path/filepath"
	"strings"
	"testing"
)

const module = "github.com/swarmgauge/swarmgauge/"

// floors are the packages from the ground up. A package may import those below it, and
// none on its own floor.
var floors = [][]string{
	{"metric", "deflate", "hang", "secret"},
	{"cgroup", "proc", "docker", "cadvisor"},
	{"collector"},
	{"shipper", "web", "kibana"},
	{"cmd/agent"},
}

// goFiles calls f with each Go file below the top, its package's folder first.
func goFiles(t *testing.T, f func(folder, path string)) {
	t.Helper()
	err := filepath.WalkDir("..", func(path string, d fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		if d.IsDir() && (strings.HasPrefix(d.Name(), ".") && d.Name() != ".." || d.Name() == "testdata") {
			return filepath.SkipDir
		}
		if strings.HasSuffix(path, ".go") {
			folder, err := filepath.Rel("..", filepath.Dir(path))
			if err != nil {
				return err
			}
			f(folder, path)
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
}

// TestImportsGoOnlyDown keeps the arrows of DESIGN.md pointing one way.
func TestImportsGoOnlyDown(t *testing.T) {
	floorOf := map[string]int{}
	for i, floor := range floors {
		for _, name := range floor {
			floorOf[name] = i
		}
	}
	seen := map[string]bool{}
	goFiles(t, func(folder, path string) {
		if strings.HasSuffix(path, "_test.go") {
			return // tests may look wherever they need
		}
		floor, ok := floorOf[folder]
		if !ok {
			return // shipper/estest, test/lab, bench: parts of tests
		}
		seen[folder] = true
		file, err := parser.ParseFile(token.NewFileSet(), path, nil, parser.ImportsOnly)
		if err != nil {
			t.Fatal(err)
		}
		for _, spec := range file.Imports {
			imported, ok := strings.CutPrefix(strings.Trim(spec.Path.Value, `"`), module)
			if !ok {
				continue
			}
			below, ok := floorOf[imported]
			if !ok {
				t.Errorf("%s imports %s, which is on no floor", path, imported)
			} else if below >= floor {
				t.Errorf("%s imports %s: floor %d from floor %d", path, imported, below+1, floor+1)
			}
		}
	})
	for name := range floorOf {
		if !seen[name] {
			t.Errorf("floor plan names %s, which has no Go file", name)
		}
	}
}

// TestEachPackageSaysWhatItIs wants one package comment each.
func TestEachPackageSaysWhatItIs(t *testing.T) {
	comments := map[string]int{}
	goFiles(t, func(folder, path string) {
		if _, ok := comments[folder]; !ok {
			comments[folder] = 0
		}
		file, err := parser.ParseFile(token.NewFileSet(), path, nil, parser.PackageClauseOnly|parser.ParseComments)
		if err != nil {
			t.Fatal(err)
		}
		if file.Doc != nil && !strings.HasSuffix(file.Name.Name, "_test") {
			comments[folder]++
		}
	})
	for folder, n := range comments {
		if n != 1 {
			t.Errorf("%s has %d package comments, want 1", folder, n)
		}
	}
}

// TestNoInitFunctions keeps work out of program start.
func TestNoInitFunctions(t *testing.T) {
	goFiles(t, func(_, path string) {
		file, err := parser.ParseFile(token.NewFileSet(), path, nil, parser.SkipObjectResolution)
		if err != nil {
			t.Fatal(err)
		}
		for _, d := range file.Decls {
			if f, ok := d.(*ast.FuncDecl); ok && f.Recv == nil && f.Name.Name == "init" {
				t.Errorf("%s has a func init", path)
			}
		}
	})
}

// skips are the calls of Skip that are left to tests, by their file: what a machine on which
// `make test` has all it wants may lack nevertheless. Anything else is [lab.Lack]'s, which
// fails where CI=true.
var skips = map[string]int{
	"../test/lab/tool.go":               1, // Lack itself
	"../test/lab/need.go":               1, // -short
	"../shipper/shipper_kill_test.go":   1, // -short
	"../test/right_test.go":             1, // a kernel without v1
	"../cgroup/live_test.go":            2, // what is of v1 alone, and of v2 alone
	"../test/faults_collection_test.go": 2, // a limit of process ids for each namespace, Linux 6.14
	"../proc/filesystems_test.go":       2, // Linux 5.8, and a disk that is seen: not so in an initramfs
}

// TestSkipsAreFew keeps a test that lacks what it could have from passing.
func TestSkipsAreFew(t *testing.T) {
	found := map[string]int{}
	goFiles(t, func(_, path string) {
		file, err := parser.ParseFile(token.NewFileSet(), path, nil, parser.SkipObjectResolution)
		if err != nil {
			t.Fatal(err)
		}
		ast.Inspect(file, func(n ast.Node) bool {
			if s, ok := n.(*ast.SelectorExpr); ok && (s.Sel.Name == "Skip" || s.Sel.Name == "Skipf" || s.Sel.Name == "SkipNow") {
				if on, ok := s.X.(*ast.Ident); ok && (on.Name == "t" || on.Name == "b" || on.Name == "tb" || on.Name == "f") {
					found[path]++
				}
			}
			return true
		})
	})
	for path, n := range found {
		if n > skips[path] {
			t.Errorf("%s has %d calls of Skip, and %d in the table of those that may be: use lab.Lack", path, n, skips[path])
		}
	}
	for path, n := range skips {
		if found[path] < n {
			t.Errorf("%s has %d calls of Skip, and the table has %d", path, found[path], n)
		}
	}
}
