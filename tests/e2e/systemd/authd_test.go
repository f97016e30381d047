//go:build e2e

package systemd

import (
	"path/filepath"
	"testing"
)

// 10 is no protection at all. The helper is root, which alone is 0.4 of them.
func TestThePAMHelperIsExposedNoMoreThan3Of10(t *testing.T) {
	unit := filepath.Join(units(t), "x2broker-authd.service")
	if out, err := analyze("security", "--offline=true", "--threshold=30", "--no-pager", unit); err != nil {
		t.Errorf("exposed more than 3.0 of 10: %v\n%s", err, out)
	}
}
