package source

import (
	"io/fs"
	"syscall"
)

// system adds when anything about the file was changed, which no program can
// set back as it can the time of writing.
func (s *stamp) system(info fs.FileInfo) {
	if sys, ok := info.Sys().(*syscall.Stat_t); ok {
		s.changed, s.inode = sys.Ctim.Nano(), sys.Ino
	}
}
