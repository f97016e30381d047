package source

import (
	"io/fs"
	"time"
)

// settled is how old a change must be before a stamp can be trusted: two
// changes within the resolution of a file system's clock look like one.
const settled = 2 * time.Second

// stamp is what tells one state of a file from another without reading it.
type stamp struct {
	size    int64
	written int64 // nanoseconds
	changed int64 // nanoseconds; 0 where the system does not say
	inode   uint64
}

// stampOf gives the file's stamp, or nil if the file has changed so shortly
// before now that it may change again under the same stamp.
func stampOf(info fs.FileInfo, now time.Time) origin {
	s := stamp{size: info.Size(), written: info.ModTime().UnixNano()}
	s.system(info)
	if latest := max(s.written, s.changed); now.UnixNano()-latest < int64(settled) {
		return nil
	}
	return s
}
