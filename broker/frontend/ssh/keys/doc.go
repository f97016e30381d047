// Package keys decides whether a public key, or a certificate, may log in as a
// user. It knows nothing of connections: that whoever shows a key also has its
// private half is for the caller to check.
//
// # What it promises
//
//   - A key counts for the user in whose file, or in whose entry of a directory,
//     it stands, and for nobody else.
//   - A name that could lead out of its directory has no file.
//   - A file counts only if nobody but root, the broker's user and the user whose
//     keys they are could have written it. Below the part of the path that all
//     users share, symbolic links are not followed.
//   - A line is good for all that it says or for nothing: a limit that the broker
//     cannot keep, such as command=, makes the key one that is not for the broker.
//   - What cannot be read denies: a file of revoked keys all keys, anything else
//     what it would have allowed.
//   - Files and answers are bounded in bytes and in time.
package keys
