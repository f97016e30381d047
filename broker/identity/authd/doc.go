// Package authd is how the broker asks PAM and NSS without being root: the wire
// between the broker and the helper x2broker-authd, and both of its ends. What
// speaks to PAM itself needs cgo and is in cmd/x2broker-authd; nothing here
// does.
//
// # What it promises
//
//   - A request names a user and a password, and nothing else: no PAM service,
//     no file, no module, no program.
//   - The helper speaks to the broker's user and to root, as the kernel tells
//     them apart (SO_PEERCRED); others get no byte.
//   - Each connection is one conversation, and each conversation has a process
//     of its own. A module that crashes or hangs costs one login. The process
//     that holds the socket never reads what is sent.
//   - Every message is bounded, and there is one way to write each.
//   - Everything has a deadline, and a process ends when its peer is gone.
//   - Passwords are in no argument, environment, log, error or core dump.
//
// # The wire
//
// A message is its length (4 bytes, big endian, of what follows, at most
// [MaxMessage]), a byte that says its kind, and the fields of that kind: texts
// and lists have 2 bytes of length before them, numbers are 4 bytes. Fields and
// not JSON, because root reads them: no name can come twice or in another case,
// nothing is escaped, nothing unknown is skipped, and a reader has 100 lines.
//
//	broker            helper
//	authenticate  ->
//	                  [<- prompt, answer ->]...
//	              <-  result
//
//	lookup        ->
//	              <-  result
//
//	change        ->
//	              <-  confirm   (the old password is right: whose is it?)
//	goOn          ->
//	              <-  result
//
// The parts are [Client], for the broker; [Server], which holds the socket; and
// [Work], which is the process of one conversation.
package authd
