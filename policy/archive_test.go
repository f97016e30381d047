package policy

import (
	"os"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/rogpeppe/go-internal/txtar"
)

// A golden is an archive that begins with its claim; its file "want" has what is
// to be said of the others.
type golden struct {
	name, want, comment string
	files               []txtar.File // the others
}

func readArchive(t *testing.T, name string) (golden, map[string][]byte) {
	t.Helper()
	archive, err := txtar.ParseFile(name)
	if err != nil {
		t.Fatal(err)
	}
	g, files := golden{name: name, comment: string(archive.Comment)}, map[string][]byte{}
	for _, f := range archive.Files {
		if f.Name == "want" {
			g.want = string(f.Data)
			continue
		}
		files[f.Name], g.files = f.Data, append(g.files, f)
	}
	return g, files
}

// wants compares, or with -update rewrites what is wanted.
func (g golden) wants(t *testing.T, got string) {
	t.Helper()
	if *update {
		files := append(g.files, txtar.File{Name: "want", Data: []byte(got)})
		data := txtar.Format(&txtar.Archive{Comment: []byte(g.comment), Files: files})
		if err := os.WriteFile(g.name, data, 0o644); err != nil {
			t.Fatal(err)
		}
		return
	}
	if diff := cmp.Diff(g.want, got); diff != "" {
		t.Errorf("%s(-want +got):\n%s", g.comment, diff)
	}
}
