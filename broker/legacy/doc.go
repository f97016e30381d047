// Package legacy reads the files of the Python session broker x2gobroker and
// makes a site of them.
//
// # What it promises
//
// Nothing is dropped silently. Every option of the old files ends in the site,
// in a note, which says why it has no effect, or in a loss, which says what
// the old broker did that the site does not and what to do about it. Notes and
// losses name file and line.
//
// The old broker's behaviour is that of x2gobroker 0.0.4.3, as it was observed
// from outside. Lines on which that broker answers every request with status
// 500 are errors here.
package legacy
