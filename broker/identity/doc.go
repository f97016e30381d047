// Package identity answers one question: who is asking? It knows
// authenticators, tickets and throttling. It does not know profiles, policies,
// protocols or what a client is told; those who call it do.
//
// # What it promises
//
//   - A password is looked at by the first authenticator that knows the name,
//     and by no other.
//   - A ticket (the clients call it authid) never refuses a request: a good one
//     stands for the password, any other counts as absent and the password
//     decides.
//   - Nothing about a ticket is recorded before all checks have passed, and
//     what a request was worth is recorded only when its caller says so
//     ([Login.Renew]).
//   - Guessing is slowed down alike for names that exist and names that do not,
//     and an unknown name costs the same hashing as a known one.
//   - Whoever is let in has the name and the groups that the authenticator has for
//     him, and those of the other sources of groups. Groups that cannot be told
//     deny: one that is missing may be one that is denied something.
//   - What was used stays used across restarts: it is written before the reply,
//     and less than a second of it is lost when the machine stops. No password,
//     and no digest of one, is on disk.
//   - Passwords, tickets and hashes are in no log line and no error text.
//
// # The parts
//
// [Gate] is what the session service calls. It puts together a [Chain] of
// authenticators ([Static], [None], and those of packages of their own) and
// sources of groups, [Tickets], a [Shared] authid and a [Throttle]; each is
// usable alone. All are safe for concurrent use. Clocks, random sources and
// loggers are passed in. [Tickets.Run] and [Throttle.Run] keep on disk what must
// outlive the process.
//
// What happens to tickets is a sequence of marks, and what is known about them is
// what the marks amount to in their order. They come from requests, and at the
// start from a file.
package identity
